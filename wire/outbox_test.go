package wire

import (
	"sync"
	"testing"
	"time"
)

// TestFlush has one batch be written: flush waits for that, and so does an adder that
// finds the outbox full, though not for the next batch.
func TestFlush(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		batches int
		wait    func(*outbox[*replyBatch])
	}{
		"flush": {1, (*outbox[*replyBatch]).flush},
		"room": {maxReady + 2, func(o *outbox[*replyBatch]) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.waitForRoomLocked()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutbox(new(sync.Mutex), func() *replyBatch { return new(replyBatch) })
			writing, release := make(chan struct{}, c.batches), make(chan struct{})
			o.write = func(any) error {
				writing <- struct{}{}
				<-release
				return nil
			}
			done := make(chan struct{})
			go func() { _ = o.run(done) }()
			for i := range c.batches {
				o.mu.Lock()
				o.fill.add(uint64(i), &Reply{})
				o.rollLocked()
				o.mu.Unlock()
				if i == 0 {
					o.signal()
					<-writing // one batch is taken, and is being written
				}
			}
			over := make(chan struct{})
			go func() {
				c.wait(o)
				close(over)
			}()
			select {
			case <-over:
				t.Error("it does not wait")
			case <-time.After(20 * time.Millisecond):
			}
			release <- struct{}{}
			select {
			case <-over:
			case <-time.After(10 * time.Second):
				t.Fatal("it waits for ever")
			}
			close(done)
			close(release)
		})
	}
}
