package wire

import (
	"context"
	"slices"
	"sync"
	"time"
)

// calls is the calling half of a session: it numbers calls, sends them in batches, and wakes
// each caller with its answer.
type calls struct {
	peer string
	out  *outbox[*callBatch]
	idle sync.Pool // of *pending

	// All of the following is guarded by out.mu.
	seq   uint64     // of the last call
	taken uint64     // of the last call that the writer took: up to it, a call may have run
	ring  []*pending // the call with number seq is at seq & (len-1)
	live  int        // calls in ring
	err   *Error     // why no call can be made any more

	// Deadlines are counted in ticks of one timer that runs while calls are in flight: to read the
	// clock for every call would cost as much as the rest of do. A call's time begins with the first tick
	// after it, as the last one may be long ago: this process may have been paused.
	timer   *time.Timer
	ticking bool
	base    time.Time // of the ticks
}

const tickTime = 20 * time.Millisecond // a deadline is noticed up to two ticks late, more on a busy machine

// A pending call belongs to its caller, who is woken once by done. Until then all but done is
// guarded by out.mu.
type pending struct {
	seq     uint64
	batch   *callBatch // and its place there, until it is taken
	index   int
	ticks   int64 // that it may take
	expires int64 // the tick at which it has taken them; 0 until its first
	reply   Reply
	err     *Error
	done    chan struct{} // of capacity 1
}

const (
	ringSize     = 64  // to begin with; it grows to maxCalls
	maxUnsent    = 64  // full batches, of calls that were withdrawn or have large messages
	wakeTogether = 256 // callers; the first run while the answers of the others are read
)

func newCalls(peer string) *calls {
	return &calls{
		peer: peer,
		out:  newOutbox(func() *callBatch { return new(callBatch) }),
		ring: make([]*pending, ringSize),
		base: time.Now(),
		idle: sync.Pool{New: func() any { return &pending{done: make(chan struct{}, 1)} }},
	}
}

// do makes one call and waits for the answer, until timeout or until ctx ends.
func (c *calls) do(ctx context.Context, r *Request, timeout time.Duration) (Reply, error) {
	if timeout <= 0 {
		return Reply{}, &Error{Code: DeadlineExceeded, Outcome: NotRun, Node: c.peer}
	}
	if len(r.Data) > MaxValue {
		return Reply{}, Errorf(BadRequest, NotRun, "message of %d bytes, limit %d", len(r.Data), MaxValue)
	}
	p := c.idle.Get().(*pending)
	c.out.mu.Lock()
	if err := c.addLocked(p, r, timeout); err != nil {
		c.out.mu.Unlock()
		c.idle.Put(p)
		return Reply{}, err
	}
	first := c.out.fill.size() == 1
	c.out.mu.Unlock()
	if first {
		c.out.signal()
	}
	if quit := ctx.Done(); quit == nil {
		<-p.done
	} else {
		select {
		case <-p.done:
		case <-quit:
			if e := c.withdraw(p, asError(ctx.Err()).Code); e != nil {
				c.idle.Put(p)
				return Reply{}, e
			}
			<-p.done // the answer came at the same moment
		}
	}
	reply, err := p.reply, p.err
	p.reply.Data, p.err, p.batch = "", nil, nil
	c.idle.Put(p)
	if err != nil {
		return Reply{}, err
	}
	return reply, nil
}

func (c *calls) addLocked(p *pending, r *Request, timeout time.Duration) error {
	if c.err != nil {
		return &Error{Code: c.err.Code, Outcome: NotRun, Node: c.peer, Text: c.err.Text}
	}
	if c.live >= maxCalls || len(c.out.ready) >= maxUnsent {
		return Errorf(Overloaded, NotRun, "%d calls to %s in flight", c.live, c.peer)
	}
	if 2*c.live >= len(c.ring) {
		c.growLocked()
	}
	c.seq++
	for c.slot(c.seq) != nil { // a slow call of an earlier round
		c.seq++
	}
	b := c.out.batchLocked()
	if b.size() > 0 && b.weight+len(r.Data) > MaxValue {
		c.out.rollLocked()
		b = c.out.fill
	}
	p.seq, p.batch, p.index = c.seq, b, len(b.Seq)
	c.ring[c.seq&uint64(len(c.ring)-1)] = p
	c.live++
	b.add(c.seq, r, timeout)
	if !c.ticking {
		c.startTickingLocked()
	}
	p.ticks, p.expires = 1+int64(timeout/tickTime), 0
	return nil
}

func (c *calls) slot(seq uint64) *pending { return c.ring[seq&uint64(len(c.ring)-1)] }

func (c *calls) growLocked() {
	old := c.ring
	c.ring = make([]*pending, 2*len(old))
	for _, p := range old {
		if p != nil {
			c.ring[p.seq&uint64(len(c.ring)-1)] = p // two that differed modulo n differ modulo 2n
		}
	}
}

// removeLocked forgets p, and reports whether it was still waiting.
func (c *calls) removeLocked(p *pending) bool {
	if c.slot(p.seq) != p {
		return false
	}
	c.ring[p.seq&uint64(len(c.ring)-1)] = nil
	c.live--
	return true
}

// withdraw ends p for its caller, unless it has been answered: then it returns nil.
func (c *calls) withdraw(p *pending, why Code) *Error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.withdrawLocked(p, why)
}

func (c *calls) withdrawLocked(p *pending, why Code) *Error {
	if !c.removeLocked(p) {
		return nil
	}
	e := &Error{Code: why, Outcome: NotRun, Node: c.peer}
	if p.seq > c.taken {
		p.batch.void(p.index)
		return e
	}
	e.Outcome = Unknown
	if c.err == nil {
		b := c.out.batchLocked()
		b.Cancel = append(b.Cancel, p.seq)
		c.out.signal()
	}
	return e
}

func (c *calls) startTickingLocked() {
	c.ticking = true
	if c.timer == nil {
		c.timer = time.AfterFunc(tickTime, c.onTick)
		return
	}
	c.timer.Reset(tickTime)
}

// onTick ends the calls whose deadline has passed.
func (c *calls) onTick() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	tick := int64(time.Since(c.base) / tickTime)
	for _, p := range c.ring {
		switch {
		case p == nil:
		case p.expires == 0:
			p.expires = tick + p.ticks
		case p.expires <= tick:
			p.err = c.withdrawLocked(p, DeadlineExceeded)
			p.done <- struct{}{}
		}
	}
	if c.ticking = c.live > 0; c.ticking {
		c.timer.Reset(tickTime)
	}
}

// send writes batches until the session ends.
func (c *calls) send(done <-chan struct{}, write func(any) error) error {
	return c.out.run(done, c.noteTaken, func(b *callBatch) error { return write(b) })
}

// noteTaken is called with the lock held as the writer takes b.
func (c *calls) noteTaken(b *callBatch) {
	if n := len(b.Seq); n > 0 {
		c.taken = b.Seq[n-1]
	}
}

// made returns the number of calls, about, and how many wait for an answer.
func (c *calls) made() (total uint64, open int) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.seq, c.live
}

// receive reads answers until the session ends.
func (c *calls) receive(read func(any) error) error {
	var b replyBatch
	var answered [wakeTogether]*pending
	for {
		b.reset()
		if err := read(&b); err != nil {
			return err
		}
		if err := b.unpack(); err != nil {
			return err
		}
		it := b.replies(c.peer)
		for seqs := range slices.Chunk(b.Seq, wakeTogether) {
			c.removeAll(seqs, &answered)
			for i := range seqs {
				r, e := it.next()
				if p := answered[i]; p != nil {
					p.reply, p.err = r, e
					p.done <- struct{}{}
				}
			}
		}
	}
}

// removeAll forgets the calls with these numbers and puts them into calls, or nil for one that was
// withdrawn meanwhile. The lock is held for no longer than that, as all callers need it.
func (c *calls) removeAll(seqs []uint64, calls *[wakeTogether]*pending) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	for i, seq := range seqs {
		p := c.slot(seq)
		if p == nil || p.seq != seq || seq > c.taken {
			calls[i] = nil
			continue
		}
		c.removeLocked(p)
		calls[i] = p
	}
}

// fail ends all calls, now and from now on: those not sent yet did not run.
func (c *calls) fail(why *Error) {
	c.out.close()
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = why
	for _, p := range c.ring {
		if p == nil {
			continue
		}
		c.removeLocked(p)
		p.err = &Error{Code: why.Code, Outcome: Unknown, Node: c.peer, Text: why.Text}
		if p.seq > c.taken {
			p.err.Outcome = NotRun
		}
		p.done <- struct{}{}
	}
}
