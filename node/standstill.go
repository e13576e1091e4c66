package node

import (
	"sync"
	"sync/atomic"
	"time"
)

// A process may stand still: it is stopped, or its machine is suspended. Meanwhile others take its place, and its
// callers give up. When it goes on, it must find that out before it begins anything that waited.

const (
	standstill = time.Second            // more than that is one
	tickEvery  = 250 * time.Millisecond // between two signs of life
)

// A watch notices when the process has stood still: too long since the last tick. Only that of a node ticks.
//
// It has two clocks. The one that goes on while the machine is suspended takes a system call, so only ticks look
// at it: a suspended machine is noticed within tickEvery of its going on, and a stopped process at once.
type watch struct {
	now, quick func() time.Duration // the former goes on while the machine is suspended
	slept      func(time.Duration)  // called when the machine was suspended, with how long, and mu held
	note       func() bool          // called before a standstill is counted, with mu held; reports whether it counts

	mu    sync.Mutex
	last  time.Duration // when the process was last seen to run, by now; guarded by mu
	seen  atomic.Int64  // the same by quick; set with mu held
	times atomic.Uint64 // standstills that count; set with mu held
}

func newWatch(now, quick func() time.Duration, slept func(time.Duration), note func() bool) *watch {
	w := &watch{now: now, quick: quick, slept: slept, note: note, last: now()}
	w.seen.Store(int64(quick()))
	return w
}

// stood returns how often the process has stood still, up to now.
func (w *watch) stood() uint64 {
	if w.quick()-time.Duration(w.seen.Load()) > standstill {
		w.tick()
	}
	return w.times.Load()
}

// tick shows that the process runs.
func (w *watch) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, quick := w.now(), w.quick()
	if d := now - w.last - (quick - time.Duration(w.seen.Load())); d > standstill {
		w.slept(d)
	}
	if now-w.last > standstill && w.note() {
		w.times.Add(1) // before seen changes, so that nobody who looks at that misses it
	}
	w.last = now
	w.seen.Store(int64(quick))
}

// run ticks until done is closed.
func (w *watch) run(done <-chan struct{}) {
	ticks := time.NewTicker(tickEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			w.tick()
		case <-done:
			return
		}
	}
}
