package registry

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/observe"
)

// A Finder finds the ids of a node that have the most to do. Answers are counted by the
// workers anyway, so calls cost nothing for it. A rate takes two looks at a worker.
//
// With few workers each look is at all of them. With many, a look is at some, beginning
// where the last one ended, and once more at those of the last look: so each worker has its
// rate measured once in a round, and an id that has been hot for a round is found. The best
// are looked at each time.
//
// The zero Finder is ready for use. Its methods may be called from any number of goroutines.
type Finder struct {
	mu    sync.Mutex
	asked time.Duration // when Find was called last, on the clock of the node; guarded by mu
	knows *knowledge    // of the last looks; nil if nobody has asked for a while; guarded by mu
	next  place         // where the next look at some workers begins; guarded by mu

	exact, some int // as the constants below, unless a test says otherwise
}

// A knowledge is what a Finder has found out.
type knowledge struct {
	looked   time.Duration // when it looked last
	complete bool          // at all workers
	block    []glimpse     // of those that it looked at, in the order of kinds and shards
	pool     []candidate   // the best
	found    observe.Hot
}

const (
	exactUpTo  = 50_000                 // workers, at all of which each look is
	lookAtSome = 10_000                 // workers of a look at some: BenchmarkFind
	poolSize   = 10 * observe.MaxHot    // ids that are looked at each time
	lookEvery  = 500 * time.Millisecond // those who ask in between get what was found last
	leastAge   = 100 * time.Millisecond // of a worker whose rate is calculated: a first answer is no thousand per second
	tiredAfter = 10 * time.Second       // without a question, what is known is forgotten
)

// A glimpse is how many answers a worker had given at a time.
type glimpse struct {
	w     *entry
	r     *Registry
	at    time.Duration
	hits  uint32
	shard uint8
}

func (g *glimpse) shardOf() *shard { return &g.r.shards[g.shard] }

// A place is where a look at some workers ended.
type place struct{ kind, shard, index int }

// A candidate is a worker that may be among the best.
type candidate struct {
	glimpse
	rate  float64
	known bool          // its id was looked at before
	since time.Duration // then, or since it started
	count uint32        // answers of the worker since then
}

// Find returns the busiest ids of these kinds, all of one node, and those with the longest
// queues. Hot.Node is empty.
func (f *Finder) Find(kinds []*Registry) observe.Hot {
	if len(kinds) == 0 {
		return observe.Hot{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = kinds[0].Now()
	if f.knows == nil || f.asked-f.knows.looked >= lookEvery {
		f.lookLocked(kinds)
	}
	h := f.knows.found
	h.Busiest, h.Longest = slices.Clone(h.Busiest), slices.Clone(h.Longest)
	return h
}

// Rest forgets everything if nobody has called Find for a while. Now is the time on the
// clock of the node.
func (f *Finder) Rest(now time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now-f.asked > tiredAfter {
		f.knows = nil
	}
}

func (f *Finder) lookLocked(kinds []*Registry) {
	last := f.knows
	if last == nil {
		last = &knowledge{}
	}
	s := survey{known: -1}
	queues, workers := s.atRunning(kinds)
	next := &knowledge{looked: kinds[0].Now(), complete: workers <= cmp.Or(f.exact, exactUpTo)}
	for _, c := range last.pool {
		s.add(c.anew())
	}
	if next.complete {
		if last.complete {
			s.known = last.looked
		}
		s.block = make([]glimpse, 0, workers+workers/8)
		s.atAll(kinds, last.block)
	} else {
		some := cmp.Or(f.some, lookAtSome)
		s.again(last.block)
		if s.block = last.block[:0]; last.complete || s.block == nil {
			s.block = make([]glimpse, 0, some+atOnce)
		}
		f.next = s.atSome(kinds, f.next, some)
	}
	next.pool, next.block = s.settle(), s.block
	next.found = observe.Hot{Workers: workers, Busiest: busiest(next.pool), Longest: describe(queues, next.pool)}
	f.knows = next
}

// A survey is one look.
type survey struct {
	best
	block []glimpse     // of workers that were looked at now, be they known or not
	known time.Duration // all workers that had started by then are known; -1 if others may be
}

// atAll looks at all workers, and before that at those of a shard that it knows, while the
// processor's cache has them.
func (s *survey) atAll(kinds []*Registry, known []glimpse) {
	of := map[*Registry][]glimpse{}
	for len(known) > 0 {
		n := runOf(known, func(g *glimpse) bool { return g.r == known[0].r })
		of[known[0].r], known = known[:n], known[n:]
	}
	for _, r := range kinds {
		again := of[r]
		for i := range r.shards {
			n := runOf(again, func(g *glimpse) bool { return int(g.shard) == i })
			s.again(again[:n])
			again = again[n:]
			now := r.Now()
			r.shards[i].scan(func(w *entry) {
				s.block = append(s.block, glimpse{w, r, now, w.hits, uint8(i)})
				s.noteLocked(s.block[len(s.block)-1:])
			}, func() { now = r.Now() })
		}
		s.again(again) // of a look at some, which may begin with any shard
	}
}

// runOf returns how many glimpses at the beginning of a list are so.
func runOf(list []glimpse, is func(*glimpse) bool) (n int) {
	for n < len(list) && is(&list[n]) {
		n++
	}
	return n
}

// atSome looks at some workers that have a time to expire, from a place on, and returns the
// next place. The heap, unlike the index, has places. It changes meanwhile, so a few workers
// are passed over, until the next round.
func (s *survey) atSome(kinds []*Registry, p place, some int) place {
	for range len(kinds) * shardCount {
		if p.kind >= len(kinds) {
			p = place{}
		}
		r := kinds[p.kind]
		for from := &r.shards[p.shard]; some > 0; {
			from.mu.Lock()
			now, end, had := time.Duration(0), min(p.index+atOnce, len(from.expiry)), len(s.block)
			if end > 0 {
				now = r.Now()
			}
			for _, e := range from.expiry[min(p.index, end):end] { // so tight that the processor fetches several at a time
				s.block = append(s.block, glimpse{e.w, r, now, e.w.hits, uint8(p.shard)})
			}
			s.noteLocked(s.block[had:])
			more := end < len(from.expiry)
			from.mu.Unlock()
			some -= max(1, end-p.index)
			if p.index = end; !more {
				p.shard, p.index = p.shard+1, 0
				break
			}
		}
		if p.shard == shardCount {
			p = place{kind: p.kind + 1}
		}
		if some <= 0 {
			break
		}
	}
	return p
}

// noteLocked has the workers of new glimpses, all of one shard, be candidates unless they are
// known.
func (s *survey) noteLocked(list []glimpse) {
	for i := range list {
		g := &list[i]
		if w := g.w; !w.counted && w.cached != nil {
			g.w = w.answering()
			g.hits = g.w.hits
		}
		if g.w.started >= s.known {
			s.add(sinceStart(*g))
		}
	}
}

// answering returns w, or the worker whose value is given as stale while w loads.
func (w *entry) answering() *entry {
	if w != nil && w.cached != nil && w.load != nil && w.load.stale != nil {
		return w.load.stale
	}
	return w
}

// sinceStart returns a worker with its rate since it started.
func sinceStart(g glimpse) candidate {
	return candidate{glimpse: g, since: g.w.started, count: g.hits, rate: float64(g.hits) / max(g.at-g.w.started, leastAge).Seconds()}
}

// A best has the candidates with the highest rates.
type best struct {
	list  []candidate
	floor float64 // of a rate that is worth keeping
}

func (b *best) add(c candidate) {
	if c.rate <= b.floor {
		return
	}
	if b.list = append(b.list, c); len(b.list) == 2*poolSize {
		b.sort()
		b.list = b.list[:poolSize]
		b.floor = b.list[poolSize-1].rate
	}
}

func (b *best) sort() {
	slices.SortFunc(b.list, func(x, y candidate) int {
		if x.rate != y.rate {
			return cmp.Compare(y.rate, x.rate)
		}
		return cmp.Or(x.w.id.Compare(y.w.id), cmp.Compare(x.r.name, y.r.name))
	})
}

// again looks at workers once more, a few of a shard at a time.
func (b *best) again(list []glimpse) {
	for len(list) > 0 {
		first := &list[0]
		n := runOf(list[:min(atOnce, len(list))], func(g *glimpse) bool { return g.r == first.r && g.shard == first.shard })
		var hits [atOnce]uint32
		s := first.shardOf()
		s.mu.Lock()
		now := first.r.Now()
		for i := range list[:n] { // so tight that the processor fetches several at a time
			hits[i] = list[i].w.hits
		}
		for i := range list[:n] {
			if g := &list[i]; hits[i] != g.hits {
				b.add(g.again(now))
			}
		}
		s.mu.Unlock()
		list = list[n:]
	}
}

// again returns the worker of a glimpse with its rate since then, under the lock of its shard.
func (g glimpse) again(now time.Duration) candidate {
	before := g
	g.at, g.hits = now, g.w.hits
	c := candidate{glimpse: g, known: true, since: before.at, count: g.hits - before.hits}
	switch {
	case g.w.started >= before.at || g.hits < min(before.hits, manyHits): // its server ended, and there is another one
		return sinceStart(g)
	case g.hits < before.hits: // which could not count further
		c.count += manyHits
	}
	c.rate = float64(c.count) / max(now-before.at, time.Millisecond).Seconds()
	return c
}

// settle returns the best, each of them once, with the workers that their ids have now.
func (b *best) settle() (list []candidate) {
	b.sort()
	b.list = b.list[:min(len(b.list), poolSize)]
	at := make(map[*entry]int, len(b.list))
	for _, c := range b.list {
		if !c.settle(-1) {
			continue
		}
		i, twice := at[c.w]
		if !twice {
			at[c.w] = len(list)
			list = append(list, c)
		} else if c.known && !list[i].known {
			list[i] = c
		}
	}
	b.list = list
	b.sort()
	return b.list
}

// anew looks at the id of c once more.
func (c candidate) anew() candidate {
	s, before := c.shardOf(), c.rate
	s.mu.Lock()
	c = c.again(c.r.Now())
	s.mu.Unlock()
	if !c.settle(before) {
		c.rate = 0
	}
	return c
}

// settle reports whether the id of c has a worker. If that is a new one, c is that: nobody
// has seen all answers since c was looked at, as there may have been other workers. Before is
// what the rate was, which counts for the time that was not seen; -1 if that is not known.
func (c *candidate) settle(before float64) bool {
	s := c.shardOf()
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers.get(c.w.id).answering()
	if w == nil || w == c.w {
		return w != nil
	}
	old, now := *c, c.r.Now()
	*c = candidate{glimpse: glimpse{w, c.r, now, w.hits, c.shard}, known: old.known}
	seen := min(max(0, min(old.w.expires, w.started)-old.since)+now-w.started, now-old.since) // it may have started, and loaded, before
	count := float64(old.count) + float64(w.hits)
	if before < 0 {
		c.rate = count / max(seen, leastAge).Seconds()
		return true
	}
	all := max(now-old.since, seen, leastAge)
	c.rate = (count + before*(all-seen).Seconds()) / all.Seconds()
	return true
}

// busiest describes the first workers of a list that live.
func busiest(list []candidate) (ids []observe.HotID) {
	for _, c := range list {
		s := c.shardOf()
		s.mu.Lock()
		if w := s.workers.get(c.w.id); w != nil {
			if info, live, _ := c.r.infoLocked(w, c.r.Now()); live && c.rate > 0 {
				info.Hits = uint64(c.w.hits)
				ids = append(ids, observe.HotID{Info: info, Rate: c.rate})
			}
		}
		s.mu.Unlock()
		if len(ids) == observe.MaxHot {
			break
		}
	}
	return ids
}

// A queued is a worker for which calls wait.
type queued struct {
	observe.HotID
	w *entry
}

// atRunning looks at the workers for which something runs; a server that never rests has no
// time to expire, so no other look is at it. It returns those with the longest queues, and how
// many workers live.
func (s *survey) atRunning(kinds []*Registry) (list []queued, workers int) {
	least := 0
	for _, r := range kinds {
		for i := range r.shards {
			from, now := &r.shards[i], time.Duration(0)
			from.mu.Lock()
			if len(from.running) > 0 {
				now = r.Now()
			}
			for _, w := range from.running {
				c := sinceStart(glimpse{w, r, now, w.hits, uint8(i)})
				s.add(c)
				if r.machine.waitingLocked(w) <= least {
					continue
				}
				info, _, _ := r.infoLocked(w, now)
				if list = append(list, queued{observe.HotID{Info: info, Rate: c.rate}, w}); len(list) == 2*observe.MaxHot {
					list = cutQueues(list)
					least = list[len(list)-1].Queue
				}
			}
			workers += from.workers.count
			from.mu.Unlock()
		}
	}
	return cutQueues(list), workers
}

// cutQueues returns the longest of some queues.
func cutQueues(list []queued) []queued {
	slices.SortFunc(list, func(x, y queued) int {
		return cmp.Or(cmp.Compare(y.Queue, x.Queue), x.ID.Compare(y.ID), cmp.Compare(x.Kind, y.Kind))
	})
	return list[:min(len(list), observe.MaxHot)]
}

// describe returns the ids of a list of queues, with their rates as far as these were
// measured.
func describe(list []queued, measured []candidate) (ids []observe.HotID) {
	for _, q := range list {
		if i := slices.IndexFunc(measured, func(c candidate) bool { return c.w == q.w }); i >= 0 {
			q.Rate = measured[i].rate
		}
		ids = append(ids, q.HotID)
	}
	return ids
}
