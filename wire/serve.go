package wire

import (
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// A Handler answers what a peer asks. Its methods are called from any number of sessions at once.
type Handler interface {
	// ServeCall answers c by exactly one of c.Reply and c.Fail, now or later, from any
	// goroutine. It runs on the goroutine that reads the session's calls, so it must not block.
	// The request is the caller's until then and not to be changed.
	ServeCall(c Call)

	// ServeOperation answers one operation of [Session.Do]. It runs on a goroutine of its own.
	// Arguments are decoded from args by a call of it; the result is encoded.
	ServeOperation(s *Session, op Op, args func(any) error) (result any, err error)
}

// A Call is a call that came from a peer. It can be copied.
type Call struct {
	Request Request
	Timeout time.Duration // until its caller gives up
	Came    time.Time     // with the batch that it was in

	seq uint64
	to  *answers
}

// Peer is who calls.
func (c Call) Peer() Hello { return c.to.session.Peer() }

// Reply answers the call. It blocks while the peer does not read its answers, for 2 s at most, or has not opened the stream for
// large ones, for 4 s since the session began; after that the session ends. A value of more than MaxValue bytes becomes an error.
func (c Call) Reply(r *Reply) {
	if len(r.Data) > MaxValue {
		c.Fail(Errorf(SourceFailed, Ran, "value of %d bytes, limit %d", len(r.Data), MaxValue))
		return
	}
	a := c.to
	a.mu.Lock()
	out := a.small
	if len(r.Data) > largeValue {
		out = a.large
	}
	a.waitForRoomLocked(out)
	if !out.fill.takes(len(r.Data)) {
		out.rollLocked()
	}
	out.fill.add(c.seq, r)
	a.doneLocked(c.seq, out)
}

// Fail answers the call with an error.
func (c Call) Fail(err error) {
	a := c.to
	a.mu.Lock()
	a.waitForRoomLocked(a.small)
	if !a.small.fill.takes(0) {
		a.small.rollLocked()
	}
	a.small.fill.addError(c.seq, asError(err))
	a.doneLocked(c.seq, a.small)
}

// OnCancel sets what to do when nobody waits for the answer any more: the peer gave up, or the
// session ended. It is done at once if that has happened already. The call must still be answered.
func (c Call) OnCancel(f func()) {
	a := c.to
	a.mu.Lock()
	if !a.ended {
		a.cancels[c.seq] = f
		f = nil
	}
	a.mu.Unlock()
	if f != nil {
		f()
	}
}

// answers is the answering half of a session.
type answers struct {
	session *Session
	handler Handler
	small   *outbox[*replyBatch]
	large   *outbox[*replyBatch] // for large values, which the others shall not wait for; they wait until the peer has opened its stream

	mu sync.Mutex
	// Guarded by mu:
	reading int               // batches that are being handled: their small answers wait for one another …
	blocked int               // … unless an answer waits for room, which may take long
	cancels map[uint64]func() // of calls that were not answered at once
	open    int               // calls that are not answered yet
	total   uint64            // calls
	ended   bool
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

// waitForRoomLocked waits for room in out. What others have added goes meanwhile.
func (a *answers) waitForRoomLocked(out *outbox[*replyBatch]) {
	if !out.crowdedLocked() {
		return
	}
	a.blocked++
	a.small.signal()
	out.waitForRoomLocked()
	a.blocked--
}

// use has the answers in out written to that stream.
func (a *answers) use(out *outbox[*replyBatch], stream *yamux.Stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out.write = writer(stream)
}

// doneLocked ends an answer that was added to out, and unlocks.
func (a *answers) doneLocked(seq uint64, out *outbox[*replyBatch]) {
	a.open--
	if len(a.cancels) > 0 {
		delete(a.cancels, seq)
	}
	signal := a.reading == 0 || a.blocked > 0 || out != a.small
	a.mu.Unlock()
	if signal {
		out.signal()
	}
}

// receive reads the calls of one stream until the session ends.
func (a *answers) receive(read func(any) error) error {
	var b callBatch
	for {
		b.reset()
		if err := read(&b); err != nil {
			return err
		}
		if err := b.unpack(); err != nil {
			return err
		}
		tooMany, now := !a.admit(len(b.Seq)), time.Now() // once for all: it takes as long as to find a value
		for i, seq := range b.Seq {
			c := Call{Request: b.request(i), Timeout: fromMillis(at(b.Timeout, i)), Came: now, seq: seq, to: a}
			switch {
			case at(b.Flags, i)&callVoid != 0:
				a.void()
			case tooMany:
				c.Fail(Errorf(Overloaded, NotRun, "more than %d calls in flight", maxCalls))
			default:
				a.handler.ServeCall(c)
			}
		}
		if err := a.endReading(); err != nil {
			return err
		}
		a.cancel(b.Cancel)
	}
}

// admit begins n calls, and reports whether there are not too many.
func (a *answers) admit(n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reading++
	a.open += n
	a.total += uint64(n)
	return a.open <= maxCalls
}

// served returns the number of calls, and how many are not answered yet.
func (a *answers) served() (total uint64, open int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total, a.open
}

// void ends a call that was withdrawn before it was sent.
func (a *answers) void() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
}

// endReading lets the answers go that waited for one another. One that is alone and small is written here, as to wake the
// writer takes longer; what came meanwhile is the writer's, as there are calls to read.
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
	for _, seq := range seqs {
		a.mu.Lock()
		f := a.cancels[seq]
		delete(a.cancels, seq)
		a.mu.Unlock()
		if f != nil {
			f()
		}
	}
}

// end cancels the calls that are not answered yet.
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
