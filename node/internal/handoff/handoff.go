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
//     are dropped, and the new owners of their ids load again.
package handoff

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
)

// Answers beyond these limits are dropped, and the new owners of their ids load again.
const (
	MaxAnswers    = 4096      // answers in one message
	maxBytes      = 512 << 10 // in one message; an answer larger than this travels alone
	maxQueue      = 1 << 16   // answers that wait to be sent, or are being sent
	maxQueueBytes = 64 << 20  // bytes of these
)

// A Queue sends answers to the nodes that own their ids now, in messages of limited size,
// one at a time to each node. Add never blocks. What cannot be sent is counted as lost.
type Queue struct {
	host Host

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	queues map[string][]queued // of each destination that has a goroutine; guarded by mu
	held   volume              // waits or is being sent; guarded by mu
	idle   chan struct{}       // closed when the last queue goes; guarded by mu
	sent   uint64              // guarded by mu
	lost   uint64              // guarded by mu
	closed bool                // guarded by mu
}

// A queued answer has the age that it had at some time.
type queued struct {
	registry.Answer
	at time.Time
}

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

	// Send gives answers to their owner. It returns soon after ctx ends, at once if it
	// has ended already.
	Send(ctx context.Context, dest string, list []registry.Answer) error
}

// New returns an empty queue. The caller closes it.
func New(host Host) *Queue {
	h := &Queue{host: host, queues: map[string][]queued{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Add queues answers for their owners.
func (h *Queue) Add(list []registry.Answer) {
	now := time.Now()
	items := make([]queued, len(list))
	for i, a := range list {
		items[i] = queued{a, now}
	}
	h.queue(items)
}

func (h *Queue) queue(list []queued) {
	dests := make([]string, len(list))
	known := make([]bool, len(list))
	for i := range list {
		dests[i], known[i] = h.host.Target(list[i].ID)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, q := range list {
		full := h.held.answers >= maxQueue || h.held.bytes+q.Size() > maxQueueBytes
		if !known[i] || full || h.closed {
			h.lost++
			continue
		}
		h.held.add(&q.Answer)
		waiting, running := h.queues[dests[i]]
		h.queues[dests[i]] = append(waiting, q)
		if !running {
			if len(h.queues) == 1 {
				h.idle = make(chan struct{})
			}
			h.wg.Go(func() { h.sendAll(dests[i]) })
		}
	}
}

// sendAll sends what waits for one destination.
func (h *Queue) sendAll(dest string) {
	for batch := h.nextBatch(dest); len(batch) > 0; batch = h.nextBatch(dest) {
		h.deliver(dest, batch)
	}
}

// nextBatch returns what fits one message. If nothing is left it ends the queue.
func (h *Queue) nextBatch(dest string) (batch []queued) {
	h.mu.Lock()
	defer h.mu.Unlock()
	waiting := h.queues[dest]
	if len(waiting) == 0 {
		delete(h.queues, dest)
		if len(h.queues) == 0 {
			close(h.idle)
		}
		return nil
	}
	n, bytes := 0, 0
	for n < min(len(waiting), MaxAnswers) && (n == 0 || bytes+waiting[n].Size() <= maxBytes) {
		bytes += waiting[n].Size()
		n++
	}
	batch = slices.Clone(waiting[:n])
	clear(waiting[:n]) // the values must not live as long as the array does
	h.queues[dest] = waiting[n:]
	return batch
}

// deliver sends a batch, without what has expired or belongs elsewhere by now.
func (h *Queue) deliver(dest string, batch []queued) {
	var list []registry.Answer
	var elsewhere []queued
	var message, rest volume
	now := time.Now()
	for _, q := range batch {
		waited := now.Sub(q.at)
		to, ok := h.host.Target(q.ID)
		switch {
		case waited >= q.Left:
			rest.add(&q.Answer)
		case !ok || to != dest:
			rest.add(&q.Answer)
			elsewhere = append(elsewhere, q)
		default:
			message.add(&q.Answer)
			q.Age, q.Left = q.Age+waited, q.Left-waited
			list = append(list, q.Answer)
		}
	}
	h.free(rest, 0, 0)
	h.queue(elsewhere)
	if len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(h.ctx, registry.AnswerTimeout)
	defer cancel()
	if h.host.Send(ctx, dest, list) == nil {
		h.free(message, len(list), 0)
	} else {
		h.free(message, 0, len(list))
	}
}

// free frees the space of answers that are not held any more.
func (h *Queue) free(v volume, sent, lost int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held.sub(v)
	h.sent += uint64(sent)
	h.lost += uint64(lost)
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
