package wire

import (
	"context"
	"sync"
	"time"
)

// A Handler answers the calls and operations of peers. Its methods are called
// concurrently by any number of sessions.
type Handler interface {
	// ServeCall answers c by exactly one of its Responder's Reply and Fail, now or later,
	// from any goroutine. It runs on the goroutine that reads the session's calls, so it must not
	// block. It must not change the request.
	ServeCall(c Call)

	// ServeOperation answers one operation of [Session.Do]. It runs on a goroutine of its
	// own. The context ends when the peer gives up or the session ends. Each call of args
	// decodes all arguments into a pointer. The result is encoded by gob.
	ServeOperation(ctx context.Context, s *Session, op Op, args func(any) error) (result any, err error)
}

// A Call is a call that came from a peer. It can be copied.
type Call struct {
	Request Request
	Timeout time.Duration // until its caller gives up
	Came    time.Time     // arrival of its batch
	Responder
}

// A Responder is what it takes to answer a call. It can be copied, and kept without the
// request.
type Responder struct {
	seq uint64 // of the call
	to  *answers
}

// Peer returns the hello of the caller.
func (c *Responder) Peer() Hello { return c.to.session.Peer() }

// Reply answers the call. It never blocks, and it refers to the value until it is sent.
// The caller gets an error instead if the value has more than MaxValue bytes, or if too
// many bytes of values wait to be sent. The session ends if the peer does not read
// answers for 2 s, or does not open the stream for large ones within 4 s. If the session
// has ended, the answer is dropped.
func (c *Responder) Reply(r *Reply) {
	if len(r.Data) > MaxValue {
		c.Fail(Errorf(SourceFailed, Ran, "value of %d bytes, limit %d", len(r.Data), MaxValue))
		return
	}
	if !held.take(r.Data, &c.to.holding) {
		c.Fail(Errorf(Overloaded, Ran, "too many bytes of answers wait to be read; ask for fewer at a time"))
		return
	}
	out := c.to.small
	if len(r.Data) > largeValue {
		out = c.to.large
	}
	if !c.to.add(c.seq, out, len(r.Data), func(b *replyBatch) { b.add(c.seq, r) }) {
		held.release(r.Data)
	}
}

// Fail answers the call with an error. It never blocks.
func (c *Responder) Fail(err error) {
	c.to.add(c.seq, c.to.small, 0, func(b *replyBatch) { b.addError(c.seq, asError(err)) })
}

// OnCancel sets a function that is called once when the caller no longer waits, because
// the peer gave up or the session ended. It is called at once if that has already
// happened. The call must still be answered.
func (c *Responder) OnCancel(f func()) {
	a := c.to
	a.mu.Lock()
	if !a.ended {
		a.cancels[c.seq] = f
		a.crowd = a.crowd || len(a.cancels) > 1000
		f = nil
	}
	a.mu.Unlock()
	if f != nil {
		f()
	}
}

// answers is the answering half of a session. It reads calls, and sends answers in
// batches.
type answers struct {
	session *Session
	handler Handler
	small   *outbox[*replyBatch]
	holding holding
	large   *outbox[*replyBatch] // for large values; it waits until the peer has opened its stream

	mu sync.Mutex
	// Guarded by mu:
	reading int               // batches being handled; their small answers wait for one another …
	blocked int               // … unless a reader waits for room, which may take long
	cancels map[uint64]func() // of calls that are not answered yet
	crowd   bool              // cancels has been large
	open    int               // unanswered calls
	total   uint64            // calls
	ended   bool
	left    bool // this side has said goodbye

	last, lastLarge uint64 // numbers of the last calls that were taken, by stream
}

func newAnswers(s *Session, h Handler) *answers {
	a := &answers{session: s, handler: h, cancels: map[uint64]func(){}}
	empty := func() *replyBatch { return new(replyBatch) }
	a.small = newOutbox(&a.mu, empty)
	a.large = a.small
	if s.version >= 2 {
		a.large = newOutbox(&a.mu, empty)
	}
	return a
}

// add adds an answer of so many bytes to out, and reports whether it will be sent.
func (a *answers) add(seq uint64, out *outbox[*replyBatch], bytes int, put func(*replyBatch)) (sent bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sent = true
	a.endLocked()
	if len(a.cancels) > 0 {
		delete(a.cancels, seq)
		a.shrinkLocked()
	}
	if out.stop {
		return false
	}
	if out != a.small && len(out.ready) >= maxLarge {
		out, put = a.small, func(b *replyBatch) {
			b.addError(seq, Errorf(Overloaded, Ran, "%d large answers wait to be read; ask for fewer at a time", maxLarge))
		}
		bytes, sent = 0, false
	}
	if !out.fill.takes(bytes) {
		out.rollLocked()
	}
	put(out.fill)
	if a.reading == 0 || a.blocked > 0 || out != a.small {
		out.signal()
	}
	return sent
}

// shrinkLocked frees the memory of a burst of calls, because maps do not shrink.
func (a *answers) shrinkLocked() {
	if a.crowd && len(a.cancels) == 0 {
		a.cancels, a.crowd = map[uint64]func(){}, false
	}
}

// awaitRoom blocks a reader of calls while the peer does not read small answers. Large
// answers do not block it, because they are kept by reference.
func (a *answers) awaitRoom() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blocked++
	a.small.waitForRoomLocked()
	a.blocked--
}

// use starts the writer of out on a stream.
func (a *answers) use(out *outbox[*replyBatch], stream *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out.write = a.session.writer(stream)
}

// receive reads the calls of one stream until the session ends.
func (a *answers) receive(read func(any) error, last *uint64) error {
	var b callBatch
	for {
		b.reset()
		if err := read(&b); err != nil {
			return err
		}
		if err := b.unpack(); err != nil {
			return err
		}
		why, now := a.admit(b.Seq, last), time.Now() // one clock read for the whole batch
		for i, seq := range b.Seq {
			c := Call{Request: b.request(i), Timeout: fromMillis(at(b.Timeout, i)), Came: now, Responder: Responder{seq, a}}
			switch {
			case at(b.Flags, i)&callVoid != 0:
				a.void()
			case why != nil:
				c.Fail(why)
			default:
				a.handler.ServeCall(c)
			}
			if a.small.full.Load() {
				a.awaitRoom()
			}
		}
		if err := a.endReading(); err != nil {
			return err
		}
		a.cancel(b.Cancel)
	}
}

// admit starts the calls of one batch and records the last one. If it takes none of them,
// it returns the reason.
func (a *answers) admit(seqs []uint64, last *uint64) *Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(seqs)
	a.reading++
	a.open += n
	a.total += uint64(n)
	switch {
	case a.left:
		return &Error{Code: Leaving, Outcome: NotRun}
	case n > 0:
		*last = seqs[n-1]
	}
	if a.open > maxCalls {
		return Errorf(Overloaded, NotRun, "more than %d calls in flight", maxCalls)
	}
	return nil
}

// served returns the number of calls so far, and how many have not been answered.
func (a *answers) served() (total uint64, open int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total, a.open
}

// void ends a call that was withdrawn before it was sent.
func (a *answers) void() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endLocked()
}

// endReading releases the answers that waited for one another. A single small answer is
// written here, because waking the writer takes longer. The writer sends any later ones,
// because the reader has calls to read.
func (a *answers) endReading() error {
	a.mu.Lock()
	a.reading--
	fill, ready := a.small.fill.size(), len(a.small.ready)
	alone := fill == 1 && ready == 0 && a.small.fill.weight < chunkSize
	a.mu.Unlock()
	more := fill+ready > 0
	if alone {
		var err error
		if more, err = a.small.next(); err != nil {
			return err
		}
	}
	if more {
		a.small.signal()
	}
	return nil
}

func (a *answers) cancel(seqs []uint64) {
	if len(seqs) > 0 && a.large != a.small {
		a.emptyLarge(seqs)
	}
	for _, seq := range seqs {
		a.mu.Lock()
		f := a.cancels[seq]
		delete(a.cancels, seq)
		a.shrinkLocked()
		a.mu.Unlock()
		if f != nil {
			f()
		}
	}
}

// emptyLarge removes the values of large answers that wait to be sent although their
// callers have given up.
func (a *answers) emptyLarge(seqs []uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.large.ready) == 0 {
		return
	}
	unwanted := make(map[uint64]bool, len(seqs))
	for _, seq := range seqs {
		unwanted[seq] = true
	}
	for _, b := range append(a.large.ready, a.large.fill) {
		for i, seq := range b.Seq {
			if unwanted[seq] {
				b.emptyValue(i)
			}
		}
	}
}

// end cancels all unanswered calls.
func (a *answers) end() {
	a.small.close()
	a.large.close()
	a.mu.Lock()
	a.ended = true
	cancels := a.cancels
	a.cancels = nil
	a.mu.Unlock()
	for _, f := range cancels {
		f()
	}
}
