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

// Values take memory until their workers expire. Beyond a bound, the least recently used
// ones go before their time, about: of a few that are chosen at random, the one that has
// been idle longest goes, as in Redis ("Approximated LRU algorithm"). Loading workers and
// servers stay.

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
	kinds []*Registry // guarded by mu
}

// Used returns about how many bytes the values take.
func (v *Values) Used() int64 { return v.used.Load() }

// Limit returns how many bytes they may take; 0 if there is no bound.
func (v *Values) Limit() int64 { return v.limit.Load() }

// SetLimit changes how many bytes they may take. It is called before there are any.
func (v *Values) SetLimit(bytes int64) { v.limit.Store(bytes) }

func (v *Values) add(r *Registry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kinds = append(v.kinds, r)
}

func (v *Values) remove(r *Registry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kinds = slices.DeleteFunc(v.kinds, func(k *Registry) bool { return k == r })
}

func (v *Values) list() []*Registry {
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
func (r *Registry) chargeLocked(w *entry) {
	w.counted = true
	r.memory.used.Add(w.size())
	r.values.used.Add(w.size())
}

// releaseLocked undoes chargeLocked, and lets go of the value: the expiry heap has w for
// as long as it would have lived. A worker that is not counted, or nil, changes nothing.
func (r *Registry) releaseLocked(w *entry) {
	if w == nil || !w.counted {
		return
	}
	w.counted = false
	r.memory.used.Add(-w.size())
	r.values.used.Add(-w.size())
	w.value = worker.Value{}
}

// useLocked notes that the value of w is used now, in milliseconds modulo 2^32.
func (w *entry) useLocked(now time.Duration) { w.mark = uint32(now / time.Millisecond) }

// idleLocked returns for how long the value of w has not been used, modulo 50 days.
func (w *entry) idleLocked(now time.Duration) time.Duration {
	return time.Duration(uint32(now/time.Millisecond)-w.mark) * time.Millisecond
}

// makeRoom evicts values until those of the kind and those of the node keep to their
// bounds.
func (r *Registry) makeRoom() {
	for r.memory.over() && evict([]*Registry{r}) {
	}
	if !r.values.over() {
		return
	}
	for kinds := r.values.list(); r.values.over() && evict(kinds); {
	}
}

const (
	samples    = 8  // values of which the one that has been idle longest is evicted
	maxSampled = 64 // tries to find them
)

// A sample is a worker that may be evicted.
type sample struct {
	r    *Registry
	s    *shard
	w    *entry
	idle time.Duration
}

// evict drops one value, and reports whether it has found any.
func evict(kinds []*Registry) bool {
	var oldest sample
	for tries, found := 0, 0; tries < maxSampled && found < samples; tries++ {
		c := choose(kinds)
		if c.w == nil {
			continue
		}
		found++
		if oldest.w == nil || c.idle > oldest.idle {
			oldest = c
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
		oldest.r.dropLocked(s, oldest.w)
		s.evicted++
		if len(s.expiry) > 2*s.workers.count { // or samples would seldom find one that lives
			s.compactLocked()
		}
		s.tidyLocked()
	}
	return true
}

// search returns the worker that has been idle longest of all that may be evicted.
func search(kinds []*Registry) (oldest sample) {
	for _, r := range kinds {
		now := r.Now()
		for i := range r.shards {
			s := &r.shards[i]
			s.mu.Lock()
			for w := range s.workers.all() {
				if idle := w.idleLocked(now); w.evictableLocked(s) && (oldest.w == nil || idle > oldest.idle) {
					oldest = sample{r, s, w, idle}
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
func choose(kinds []*Registry) sample {
	total := int64(0)
	for _, r := range kinds {
		total += r.memory.used.Load()
	}
	if total <= 0 {
		return sample{}
	}
	at := rand.Int64N(total)
	for _, r := range kinds {
		if at -= r.memory.used.Load(); at < 0 {
			return r.sample()
		}
	}
	return sample{}
}

// sample returns a worker at random that may be evicted, or none if it happens not to
// find one.
func (r *Registry) sample() sample {
	from := rand.IntN(shardCount)
	for i := range shardCount {
		if found := r.sampleOf(&r.shards[(from+i)%shardCount]); found.w != nil {
			return found
		}
	}
	return sample{}
}

func (r *Registry) sampleOf(s *shard) sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.expiry) == 0 {
		return sample{}
	}
	w := s.expiry[rand.IntN(len(s.expiry))].w
	if !w.evictableLocked(s) {
		return sample{}
	}
	return sample{r, s, w, w.idleLocked(r.Now())}
}

// tidyLocked gives back memory of a shard that was much larger.
func (s *shard) tidyLocked() {
	s.workers.shrink()
	if n := len(s.expiry); cap(s.expiry) > 4*n+tidyFrom {
		s.expiry = append(make(expiryHeap, 0, 2*n), s.expiry...)
	}
	if n := len(s.loading); cap(s.loading) > 4*n+tidyFrom {
		s.loading = append(make([]*entry, 0, 2*n), s.loading...)
	}
}

const tidyFrom = 64 // entries that are never given back
