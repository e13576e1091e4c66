package registry

import (
	"sync/atomic"

	"github.com/distproc/distproc/wire"
)

// MaxMessages is how many bytes of messages may wait on a node, and as many may be on
// their way to other nodes for its clients.
const MaxMessages = 128 << 20

// An Admission bounds the calls that wait for workers, of one kind or of several
// together.
type Admission struct {
	size    int64 // calls that may wait
	waiting atomic.Int64
	bytes   atomic.Int64 // of their messages
}

// NewAdmission returns an Admission of at most so many calls.
func NewAdmission(calls int) *Admission { return &Admission{size: int64(calls)} }

// enter counts a call that waits, or returns why it must not wait.
func (a *Admission) enter(call *Waiter) *wire.Error {
	n := int64(call.Message.Len())
	switch {
	case a.waiting.Load() >= a.size:
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls wait on this node", a.size)
	case n > 0 && a.bytes.Load()+n > MaxMessages:
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d bytes of messages wait on this node", int64(MaxMessages))
	}
	a.waiting.Add(1)
	if n > 0 {
		a.bytes.Add(n)
	}
	return nil
}

// leave ends what enter began.
func (a *Admission) leave(call *Waiter) {
	a.waiting.Add(-1)
	if n := call.Message.Len(); n > 0 {
		a.bytes.Add(-int64(n))
	}
}
