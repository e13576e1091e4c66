package registry

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Workers expire in two ways. A call that meets an expired worker replaces it, so no
// answer is too old. One sweep for all workers frees the memory of those that nobody asks
// again.

// coalesce is how long a sweep may be late, so that one sweep takes many workers.
const coalesce = 5 * time.Millisecond

// An expiryHeap is a binary heap of workers, the earliest to expire first. It has the
// times that were known when a worker was pushed: a worker that lives longer by now is
// pushed again when its time comes, and one that was dropped is passed over.
type expiryHeap []expiryEntry

type expiryEntry struct {
	at time.Duration
	w  *entry
}

func (h *expiryHeap) push(at time.Duration, w *entry) {
	s := append(*h, expiryEntry{at, w})
	i := len(s) - 1
	for i > 0 && s[(i-1)/2].at > s[i].at {
		s[i], s[(i-1)/2] = s[(i-1)/2], s[i]
		i = (i - 1) / 2
	}
	*h = s
}

// pop removes and returns the first worker.
func (h *expiryHeap) pop() *entry {
	s := *h
	w := s[0].w
	last := len(s) - 1
	s[0], s[last] = s[last], expiryEntry{}
	s = s[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && s[child+1].at < s[child].at {
			child++
		}
		if s[i].at <= s[child].at {
			break
		}
		s[i], s[child] = s[child], s[i]
		i = child
	}
	*h = s
	return w
}

// compact takes out what keep refuses.
func (h *expiryHeap) compact(keep func(*entry) bool) {
	*h = slices.DeleteFunc(*h, func(e expiryEntry) bool { return !keep(e.w) })
	slices.SortFunc(*h, func(a, b expiryEntry) int { return cmp.Compare(a.at, b.at) }) // which is a heap
}

// scheduleLocked has w expire in its time. It keeps the heap from growing with workers
// that are dropped before theirs.
func (t *table) scheduleLocked(s *shard, w *entry) {
	if w.listed {
		return
	}
	w.listed = true
	if len(s.expiry) > 2*s.workers.count+64 {
		s.compactLocked()
	}
	at := t.machine.endOf(w)
	s.expiry.push(at, w)
	t.sweeper.wakeBy(at)
}

// compactLocked takes workers out of the heap that were dropped before their time.
func (s *shard) compactLocked() {
	s.expiry.compact(func(w *entry) bool {
		w.listed = s.workers.get(w.id) == w
		return w.listed
	})
}

// atOnce is how many workers a sweep, or a scan, visits before it lets go of a shard.
// Calls do not wait longer than that takes.
const atOnce = 32

// sweep drops the expired workers and returns when the next one expires.
func (t *table) sweep() (next time.Duration) {
	next = math.MaxInt64
	for i := range t.shards {
		s := &t.shards[i]
		for more := true; more; {
			s.mu.Lock()
			more = t.sweepLocked(s)
			if len(s.expiry) > 0 {
				next = min(next, s.expiry[0].at)
			}
			s.mu.Unlock()
		}
	}
	return next
}

// sweepLocked drops some of the expired workers, and reports whether there are more.
func (t *table) sweepLocked(s *shard) (more bool) {
	now := t.Now()
	for range atOnce {
		if len(s.expiry) == 0 || s.expiry[0].at > now {
			s.tidyLocked()
			return false
		}
		w := s.expiry.pop()
		w.listed = false
		end := t.machine.endOf(w)
		switch {
		case s.workers.get(w.id) != w: // it has a successor, or was dropped
		case end > now: // it was used
			w.listed = true
			s.expiry.push(end, w)
		default:
			t.machine.expireLocked(s, w)
		}
	}
	return true
}

// A sweeper runs table.sweep when the first worker expires. One timer serves all workers.
type sweeper struct {
	t     *table
	at    atomic.Int64 // when it runs next, on the table's clock; 0 if not
	mu    sync.Mutex
	timer *time.Timer // guarded by mu
	ended bool        // guarded by mu
}

// wakeBy makes a sweep run soon after the time at.
func (s *sweeper) wakeBy(at time.Duration) {
	if t := s.at.Load(); t != 0 && t <= int64(at+coalesce) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.at.Load(); s.ended || t != 0 && t <= int64(at+coalesce) {
		return
	}
	s.at.Store(int64(at + coalesce))
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(at+coalesce-s.t.Now(), func() {
		s.at.Store(0)
		if next := s.t.sweep(); next != math.MaxInt64 {
			s.wakeBy(next)
		}
	})
}

func (s *sweeper) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// tidyLocked gives back the memory of a shard that was much larger.
func (s *shard) tidyLocked() {
	s.workers.shrink()
	if n := len(s.expiry); cap(s.expiry) > 4*n+tidyFrom {
		s.expiry = append(make(expiryHeap, 0, 2*n), s.expiry...)
	}
	if n := len(s.running); cap(s.running) > 4*n+tidyFrom {
		s.running = append(make([]*entry, 0, 2*n), s.running...)
	}
}

const tidyFrom = 64 // entries that are never given back
