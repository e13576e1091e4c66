package protocol

import (
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// SetID makes r, which is zero, a request for the worker of id.
func SetID(r *wire.Request, kind string, id worker.ID) {
	r.Kind = kind
	if n, ok := id.Int64(); ok {
		r.Num = n
	} else {
		r.Text, r.IsText = id.String(), true
	}
}

// NewRequest returns a request for the value of an id.
func NewRequest(kind string, id worker.ID) (r wire.Request) {
	SetID(&r, kind, id)
	return r
}

// NewCall returns a message to the server of an id.
func NewCall(k worker.Key, message worker.Value) wire.Request {
	r := NewRequest(k.Kind, k.ID)
	r.IsCall, r.Data, r.IsInt, r.Type = true, message.String(), message.IsInt(), message.MediaType()
	return r
}

// MessageOf returns the message of a call.
func MessageOf(r *wire.Request) worker.Value { return worker.RawValue(r.Data, r.Type, r.IsInt) }

// IDOf returns the id of a request, or an error if what a peer has sent is none.
func IDOf(r *wire.Request) (worker.ID, error) {
	if !r.IsText {
		return worker.IntID(r.Num), nil
	}
	return worker.ParseID(r.Text)
}

// SetReply makes reply what crossed the wire.
func SetReply(reply *worker.Reply, r *wire.Reply) {
	reply.Value, reply.Node = worker.RawValue(r.Data, r.Type, r.IsInt), r.Node
	reply.Cached, reply.Stale, reply.Degraded, reply.Via = r.Cached, r.Stale, r.Degraded, r.Via
	reply.Age, reply.TTL, reply.Token = r.Age, r.TTL, worker.Token{Epoch: r.Epoch, Count: r.Count}
}

// NewReply returns a reply for the wire. It leaves out the node that answered if that is
// self, because the peer knows whom it asked.
func NewReply(r *worker.Reply, self string) wire.Reply {
	by := r.Node
	if by == self {
		by = ""
	}
	return wire.Reply{
		Data: r.Value.String(), IsInt: r.Value.IsInt(), Type: r.Value.MediaType(), Node: by, Via: r.Via,
		Cached: r.Cached, Stale: r.Stale, Degraded: r.Degraded, Age: r.Age, TTL: r.TTL,
		Epoch: r.Token.Epoch, Count: r.Token.Count,
	}
}

// ClampTimeout returns the time that a peer gives a call, from none to an hour.
func ClampTimeout(d time.Duration) time.Duration { return max(0, min(d, time.Hour)) }
