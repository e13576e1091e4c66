package peers

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/wire"
)

const (
	relaySilence = time.Second // without an answer, after which relays have failed
	relayRest    = time.Second // after relays have failed, before others are tried
)

// Relays is what a node knows of the ways to a peer that it cannot reach itself. Times
// are in Unix nanoseconds, or 0.
type Relays struct {
	failed   atomic.Int64           // time of the last failure of all that were asked
	answered atomic.Int64           // time of the last answer
	silent   atomic.Int64           // start of the first request since then that timed out
	by       atomic.Pointer[string] // the relay that answered last; nil after a failure
}

// Answered notes that the peer has answered by way of a member.
func (r *Relays) Answered(by *string) {
	r.answered.Store(time.Now().UnixNano())
	r.silent.Store(0)
	r.by.Store(by)
}

// Missed learns from a request that went out at began and failed with err. The relays
// have failed if none of them reaches the peer, or none has answered for relaySilence. A
// single timeout shows little: the caller may be in a hurry, or the worker slow. An
// answer to another request since began shows that the relays are well. A relay that is
// lost during the request is not asked again; the others may be well.
func (r *Relays) Missed(began time.Time, err error) {
	if r.answered.Load() >= began.UnixNano() {
		return
	}
	now := time.Now()
	e, ok := errors.AsType[*wire.Error](err)
	switch {
	case ok && e.Lost() && e.Outcome == wire.NotRun:
	case errors.Is(err, wire.DeadlineExceeded):
		r.silent.CompareAndSwap(0, began.UnixNano())
		if since := r.silent.Load(); since == 0 || now.UnixNano()-since < int64(relaySilence) {
			return
		}
	default:
		return
	}
	r.failed.Store(now.UnixNano())
	r.by.Store(nil)
}

// Reset forgets all: the peer is reached again.
func (r *Relays) Reset() {
	r.failed.Store(0)
	r.answered.Store(0)
	r.silent.Store(0)
	r.by.Store(nil)
}

// Resting reports whether the relays had failed so shortly before a time that none is
// asked.
func (r *Relays) Resting(at time.Time) bool { return at.UnixNano()-r.failed.Load() < int64(relayRest) }

// Last returns the relay that answered last, or nil if it has failed since.
func (r *Relays) Last() *string { return r.by.Load() }
