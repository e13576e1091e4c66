package wire

import (
	"sync/atomic"
	"time"
)

// While messages arrive in quick succession, most of the time of a call goes into
// sleeping and being woken by the kernel. So a reader that had short waits polls for a
// moment before it sleeps, as the kernel does for halted virtual machines (Linux,
// Documentation/virt/kvm/halt-polling.rst).
//
// The cost is bounded. A process polls one connection at a time, and so on one core. If
// two connections want to be polled, none is for a while, because the process has enough
// to do. A poll takes at most pollTime. If nothing arrives, the reader polls again only
// after some more short waits. A connection whose messages are 250 µs or more apart is
// not polled. A process with less than a core, or with a single processor, does not poll.
// Only Linux has this.
const (
	pollTime    = 100 * time.Microsecond
	shortWait   = 250 * time.Microsecond // longer than pollTime, because it includes the time that polling saves
	shortWaits  = 8                      // consecutive short waits before the reader polls
	pollingRest = 10 * time.Millisecond  // without polling after two readers wanted to poll
	sleepEvery  = 2 * time.Millisecond   // how often a polling reader sleeps; see polls
)

// polling is shared by all connections of the process, because they share its cores.
var polling struct {
	busy atomic.Bool  // a reader polls
	rest atomic.Int64 // end of the time without polling, after began
}

// waits records the waits of one reader. Times are after began.
type waits struct {
	short int           // consecutive short waits
	slept time.Duration // end of the last wait without polling
}

// polls reports whether the wait that starts now should start by polling. If so, the
// caller must clear polling.busy after that. A reader that polls all the time sleeps now
// and then. Otherwise a process with one processor would not look at other connections
// while a goroutine can run (runtime.findRunnable), except every 10 ms by its monitor.
func (w *waits) polls(now time.Duration) bool {
	if w.short < shortWaits || now < time.Duration(polling.rest.Load()) || now-w.slept > sleepEvery {
		return false
	}
	if polling.busy.CompareAndSwap(false, true) {
		return true
	}
	polling.rest.Store(int64(now + pollingRest))
	return false
}

// inVain records that nothing arrived while the reader polled.
func (w *waits) inVain() { w.short = 0 }

// sleep records a wait without polling. A wait that lets other connections in does not
// count, because it says nothing about the pace of messages.
func (w *waits) sleep(from, to time.Duration) {
	switch {
	case to-from < shortWait:
		w.short++
	case w.short < shortWaits || from-w.slept <= sleepEvery:
		w.short = 0
	}
	w.slept = to
}
