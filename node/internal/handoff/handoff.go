// Package handoff sends the cached answers of ids that belong to another node now to that
// node, so that a change of the members costs no load for each of them.
//
// [Queue.Add] sorts answers by their new owner. A goroutine for each owner sends them, a
// bounded batch at a time, and looks again for the owner of each before it sends it.
//
// Invariants:
//
//   - An answer is in one place: the caller of Add keeps nothing of it, and it is sent at
//     most once.
//   - An answer gets older while it waits, and is dropped when its time is over.
//   - The queue holds a bounded number of answers and of bytes. Answers beyond that
//     are dropped, and the new owners of their ids load again. Who can wait does so with
//     [Queue.AwaitRoom], and loses none: TestHandOffMany.
//   - A node that is near gets small messages with pauses, so that calls have most of the
//     processors: TestHandOffRests. A node that leaves makes no pauses: TestHandOffHurries.
package handoff

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
)

// Answers beyond these limits are dropped, and the new owners of their ids load again.
const (
	MaxAnswers    = 4096      // answers in one message
	fewAnswers    = 256       // answers in one message to a node that is near
	maxBytes      = 512 << 10 // in one message; an answer larger than this travels alone
	maxQueue      = 1 << 16   // answers that wait to be sent, or are being sent
	maxQueueBytes = 64 << 20  // bytes of these
	roomAnswers   = 1 << 13   // that may be there when AwaitRoom returns
	roomBytes     = 8 << 20   // bytes of these
)

// Many answers keep two processors busy, of which calls want their share. So messages are
// small, and there is a pause between two to one node. A message to a node that is far
// takes the longer for the way, and has as many more.
const (
	messagePause = 3 * time.Millisecond
	answerTime   = time.Second / 32_000 // for each answer of a message, or more, in which to send it
	hurry        = 4                    // times as many answers in a message of a node that leaves
)

// A Queue sends answers to the nodes that own their ids now, in messages of limited size,
// one at a time to each node. Add never blocks. What cannot be sent is counted as lost.
type Queue struct {
	host  Host
	began time.Time

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	queues map[string]*backlog // of each destination that has a goroutine; guarded by mu
	held   volume              // waits or is being sent; guarded by mu
	idle   chan struct{}       // closed when the last queue goes; guarded by mu
	room   chan struct{}       // closed when there is more room; nil if nobody waits for it; guarded by mu
	sent   uint64              // guarded by mu
	lost   uint64              // guarded by mu
	closed bool                // guarded by mu
}

// A backlog is the answers that wait for one destination. Age and Left of each are what
// they would have been when the queue was made, so that nothing has to be kept beside it.
type backlog struct {
	list  []registry.Answer
	taken int // of them, the first ones
}

func (l *backlog) add(a registry.Answer, now time.Duration) {
	a.Age, a.Left = a.Age-now, a.Left+now
	if n := len(l.list); n == cap(l.list) && l.taken > n/2 { // rather than have the list grow
		rest := copy(l.list, l.list[l.taken:])
		clear(l.list[rest:])
		l.list, l.taken = l.list[:rest], 0
	}
	l.list = append(l.list, a)
}

// take appends the first n answers to a batch, and takes them out.
func (l *backlog) take(batch []registry.Answer, n int) []registry.Answer {
	first := l.list[l.taken : l.taken+n]
	batch = append(batch, first...)
	clear(first) // the values must not live as long as the list does
	l.taken += n
	return batch
}

func (l *backlog) waiting() []registry.Answer { return l.list[l.taken:] }

// A volume is how much some answers are.
type volume struct{ answers, bytes int }

func (v *volume) add(a *registry.Answer) { v.answers, v.bytes = v.answers+1, v.bytes+a.Size() }

func (v *volume) sub(o volume) { v.answers, v.bytes = v.answers-o.answers, v.bytes-o.bytes }

// A Host is the node around a queue, which calls its methods without holding locks.
type Host interface {
	// Target returns the node that owns an id now, or false if no node can take its
	// answer. It is asked again when the answer is sent, because the view may change
	// while it waits.
	Target(worker.ID) (dest string, ok bool)

	// Send gives answers to their owner, and keeps nothing of the list, which it may
	// change. It returns soon after ctx ends, at once if it has ended already.
	Send(ctx context.Context, dest string, list []registry.Answer) error

	// Hurries reports whether answers leave as fast as they can: see [registry.Host].
	Hurries() bool
}

// New returns an empty queue. The caller closes it.
func New(host Host) *Queue {
	h := &Queue{host: host, began: time.Now(), queues: map[string]*backlog{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Add queues answers for their owners. It keeps nothing of the list.
func (h *Queue) Add(list []registry.Answer) {
	now := time.Since(h.began)
	for some := range slices.Chunk(list, chunk) {
		h.queue(some, now)
	}
}

const chunk = 64 // answers that are queued at once

// queue queues a chunk of answers, or less, whose Age and Left are those of a time since
// the queue was made.
func (h *Queue) queue(list []registry.Answer, now time.Duration) {
	var dests [chunk]string
	var known [chunk]bool
	for i := range list {
		dests[i], known[i] = h.host.Target(list[i].ID)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range list {
		a := &list[i]
		full := h.held.answers >= maxQueue || h.held.bytes+a.Size() > maxQueueBytes
		if !known[i] || full || h.closed {
			h.lost++
			continue
		}
		h.held.add(a)
		waiting := h.queues[dests[i]]
		if waiting == nil {
			waiting = &backlog{}
			h.queues[dests[i]] = waiting
			if len(h.queues) == 1 {
				h.idle = make(chan struct{})
			}
			dest := dests[i]
			h.wg.Go(func() { h.sendAll(dest) })
		}
		waiting.add(*a, now)
	}
}

// AwaitRoom waits until a list of some dozen answers has room, or ctx ends. Then few
// others wait, so that an answer is not for long on its way, where nobody can ask for it.
func (h *Queue) AwaitRoom(ctx context.Context) {
	for {
		h.mu.Lock()
		if h.closed || h.held.answers <= roomAnswers && h.held.bytes <= roomBytes {
			h.mu.Unlock()
			return
		}
		if h.room == nil {
			h.room = make(chan struct{})
		}
		room := h.room
		h.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return
		case <-h.ctx.Done():
			return
		}
	}
}

// sendAll sends what waits for one destination.
func (h *Queue) sendAll(dest string) {
	fastest := time.Duration(0) // of the messages so far
	var batch []registry.Answer // used again for each message
	for {
		most := int(fastest / answerTime)
		if h.host.Hurries() {
			most *= hurry
		}
		most = max(fewAnswers, min(most, MaxAnswers))
		var more bool
		if batch, more = h.nextBatch(batch[:0], dest, most); len(batch) == 0 {
			return
		}
		began := time.Now()
		sent := h.deliver(dest, batch)
		clear(batch) // as in take
		if took := time.Since(began); sent && (fastest == 0 || took < fastest) {
			fastest = took
		}
		if more && !h.host.Hurries() {
			clock.Sleep(h.ctx, messagePause)
		}
	}
}

// nextBatch appends to an empty batch what fits one message, of at most so many answers,
// and reports whether more wait. If nothing is left it ends the queue.
func (h *Queue) nextBatch(batch []registry.Answer, dest string, most int) (_ []registry.Answer, more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	waiting := h.queues[dest].waiting()
	if len(waiting) == 0 {
		delete(h.queues, dest)
		if len(h.queues) == 0 {
			close(h.idle)
		}
		return nil, false
	}
	n, bytes := 0, 0
	for n < min(len(waiting), most) && (n == 0 || bytes+waiting[n].Size() <= maxBytes) {
		bytes += waiting[n].Size()
		n++
	}
	return h.queues[dest].take(batch, n), len(waiting) > n
}

// deliver sends a batch, without what has expired or belongs elsewhere by now, and reports
// whether the destination has it. It changes the batch.
func (h *Queue) deliver(dest string, batch []registry.Answer) (sent bool) {
	var elsewhere []registry.Answer
	var message, rest volume
	now := time.Since(h.began)
	list := batch[:0]
	for _, a := range batch {
		to, ok := h.host.Target(a.ID)
		switch {
		case now >= a.Left:
			rest.add(&a)
		case !ok || to != dest:
			rest.add(&a)
			elsewhere = append(elsewhere, a)
		default:
			message.add(&a)
			a.Age, a.Left = a.Age+now, a.Left-now
			list = append(list, a)
		}
	}
	h.free(rest, 0, 0)
	for some := range slices.Chunk(elsewhere, chunk) {
		h.queue(some, 0)
	}
	if len(list) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(h.ctx, registry.AnswerTimeout)
	defer cancel()
	if h.host.Send(ctx, dest, list) != nil {
		h.free(message, 0, len(list))
		return false
	}
	h.free(message, len(list), 0)
	return true
}

// free frees the space of answers that are not held any more.
func (h *Queue) free(v volume, sent, lost int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held.sub(v)
	h.sent += uint64(sent)
	h.lost += uint64(lost)
	if h.room != nil {
		close(h.room)
		h.room = nil
	}
}

// Drain is Flush for as long as some answers leave in every patience.
func (h *Queue) Drain(ctx context.Context, patience time.Duration) error {
	sent, _ := h.Stats()
	for {
		short, cancel := context.WithTimeout(ctx, patience)
		err := h.Flush(short)
		cancel()
		now, _ := h.Stats()
		if err == nil || now == sent || ctx.Err() != nil {
			return err
		}
		sent = now
	}
}

// Flush waits until nothing waits or is being sent, or ctx ends.
func (h *Queue) Flush(ctx context.Context) error {
	h.mu.Lock()
	idle, busy := h.idle, len(h.queues) > 0
	h.mu.Unlock()
	if !busy {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats returns how many answers have been sent, and how many were lost for want of
// space, of an owner, or of an answer from it. One that has expired while it waited is
// neither.
func (h *Queue) Stats() (sent, lost uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent, h.lost
}

// Close gives up what is being sent, and so what waits, and refuses more.
func (h *Queue) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	h.wg.Wait()
}
