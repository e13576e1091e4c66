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
// each of the others has a goroutine.
type caller struct {
	*run
	id        func() worker.ID
	lanes     []lane
	pending   sync.WaitGroup // the requests of the turn, but the first
	tally     tally
	timer     *time.Timer   // for pause
	next, end int64         // the turns that it has claimed
	at        time.Duration // the clock, when the caller looked last; each look takes a while
}

// A lane is the place of one request of a turn.
type lane struct {
	ask  Ask
	ctx  deadline
	wake chan struct{} // a request is there to be made
	id   worker.ID
	due  time.Duration // or notDue
	answer
}

// An answer is what came of a request.
type answer struct {
	at    time.Duration // when it came
	took  time.Duration
	reply worker.Reply
	err   error
}

// A deadline is a context whose deadline is set anew for each request: one with a timer
// would cost more than many a request.
type deadline struct {
	context.Context
	at time.Time
}

func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

func newCaller(r *run, i int) *caller {
	c := &caller{run: r, id: newIDs(r.Config, i), lanes: make([]lane, r.Batch), timer: time.NewTimer(time.Hour)}
	c.timer.Stop()
	for j := range c.lanes {
		c.lanes[j].ask = r.Asks[i%len(r.Asks)]
	}
	return c
}

// work takes turns until there are no more or ctx ends.
func (c *caller) work(ctx context.Context) {
	var lanes sync.WaitGroup
	for i := range c.lanes {
		l := &c.lanes[i]
		defer l.begin(ctx)()
		if i > 0 {
			l.wake = make(chan struct{})
			lanes.Go(func() { c.serve(l) })
		}
	}
	for c.turn() {
	}
	for i := range c.lanes[1:] {
		close(c.lanes[i+1].wake)
	}
	lanes.Wait()
	c.flush()
}

// begin gives the lane a context of its own: callers that wait for the channel of one
// context contend for its lock.
func (l *lane) begin(ctx context.Context) context.CancelFunc {
	own, cancel := context.WithCancel(ctx)
	l.ctx = deadline{Context: own}
	return cancel
}

func (c *caller) serve(l *lane) {
	for range l.wake {
		c.request(l)
		c.pending.Done()
	}
}

// turn takes a turn, and reports whether there was one.
func (c *caller) turn() bool {
	turn, due, ok := int64(0), time.Duration(notDue), true
	if c.schedule.open() {
		turn, due, ok = c.pacer.next(c.lanes[0].ctx.Context, c.run)
	} else {
		turn = c.claim()
	}
	size := c.schedule.size(turn)
	if !ok || size == 0 || c.schedule.tooLate(c.at) || c.lanes[0].ctx.Err() != nil {
		return false
	}
	lanes := c.lanes[:size]
	c.take(lanes, due)
	if refused := c.note(lanes); refused && due == notDue {
		c.pause()
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

// pause lets a node that refuses requests have some peace.
func (c *caller) pause() {
	c.timer.Reset(refusedPause)
	select {
	case <-c.timer.C:
	case <-c.lanes[0].ctx.Done():
	}
	c.at = c.now()
}

// take makes the requests of a turn and waits for all answers.
func (c *caller) take(lanes []lane, due time.Duration) {
	for i := range lanes {
		lanes[i].id, lanes[i].due = c.id(), due
	}
	c.pending.Add(len(lanes) - 1)
	for i := range lanes[1:] {
		lanes[i+1].wake <- struct{}{}
	}
	c.request(&lanes[0])
	c.pending.Wait()
}

func (c *caller) request(l *lane) {
	began := c.now()
	l.ctx.at = c.began.Add(began + c.Timeout)
	if l.due != notDue {
		began = l.due
	}
	l.reply, l.err = l.ask(&l.ctx, l.id)
	l.at = c.now()
	l.took = l.at - began
}

// note puts the answers of a turn into the tally, and reports whether a request was
// refused.
func (c *caller) note(lanes []lane) (refused bool) {
	for i := range lanes {
		a := &lanes[i].answer
		c.at = max(c.at, a.at)
		if a.err != nil && c.lanes[0].ctx.Err() != nil && errors.Is(a.err, context.Canceled) {
			c.tally.unanswered++
			continue
		}
		c.tally.note(a)
		refused = refused || a.err != nil && node.OutcomeOf(a.err) == worker.OutcomeNotRun
		if c.tally.full() || c.at-c.tally.flushed > flushEvery {
			c.flush()
		}
	}
	return refused
}

// flush empties the tally into the result.
func (c *caller) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.add(&c.tally)
	c.tally.flushed = c.at
}
