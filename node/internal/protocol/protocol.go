// Package protocol has the operations that nodes and clients ask of one another, and
// their messages: the arguments and results that package wire carries for them.
//
// Numbers of operations and fields of messages are only ever added, because nodes of two
// versions are in one cluster while it is being upgraded. A message says nothing of who
// may send it: see package members for that.
package protocol

import (
	"errors"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// The operations, with what each takes and returns. A member asks another one about that
// node; a client asks its node about the whole cluster.
const (
	OpSync       wire.Op = 1  // Sync → Sync
	OpConnect    wire.Op = 2  // []string → []Connection
	OpOwner      wire.Op = 3  // worker.ID → string
	OpMembers    wire.Op = 4  // → []node.Member
	OpWorkers    wire.Op = 5  // → []worker.Info
	OpInfo       wire.Op = 6  // → node.NodeInfo
	OpInspect    wire.Op = 7  // worker.Key → registry.Status
	OpStop       wire.Op = 8  // worker.Key → bool
	OpDetach     wire.Op = 9  // leave the cluster, and stay up apart; answered when that is done
	OpDisconnect wire.Op = 10 // string
	OpNodes      wire.Op = 11 // → []node.NodeInfo
	OpWhy        wire.Op = 12 // worker.Key → node.Explanation
	OpPing       wire.Op = 13 // string → time.Duration
	OpVia        wire.Op = 14 // Via → wire.Reply
	OpRetire     wire.Op = 15 // make no more calls on this session
	OpHandOff    wire.Op = 16 // []registry.Answer, of a node that does not know OpAnswers
	OpBarrier    wire.Op = 17 // uint64, an epoch → Barrier
	OpHolds      wire.Op = 18 // worker.Key → bool
	OpKinds      wire.Op = 19 // the kinds have changed: compare them again
	OpView       wire.Op = 20 // → View
	OpInvalidate wire.Op = 21 // worker.Key → bool
	OpAlone      wire.Op = 22 // end that the node is apart
	OpAnswers    wire.Op = 23 // []byte, answers as package handoff encodes them
	OpRenew      wire.Op = 24 // quorum.Renewal → quorum.Answer
	OpTerm       wire.Op = 25 // string, the identity of a voter → uint64, its term
	OpIntroduce  wire.Op = 26 // quorum.Introduction → quorum.Introduction
	OpHint       wire.Op = 27 // string, the leader of the voters: renew now
	OpVoters     wire.Op = 28 // → quorum.Report
	OpChange     wire.Op = 29 // quorum.Change, of the voters → quorum.Changed
	OpForceStop  wire.Op = 30 // worker.Key → []worker.Stopped
	OpEvents     wire.Op = 31 // observe.EventQuery → observe.Events
	OpTrace      wire.Op = 32 // observe.TraceQuery → observe.Steps
	OpLoads      wire.Op = 33 // string, a node or empty for all, which only a client says → []observe.Load
	OpFigures    wire.Op = 34 // observe.FiguresQuery → observe.Figures
	OpHottest    wire.Op = 35 // observe.HotQuery → observe.Hot
)

const (
	MaxMembers = 1500           // slots of a cluster: a message with all of them fits, however long their names are
	MaxListed  = 2 * MaxMembers // members in one message, those that have left included
	MaxHeld    = 2048           // servers in a Barrier
	MaxWorkers = 1000           // workers in one list
	MaxConnect = 100            // names in one OpConnect
)

// A Sync is what two nodes exchange to reconcile who is a member. The list is left out if
// the digests show that both have the same.
type Sync struct {
	Digest uint64
	List   []wire.Member
	Apart  bool // the sender is apart, and is to be joined by name only; see package members

	// Former is the incarnation that the sender had in the cluster which it has left to be
	// apart; 0 if it has left none, or is of an older version.
	Former uint64
}

// A Barrier is what a member answers before a server of an id starts on another one: the
// servers that it has of ids that are not its own any more.
type Barrier struct {
	Epoch uint64 // of its view
	Held  []worker.Key
	More  bool // than those
}

// A View is what a client has to know to find the place of an id as the node does.
type View struct {
	Epoch   uint64
	Routing string
	Members []wire.Member
	Kinds   map[string]bool // whether each is exclusive
}

// A Via is a request as seen from another node.
type Via struct {
	Via     string
	Kind    string
	ID      worker.ID
	Timeout time.Duration
}

// A Connection is what became of one name of an OpConnect.
type Connection struct {
	Name string
	OK   bool
	Code wire.Code
	Text string
}

// NewConnection returns what became of a name, which is connected if err is nil.
func NewConnection(name string, err error) Connection {
	c := Connection{Name: name, OK: err == nil}
	if e, ok := errors.AsType[*wire.Error](err); ok {
		c.Code, c.Text = e.Code, e.Text
	} else if err != nil {
		c.Code, c.Text = wire.BadRequest, err.Error()
	}
	return c
}

// Err returns the error that NewConnection got.
func (c Connection) Err() error {
	switch {
	case c.OK:
		return nil
	case c.Code == wire.BadRequest:
		return errors.New(c.Text)
	}
	return &wire.Error{Code: c.Code, Outcome: wire.NotRun, Text: c.Text}
}

// With decodes the argument of an operation and serves it.
func With[T any](args func(any) error, serve func(T) (any, error)) (any, error) {
	var v T
	if err := args(&v); err != nil {
		return nil, err
	}
	return serve(v)
}
