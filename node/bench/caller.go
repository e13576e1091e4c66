package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A caller takes one turn after the other. It makes the first request of a turn itself;
// each of the others has a goroutine. With many callers, most of what one takes is to be
// fetched from memory again, so it is small.
type caller struct {
	*run
	tally     *tally
	ask       Ask
	next, end int64         // the turns that it has claimed
	at        time.Duration // the clock, when the caller looked last; each look takes a while
	ids       choice
	lanes     []lane         // of the requests of a turn, but the first
	pending   sync.WaitGroup // likewise
}

// A lane is the place of one request of a turn.
type lane struct {
	wake chan struct{} // a request is there to be made
	id   worker.ID
	due  time.Duration // or notDue
	answer
}

// An answer is what came of a request.
type answer struct {
	at               time.Duration // when it came
	took             time.Duration
	cached, degraded bool
	err              error
}

func newCaller(r *run, i int) *caller {
	c := &caller{run: r, tally: &r.tallies[i%len(r.tallies)], ask: r.Asks[i%len(r.Asks)], lanes: make([]lane, r.Batch-1)}
	c.ids.begin(r.Config, i)
	return c
}

// work takes turns until there are no more or ctx ends.
func (c *caller) work(ctx context.Context) {
	var lanes sync.WaitGroup
	for i := range c.lanes {
		l := &c.lanes[i]
		l.wake = make(chan struct{})
		lanes.Go(func() { c.serve(l) })
	}
	c.at = c.now()
	for c.turn(ctx) {
	}
	for i := range c.lanes {
		close(c.lanes[i].wake)
	}
	lanes.Wait()
}

func (c *caller) serve(l *lane) {
	for range l.wake {
		l.answer = c.request(l.id, c.now(), l.due)
		c.pending.Done()
	}
}

// turn takes a turn, and reports whether there was one.
func (c *caller) turn(ctx context.Context) bool {
	turn, due, ok := int64(0), time.Duration(notDue), true
	if c.schedule.open() {
		turn, due, ok = c.pacer.next(ctx, c.run)
		c.at = c.now()
	} else {
		turn = c.claim()
	}
	size := c.schedule.size(turn)
	if !ok || size == 0 || c.schedule.tooLate(c.at) || c.stopped.Load() {
		return false
	}
	lanes := c.lanes[:size-1]
	if len(lanes) > 0 {
		c.wake(lanes, due)
	}
	first := c.request(c.ids.next(), c.at, due)
	if len(lanes) > 0 {
		c.pending.Wait()
	}
	refused := c.note(&first)
	for i := range lanes {
		refused = c.note(&lanes[i].answer) || refused
	}
	if refused && due == notDue {
		time.Sleep(refusedPause) // let a node that refuses requests have some peace
		c.at = c.now()
	}
	return true
}

// claim returns the caller's next turn in the closed loop.
func (c *caller) claim() int64 {
	if c.next == c.end {
		c.end = c.turns.Add(c.schedule.chunk)
		c.next = c.end - c.schedule.chunk
	}
	c.next++
	return c.next - 1
}

// wake has the requests of lanes made.
func (c *caller) wake(lanes []lane, due time.Duration) {
	c.pending.Add(len(lanes))
	for i := range lanes {
		lanes[i].id, lanes[i].due = c.ids.next(), due
		lanes[i].wake <- struct{}{}
	}
}

// request makes a request now, and waits for the answer.
func (c *caller) request(id worker.ID, now, due time.Duration) (a answer) {
	began := now
	if due != notDue {
		began = due
	}
	reply, err := c.ask(c.limited, id)
	a.at = c.now()
	a.took, a.cached, a.degraded, a.err = a.at-began, reply.Cached, reply.Degraded, err
	return a
}

// note puts an answer into the tally, and reports whether the request was refused.
func (c *caller) note(a *answer) (refused bool) {
	c.at = max(c.at, a.at)
	t, waited := c.tally, false
	if !t.mu.TryLock() {
		t.mu.Lock()
		waited = true
	}
	defer t.mu.Unlock()
	if a.err != nil && c.stopped.Load() && gaveUp(a.err) {
		t.unanswered++
		return false
	}
	t.note(a)
	if t.full() || c.at-t.flushed > flushEvery {
		c.flushLocked(t)
		waited = true
	}
	if waited {
		c.at = c.now() // it is not part of the next request
	}
	return a.err != nil && node.OutcomeOf(a.err) == worker.OutcomeNotRun
}

// flushLocked empties a tally into the result.
func (r *run) flushLocked(t *tally) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.add(t)
	t.flushed = r.now()
}

// gaveUp reports whether err is that of a request which [Config.GiveUp] has ended.
func gaveUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, node.ErrClosed)
}
