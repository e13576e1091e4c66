package registry

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/distproc/distproc/node/worker"
)

// Values take memory until their workers expire. Beyond a bound, about the least recently
// used ones go before their time: of a few that are chosen at random, the one that has
// been idle longest goes, as in Redis ("Approximated LRU algorithm"). Loading workers
// stay.

// A memory counts the bytes of values of some workers, and is their bound. Zero is no
// bound.
type memory struct {
	limit atomic.Int64
	used  atomic.Int64
}

func (m *memory) over() bool {
	limit := m.limit.Load()
	return limit > 0 && m.used.Load() > limit
}

// Values is the memory of all kinds of a node.
type Values struct {
	memory

	mu    sync.Mutex
	kinds []*cache // guarded by mu
}

// Used returns about how many bytes the values take.
func (v *Values) Used() int64 { return v.used.Load() }

// Limit returns how many bytes they may take; 0 if there is no bound.
func (v *Values) Limit() int64 { return v.limit.Load() }

// SetLimit changes how many bytes they may take. It is called before there are any.
func (v *Values) SetLimit(bytes int64) { v.limit.Store(bytes) }

func (v *Values) add(c *cache) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kinds = append(v.kinds, c)
}

func (v *Values) remove(c *cache) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kinds = slices.DeleteFunc(v.kinds, func(k *cache) bool { return k == c })
}

func (v *Values) list() []*cache {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.kinds)
}

// DefaultMaxMemory returns a quarter of the memory that the process may have: of its
// cgroup's limit, or of the machine's memory. It is 0 if neither can be found out.
func DefaultMaxMemory() int64 { return quarterOfMemory() }

var quarterOfMemory = sync.OnceValue(func() int64 {
	most, err := memlimit.FromCgroup()
	if total, e := memlimit.FromSystem(); e == nil && (err != nil || total < most) {
		most, err = total, nil
	}
	if err != nil {
		return 0
	}
	return int64(most / 4)
})

// workerBytes is about what a worker takes beside its id and its value.
const workerBytes = 200

// textLen returns the length of the text that an id keeps. An integer of at most 64 bits
// keeps none.
func textLen(id worker.ID) int {
	if _, small := id.Int64(); small {
		return 0
	}
	return len(id.String())
}

// size is what w takes once it has a value, or an error.
func (w *entry) size() int64 {
	size := workerBytes + textLen(w.id) + w.value.Len()
	if w.err != nil {
		size += len(w.err.Text)
	}
	return int64(size)
}

// chargeLocked counts the value of w, which does not change until releaseLocked.
func (c *cache) chargeLocked(w *entry) {
	w.counted = true
	c.memory.used.Add(w.size())
	c.values.used.Add(w.size())
}

// releaseLocked undoes chargeLocked, and lets go of the value, because the expiry heap
// has w for as long as it would have lived. A worker that is not counted, or nil, changes
// nothing.
func (c *cache) releaseLocked(w *entry) {
	if w == nil || !w.counted {
		return
	}
	w.counted = false
	c.memory.used.Add(-w.size())
	c.values.used.Add(-w.size())
	w.value = worker.Value{}
}

// useLocked notes that the value of w is used now, in milliseconds modulo 2^32.
func (w *entry) useLocked(now time.Duration) { w.mark = uint32(now / time.Millisecond) }

// idleLocked returns for how long the value of w has not been used, modulo 50 days.
func (w *entry) idleLocked(now time.Duration) time.Duration {
	return time.Duration(uint32(now/time.Millisecond)-w.mark) * time.Millisecond
}

// evictExcess evicts values until those of the kind and those of the node keep to their
// bounds.
func (c *cache) evictExcess() {
	for c.memory.over() && evict([]*cache{c}) {
	}
	if !c.values.over() {
		return
	}
	for kinds := c.values.list(); c.values.over() && evict(kinds); {
	}
}

const (
	samples    = 8  // values of which the one that has been idle longest is evicted
	maxSampled = 64 // tries to find them
)

// A sample is a worker that may be evicted.
type sample struct {
	c    *cache
	s    *shard
	w    *entry
	idle time.Duration
}

// evict drops one value, and reports whether it has found any.
func evict(kinds []*cache) bool {
	var oldest sample
	for tries, found := 0, 0; tries < maxSampled && found < samples; tries++ {
		chosen := choose(kinds)
		if chosen.w == nil {
			continue
		}
		found++
		if oldest.w == nil || chosen.idle > oldest.idle {
			oldest = chosen
		}
	}
	if oldest.w == nil { // few live of those that the heaps hold
		oldest = search(kinds)
	}
	if oldest.w == nil {
		return false
	}
	s := oldest.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if oldest.w.evictableLocked(s) { // else another one has been faster
		oldest.c.dropLocked(s, oldest.w)
		s.evicted++
		if len(s.expiry) > 2*s.workers.count { // or samples would seldom find one that lives
			s.compactLocked()
		}
		s.tidyLocked()
	}
	return true
}

// search returns the worker that has been idle longest of all that may be evicted.
func search(kinds []*cache) (oldest sample) {
	for _, c := range kinds {
		now := c.Now()
		for i := range c.shards {
			s := &c.shards[i]
			s.mu.Lock()
			for w := range s.workers.all() {
				if idle := w.idleLocked(now); w.evictableLocked(s) && (oldest.w == nil || idle > oldest.idle) {
					oldest = sample{c, s, w, idle}
				}
			}
			s.mu.Unlock()
		}
	}
	return oldest
}

// evictableLocked reports whether w has a value, or an error, and is the worker of its
// id.
func (w *entry) evictableLocked(s *shard) bool { return w.counted && s.workers.get(w.id) == w }

// choose returns a worker at random: of a kind in proportion to what its values take.
func choose(kinds []*cache) sample {
	total := int64(0)
	for _, c := range kinds {
		total += c.memory.used.Load()
	}
	if total <= 0 {
		return sample{}
	}
	at := rand.Int64N(total)
	for _, c := range kinds {
		if at -= c.memory.used.Load(); at < 0 {
			return c.sample()
		}
	}
	return sample{}
}

// sample returns a worker at random that may be evicted, or none if it happens not to
// find one.
func (c *cache) sample() sample {
	from := rand.IntN(shardCount)
	for i := range shardCount {
		if found := c.sampleOf(&c.shards[(from+i)%shardCount]); found.w != nil {
			return found
		}
	}
	return sample{}
}

func (c *cache) sampleOf(s *shard) sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.expiry) == 0 {
		return sample{}
	}
	w := s.expiry[rand.IntN(len(s.expiry))].w
	if !w.evictableLocked(s) {
		return sample{}
	}
	return sample{c, s, w, w.idleLocked(c.Now())}
}
