package wire

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// calls is the calling half of a session. It numbers calls, sends them in batches, and
// wakes each caller with its answer.
type calls struct {
	peer         string
	small, large *callLane
	idle         sync.Pool     // of *pending
	goodbye      chan struct{} // closed when the peer has said goodbye

	mu sync.Mutex
	// All of the following is guarded by mu.
	seq  uint64     // of the last call
	ring []*pending // the call with number seq is at seq & (len-1)
	live int        // calls in ring
	err  *Error     // why no call can be made; nil while calls can
	left bool       // the peer has said goodbye

	// Deadlines are counted in ticks of one timer, which runs while calls are in flight.
	// This avoids a clock read per call (BenchmarkCall). The time of a call starts with
	// the first tick after the call, because the last one may be long ago if the process
	// was paused.
	timer   *time.Timer
	ticking bool
	base    time.Time // start of the ticks and of all other times
}

// A callLane is one of the two streams of calls. Calls with large messages use a stream
// of their own, so that other calls do not wait behind them.
type callLane struct {
	out   *outbox[*callBatch]
	taken uint64 // number of the last call that the writer took; later ones have not run; guarded by out.mu
}

const tickTime = 20 * time.Millisecond // a deadline is noticed up to two ticks late, more on a busy machine

// verdictTime is how long a caller that has given up waits for the peer to report the
// outcome of the call. A healthy peer reports it at once.
const verdictTime = 250 * time.Millisecond

// A pending is a call in flight. It belongs to its caller, which is woken once by done.
// Until then all fields but done are guarded by calls.mu.
type pending struct {
	seq     uint64
	lane    *callLane
	batch   *callBatch // with its index there, until the batch is taken
	index   int
	began   time.Duration // start of its batch, after base
	ticks   int64         // allowed duration
	expires int64         // tick of its deadline; 0 before its first tick
	gaveUp  Code          // why its caller has given up and waits for the verdict only; 0 if it has not
	reply   Reply
	err     *Error
	done    chan struct{} // of capacity 1
}

const (
	ringSize     = 64  // initial size; it grows to maxCalls
	maxUnsent    = 64  // full batches of calls that were withdrawn or have large messages
	wakeTogether = 256 // callers; the first run while the answers of the others are read
)

func newCalls(peer string) *calls {
	c := &calls{
		peer: peer,
		ring: make([]*pending, ringSize),
		base: time.Now(),
		idle: sync.Pool{New: func() any { return &pending{done: make(chan struct{}, 1)} }},

		goodbye: make(chan struct{}),
	}
	c.small, c.large = c.newLane(), c.newLane()
	return c
}

func (c *calls) newLane() *callLane {
	l := &callLane{out: newOutbox(&c.mu, func() *callBatch { return new(callBatch) })}
	l.out.alone = func() bool { return c.live <= 1 }
	l.out.taken = func(b *callBatch) {
		if n := len(b.Seq); n > 0 {
			l.taken = b.Seq[n-1]
		}
	}
	return l
}

// tooLong reports whether a trace does not fit a batch.
func tooLong(trace string) bool {
	parent, baggage, _ := strings.Cut(trace, "\n")
	return len(parent) > maxTrace || len(baggage) > maxBaggage
}

// do makes one call and waits for the answer until timeout or until ctx ends. Then it
// cancels the call at the peer and waits for its outcome for up to verdictTime.
func (c *calls) do(ctx context.Context, r *Request, timeout time.Duration, reply *Reply) error {
	if timeout <= 0 {
		return &Error{Code: DeadlineExceeded, Outcome: NotRun, Node: c.peer}
	}
	if err := ctx.Err(); err != nil {
		return &Error{Code: asError(err).Code, Outcome: NotRun, Node: c.peer}
	}
	if len(r.Data) > MaxValue {
		return Errorf(BadRequest, NotRun, "message of %d bytes, limit %d", len(r.Data), MaxValue)
	}
	if len(r.Kind) > maxKind || len(r.Trace) > maxTrace && tooLong(r.Trace) || len(r.Type) > maxType {
		return Errorf(BadRequest, NotRun, "the name of a kind has at most %d bytes, a trace %d, and a media type %d",
			maxKind, maxTrace, maxType)
	}
	p, lane := c.idle.Get().(*pending), c.small
	if len(r.Data) > largeValue {
		lane = c.large
	}
	c.mu.Lock()
	if err := c.addLocked(p, lane, r, timeout); err != nil {
		c.mu.Unlock()
		c.idle.Put(p)
		return err
	}
	first := lane.out.fill.size() == 1
	c.mu.Unlock()
	if first {
		lane.out.signal()
	}
	err := c.wait(ctx, p)
	if err != nil {
		reply.Took = p.age(time.Since(c.base))
		p.err, p.batch = nil, nil
		c.idle.Put(p)
		return err
	}
	*reply = p.reply
	p.reply.Data, p.batch = "", nil
	c.idle.Put(p)
	return nil
}

// age returns how long a finished call took. Its batch may be much older than the call if
// nothing could be written for a while, so the age is bounded by the call's first tick,
// if p has not been given up since.
func (p *pending) age(now time.Duration) time.Duration {
	began := p.began
	switch {
	case p.gaveUp != codeOK:
	case p.expires == 0:
		began = max(began, now-tickTime)
	default:
		began = max(began, time.Duration(p.expires-p.ticks-1)*tickTime)
	}
	return now - began
}

// wait waits for the answer to p. After ctx has ended, it waits for the verdict.
func (c *calls) wait(ctx context.Context, p *pending) *Error {
	quit := ctx.Done()
	if quit == nil {
		<-p.done
		return p.err
	}
	select {
	case <-p.done:
	case <-quit:
		c.giveUp(p, asError(ctx.Err()).Code)
		<-p.done
	}
	return p.err
}

func (c *calls) addLocked(p *pending, lane *callLane, r *Request, timeout time.Duration) error {
	if c.left {
		return &Error{Code: Leaving, Outcome: NotRun, Node: c.peer}
	}
	if c.err != nil {
		return &Error{Code: c.err.Code, Outcome: NotRun, Node: c.peer, Text: c.err.Text}
	}
	if c.live >= maxCalls || len(lane.out.ready) >= maxUnsent {
		return Errorf(Overloaded, NotRun, "%d calls to %s in flight", c.live, c.peer)
	}
	if 2*c.live >= len(c.ring) {
		c.growLocked()
	}
	c.seq++
	for c.slot(c.seq) != nil { // a slow call of an earlier round
		c.seq++
	}
	if !lane.out.fill.takes(len(r.Data)) {
		lane.out.rollLocked()
	}
	b := lane.out.fill
	if len(b.Seq) == 0 {
		b.began = time.Since(c.base) // one clock read for the whole batch
	}
	p.seq, p.lane, p.batch, p.index, p.began = c.seq, lane, b, len(b.Seq), b.began
	c.ring[c.seq&uint64(len(c.ring)-1)] = p
	c.live++
	b.add(c.seq, r, timeout)
	if !c.ticking {
		c.startTickingLocked()
	}
	p.ticks, p.expires, p.gaveUp = 1+int64(timeout/tickTime), 0, codeOK
	return nil
}

func (c *calls) slot(seq uint64) *pending { return c.ring[seq&uint64(len(c.ring)-1)] }

func (c *calls) growLocked() {
	old := c.ring
	c.ring = make([]*pending, 2*len(old))
	for _, p := range old {
		if p != nil {
			c.ring[p.seq&uint64(len(c.ring)-1)] = p // numbers that differ modulo n differ modulo 2n
		}
	}
}

// removeLocked forgets p, which is in the ring.
func (c *calls) removeLocked(p *pending) {
	c.ring[p.seq&uint64(len(c.ring)-1)] = nil
	c.live--
}

// giveUp cancels p, unless it has been answered. The caller still waits for p.done.
func (c *calls) giveUp(p *pending, why Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slot(p.seq) == p && p.gaveUp == codeOK {
		c.giveUpLocked(p, why)
	}
}

// giveUpLocked ends p if it was not sent. Otherwise it cancels p at the peer, which then
// reports its outcome.
func (c *calls) giveUpLocked(p *pending, why Code) {
	if p.seq > p.lane.taken {
		p.batch.void(p.index)
		c.endLocked(p, &Error{Code: why, Outcome: NotRun, Node: c.peer})
		return
	}
	p.gaveUp, p.ticks, p.expires = why, int64(verdictTime/tickTime), 0
	out := p.lane.out // the same lane: it must not overtake the call
	if out.fill.full() {
		out.rollLocked()
	}
	out.fill.Cancel = append(out.fill.Cancel, p.seq)
	out.signal()
}

// endLocked forgets p, which is pending, and wakes its caller with e.
func (c *calls) endLocked(p *pending, e *Error) {
	c.removeLocked(p)
	p.err = p.verdict(e)
	p.done <- struct{}{}
}

// verdict returns the error for the caller of p when e, which may be nil, ends the call.
// If the caller has given up, the error has the reason for that as its code, and only the
// outcome of e, so that the caller does not mistake e for a reason to retry.
func (p *pending) verdict(e *Error) *Error {
	if p.gaveUp == codeOK || e == nil || e.Outcome == Ran {
		return e
	}
	v := &Error{Code: p.gaveUp, Outcome: e.Outcome, Node: e.Node, Text: e.Text, GaveUp: true}
	if e.Code == NotOwner {
		v.Text = "" // it names the owner
	}
	return v
}

func (c *calls) startTickingLocked() {
	c.ticking = true
	if c.timer == nil {
		c.timer = time.AfterFunc(tickTime, c.onTick)
		return
	}
	c.timer.Reset(tickTime)
}

// onTick gives up the calls whose deadline has passed, and ends those that have waited
// verdictTime for a verdict.
func (c *calls) onTick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	tick := int64(time.Since(c.base) / tickTime)
	for _, p := range c.ring {
		switch {
		case p == nil:
		case p.expires == 0:
			p.expires = tick + p.ticks
		case p.expires > tick:
		case p.gaveUp == codeOK:
			c.giveUpLocked(p, DeadlineExceeded)
		default:
			c.endLocked(p, &Error{Code: p.gaveUp, Outcome: Unknown, Node: c.peer})
		}
	}
	if c.ticking = c.live > 0; c.ticking {
		c.timer.Reset(tickTime)
	} else {
		c.ring = make([]*pending, ringSize) // a burst must not keep its memory
	}
}

// made returns the approximate number of calls made, and how many wait for an answer.
func (c *calls) made() (total uint64, open int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq, c.live
}

// receive reads the answers of one stream until the session ends.
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
		it, now := b.replies(c.peer), time.Since(c.base)
		for seqs := range slices.Chunk(b.Seq, wakeTogether) {
			c.removeAll(seqs, &answered)
			for _, p := range answered[:len(seqs)] {
				if p == nil {
					_ = it.next(new(Reply)) // its caller has gone
					continue
				}
				p.err = p.verdict(it.next(&p.reply))
				p.reply.Took = now - p.began
				p.done <- struct{}{}
			}
		}
		if b.Goodbye {
			c.leave(b.Last, b.LastLarge)
		}
	}
}

// leave ends the calls after these numbers, which the peer has not taken and never will.
// They have not run.
func (c *calls) leave(small, large uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left {
		return
	}
	c.left = true
	close(c.goodbye)
	for _, p := range c.ring {
		last := small
		if p != nil && p.lane == c.large && c.large != c.small {
			last = large
		}
		if p == nil || p.seq <= last {
			continue
		}
		if p.seq > p.lane.taken {
			p.batch.void(p.index)
		}
		c.endLocked(p, &Error{Code: Leaving, Outcome: NotRun, Node: c.peer})
	}
}

// removeAll forgets the calls with these numbers and stores them in calls. It stores nil
// for a call whose caller has gone. All callers need the lock, so it is held only for
// this.
func (c *calls) removeAll(seqs []uint64, calls *[wakeTogether]*pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, seq := range seqs {
		p := c.slot(seq)
		if p == nil || p.seq != seq || seq > p.lane.taken {
			calls[i] = nil
			continue
		}
		c.removeLocked(p)
		calls[i] = p
	}
}

// fail ends all calls and fails all later ones. Calls that were not sent have not run.
func (c *calls) fail(why *Error) {
	c.small.out.close()
	c.large.out.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = why
	for _, p := range c.ring {
		if p == nil {
			continue
		}
		e := &Error{Code: why.Code, Outcome: Unknown, Node: c.peer, Text: why.Text}
		if p.seq > p.lane.taken {
			e.Outcome = NotRun
		}
		c.endLocked(p, e)
	}
}
