package wire

import (
	"sync/atomic"
	"time"
)

// While messages follow one another closely, to sleep until the next one comes and to be woken by the kernel takes longer than all
// that is done with it: of the 60 µs of a lone call to another process, 40. So a reader that had short waits polls for a moment
// before it sleeps, as the kernel does for virtual machines that halt (Linux, Documentation/virt/kvm/halt-polling.rst).
//
// What that may cost is bounded. A process polls for one connection at a time, so on one core; not at all for some time if two
// connections would, as there is enough to do then; for no longer than pollTime, and not again before some short waits more if nothing
// came. A connection whose messages are 250 µs apart or more is not polled. It is for Linux only, where it was measured: closed loops
// gain (a lone caller made 2 to 3 times as many calls); with 20,000 calls a second at random times between two processes that have
// two cores in all, both busy more than half of the time, p99 rose from 0.7 to 0.9 ms.
const (
	pollTime    = 100 * time.Microsecond
	shortWait   = 250 * time.Microsecond // longer than pollTime, as it includes what polling saves
	shortWaits  = 8                      // in a row, before a wait begins by polling
	pollingRest = 10 * time.Millisecond  // in which nobody polls, after two would have
	sleepEvery  = 2 * time.Millisecond   // a reader that polls sleeps once: see polls
)

// polling is shared by all connections of the process, as its cores are.
var polling struct {
	busy atomic.Bool  // somebody polls
	rest atomic.Int64 // until then nobody does; after began
}

// waits are those of one reader. Times are after began.
type waits struct {
	short int           // in a row
	slept time.Duration // when the last one that did not poll ended
}

// polls reports whether the wait that begins now is to begin by polling, which the caller ends by giving polling.busy back. A reader that
// polls all the time sleeps now and then, as while a goroutine can run, a process with one processor does not look for what comes
// on other connections (runtime.findRunnable); its monitor would, every 10 ms.
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

// inVain notes that nothing came while the reader polled.
func (w *waits) inVain() { w.short = 0 }

// sleep notes a wait without polling. One that was to show the others does not tell how closely messages follow one another.
func (w *waits) sleep(from, to time.Duration) {
	switch {
	case to-from < shortWait:
		w.short++
	case w.short < shortWaits || from-w.slept <= sleepEvery:
		w.short = 0
	}
	w.slept = to
}
