package wire

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// An outbox gathers the messages of many goroutines in batches, which one writer sends.
// While one batch is written, the next one fills, so batches grow with the load and no
// timer is needed.
type outbox[B batch] struct {
	mu    *sync.Mutex   // the owner's, which guards other fields, too
	fill  B             // being filled; guarded by mu
	ready []B           // full, the oldest first; guarded by mu
	spare []B           // written, to be used again; guarded by mu
	wake  chan struct{} // capacity 1: there is something to write
	room  *sync.Cond    // a batch was taken or written, the last call answered, or the outbox closed
	busy  bool          // a batch is being written; guarded by mu
	stop  bool          // nothing is written any more; guarded by mu
	full  atomic.Bool   // more batches are ready than maxReady; written with mu held
	make  func() B

	// Set before use. The functions that may be nil are called with mu held.
	write func(any) error
	taken func(B)     // called when a batch is taken; may be nil
	alone func() bool // reports whether no other goroutine is about to add; may be nil
}

type batch interface {
	size() int
	pack() // called before it is encoded
	reset()
}

func newOutbox[B batch](mu *sync.Mutex, make_ func() B) *outbox[B] {
	return &outbox[B]{mu: mu, fill: make_(), wake: make(chan struct{}, 1), room: sync.NewCond(mu), make: make_}
}

// rollLocked starts a new batch.
func (o *outbox[B]) rollLocked() {
	o.ready = append(o.ready, o.fill)
	o.full.Store(len(o.ready) > maxReady)
	o.fill = o.freshLocked()
}

func (o *outbox[B]) freshLocked() B {
	if n := len(o.spare); n > 0 {
		b := o.spare[n-1]
		o.spare = o.spare[:n-1]
		return b
	}
	return o.make()
}

// signal wakes the writer.
func (o *outbox[B]) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take returns the oldest batch, unless there is none or another batch is being written.
// The caller returns it by recycle.
func (o *outbox[B]) take() (b B, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.busy:
		return b, false
	case len(o.ready) > 0:
		b = o.ready[0]
		o.ready = slices.Delete(o.ready, 0, 1)
		o.full.Store(len(o.ready) > maxReady)
	case o.fill.size() > 0:
		b = o.fill
		o.fill = o.freshLocked()
	default:
		return b, false
	}
	if o.taken != nil {
		o.taken(b)
	}
	o.busy = true
	o.room.Broadcast()
	return b, true
}

func (o *outbox[B]) recycle(b B) (more bool) {
	b.reset()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy = false
	o.room.Broadcast()
	if len(o.spare) < 2 && !o.stop {
		o.spare = append(o.spare, b)
	}
	return o.fill.size() > 0 || len(o.ready) > 0
}

// waitForRoomLocked blocks while more than maxReady full batches wait, because the peer
// reads too slowly. It releases mu while it waits.
func (o *outbox[B]) waitForRoomLocked() {
	for o.full.Load() {
		o.signal()
		o.room.Wait()
	}
}

const (
	maxReady = 8    // full batches, of up to MaxValue bytes each, after which the outbox is full
	maxLarge = 4096 // batches of large answers, which refer to their values
)

// flush waits until all has been written.
func (o *outbox[B]) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for (o.busy || o.fill.size() > 0 || len(o.ready) > 0) && !o.stop {
		o.room.Wait()
	}
}

// close drops all batches that were not taken, and ends all calls of waitForRoomLocked
// and flush. Nothing may be added afterwards.
func (o *outbox[B]) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stop = true
	for _, b := range append(o.ready, o.fill) {
		b.reset()
	}
	o.ready, o.spare, o.fill = nil, nil, o.make()
	o.full.Store(false)
	o.room.Broadcast()
}

// gather yields once, so that goroutines that are about to add can do so.
func (o *outbox[B]) gather() {
	o.mu.Lock()
	alone := o.alone != nil && o.alone()
	o.mu.Unlock()
	if !alone {
		runtime.Gosched()
	}
}

// run writes batches until done is closed or a write fails.
func (o *outbox[B]) run(done <-chan struct{}) error {
	for {
		select {
		case <-o.wake:
		case <-done:
			return nil
		}
		o.gather()
		if err := o.drain(); err != nil {
			return err
		}
	}
}

// drain writes all batches, unless another goroutine is writing. That one then writes
// them.
func (o *outbox[B]) drain() error {
	for more := true; more; {
		var err error
		if more, err = o.next(); err != nil {
			return err
		}
	}
	return nil
}

// next writes the oldest batch, unless another goroutine is writing. It reports whether
// more batches wait for which the writer may not have been woken.
func (o *outbox[B]) next() (more bool, err error) {
	b, ok := o.take()
	if !ok {
		return false, nil
	}
	b.pack()
	if err := o.write(b); err != nil {
		b.reset()
		return false, err
	}
	return o.recycle(b), nil
}
