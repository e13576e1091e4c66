// Package audit logs, at level info, the operations that programs, peers and clients
// perform on a node and its cluster, and the connections that the node refuses. The
// number of lines is bounded.
package audit

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/wire"
)

// An Actor is whose operation it is: that of the program of this node, or of a peer.
type Actor struct {
	Name string // a node's, or what a client calls itself
	From string // its address; empty if it is this node
}

type actorKey struct{}

// WithActor returns a context for operations that this program performs for somebody, such
// as a person at the page of a gateway.
func WithActor(ctx context.Context, by Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, by)
}

// ActorIn returns the actor of a context, or the node itself if it has none.
func ActorIn(ctx context.Context, node string) Actor {
	if by, ok := ctx.Value(actorKey{}).(Actor); ok {
		return by
	}
	return Actor{Name: node}
}

// ActorOf returns the peer of a session.
func ActorOf(s *wire.Session) Actor {
	name := s.Peer().Name
	return Actor{Name: name[:min(len(name), maxNameLogged)], From: s.RemoteAddr().String()}
}

const maxNameLogged = 100 // bytes

// A Log writes at most 100 lines a second, and counts the others. Its methods may be
// called from any number of goroutines.
type Log struct {
	log   *slog.Logger
	limit *boundedlog.Limit
	brief atomic.Int64 // clients that stayed for less than a second, since that was logged
}

// New returns a Log that writes to log.
func New(log *slog.Logger) *Log { return &Log{log: log, limit: boundedlog.NewLimit()} }

// Note logs what was done.
func (a *Log) Note(what string, by Actor, fields ...any) {
	leftOut, ok := a.limit.Allow()
	if !ok {
		return
	}
	fields = append(fields, "by", by.Name)
	if by.From != "" {
		fields = append(fields, "from", by.From)
	}
	a.log.Info(what, append(fields, leftOut...)...) //nolint:sloglint // the callers' messages are constants
}

// ReadyName is the name by which a node asks itself whether it is ready.
const ReadyName = "ready"

// brief is how long a client stays that only has a question or two, such as a command of a
// script or of a health check. Such clients may come all the time, and are counted.
const brief = time.Second

// Attached logs that a client has come, if it stays for a second, and returns a function
// that logs that it has gone. Of those that stay less long the next one that stays says how
// many there were; what they change is logged by Note as for any other. It logs nothing of
// the node itself, which comes as often as it is asked whether it is ready.
func (a *Log) Attached(s *wire.Session) (detached func()) {
	if s.Peer().Name == ReadyName {
		return func() {}
	}
	began, by := time.Now(), ActorOf(s)
	stays := time.AfterFunc(brief, func() {
		if n := a.brief.Swap(0); n > 0 {
			a.Note("client attached", by, "brief_clients", n)
			return
		}
		a.Note("client attached", by)
	})
	return func() {
		if stays.Stop() {
			a.brief.Add(1)
			return
		}
		calls, _ := s.Used()
		a.Note("client detached", by, "after", time.Since(began).Round(time.Millisecond), "calls", calls)
	}
}
