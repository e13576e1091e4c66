package page

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/distproc/distproc/node/observe"
)

const (
	slots       = observe.Samples // that a past tells
	ringSlots   = slots + 4       // that it keeps: the newest ones are not complete yet
	minuteSlots = 12              // the last minute
	heldKinds   = 2 * observe.MaxPasts
	maxBounds   = 64 // buckets of a histogram
)

// A past is what kinds did in the last slots, on one member or on all together. Slots are
// numbered by the time at which they end, in steps of observe.SampleTime: see hub.slotAt.
type past struct {
	bounds []time.Duration // of all histograms
	kinds  map[string]*[ringSlots]cell
	known  [ringSlots]int64 // the slot of which something is known, in its place of the ring
	alone  bool             // it is of one member: old histograms shrink to quantiles
}

// A cell is what a kind did in a slot. Counts stay at their highest value rather than
// overflow.
type cell struct {
	slot                    int64 // for which the rest counts
	requests, runs          uint32
	failed, degraded, stale uint32
	runsFailed, evicted     uint32
	latency, took           []uint32 // requests and runs, by bucket; nil if there were none, or if it has shrunk
	shrunk                  bool
	p50, p99, took99        uint8 // buckets, once it has shrunk
}

func newPast(bounds []time.Duration, alone bool) *past {
	return &past{bounds: bounds, kinds: make(map[string]*[ringSlots]cell), alone: alone}
}

// know records that something is known of a slot: kinds without a cell did nothing in it.
func (p *past) know(slot int64) { p.known[index(slot)] = max(p.known[index(slot)], slot) }

func (p *past) knows(slot int64) bool { return slot > 0 && p.known[index(slot)] == slot }

func index(slot int64) int { return int(uint64(slot) % ringSlots) }

// add adds a sample to a slot. Buckets gives the bucket here for each one of the sample.
// Own reports the kinds that must not make room for others.
func (p *past) add(kind string, slot int64, s *observe.Sample, buckets []int, own func(string) bool) {
	ring := p.kinds[kind]
	if ring == nil {
		if len(p.kinds) >= heldKinds && !p.makeRoom(own) {
			return
		}
		ring = new([ringSlots]cell)
		p.kinds[kind] = ring
	}
	c := &ring[index(slot)]
	if c.slot > slot {
		return // it is of a later round of the ring
	}
	if c.slot < slot {
		*c = cell{slot: slot}
	}
	n := len(p.bounds) + 1
	c.requests = more(c.requests, c.take(&c.latency, s.Latency, buckets, n))
	c.runs = more(c.runs, c.take(&c.took, s.Runs, buckets, n))
	c.failed = more(c.failed, s.Failed)
	c.degraded = more(c.degraded, s.Degraded)
	c.stale = more(c.stale, s.Stale)
	c.runsFailed = more(c.runsFailed, s.RunsFailed)
	c.evicted = more(c.evicted, s.Evicted)
}

// take adds a histogram to one of the cell, and returns how many it counted. One that does
// not go with its bounds is left out.
func (c *cell) take(to *[]uint32, from []uint32, buckets []int, n int) (sum uint32) {
	if len(from) != len(buckets) {
		return 0
	}
	for i, k := range from {
		if k == 0 {
			continue
		}
		sum = more(sum, k)
		if !c.shrunk {
			if *to == nil {
				*to = make([]uint32, n)
			}
			(*to)[buckets[i]] = more((*to)[buckets[i]], k)
		}
	}
	return sum
}

// more returns a+b, or the highest value.
func more(a, b uint32) uint32 {
	if a > math.MaxUint32-b {
		return math.MaxUint32
	}
	return a + b
}

// makeRoom drops the kind that has done the least, if there is one that may go.
func (p *past) makeRoom(own func(string) bool) bool {
	least, weight := "", uint64(math.MaxUint64)
	for kind, ring := range p.kinds {
		if w := weigh(ring); !own(kind) && (w < weight || w == weight && kind > least) {
			least, weight = kind, w
		}
	}
	delete(p.kinds, least)
	return weight < math.MaxUint64
}

// weigh returns how much a kind has done, in all of its slots.
func weigh(ring *[ringSlots]cell) (n uint64) {
	for i := range ring {
		n += uint64(ring[i].requests) + uint64(ring[i].runs)
	}
	return n
}

// forget drops the kinds that have done nothing in the slots up to last that a past keeps,
// and shrinks old histograms if the past is of one member.
func (p *past) forget(last int64) {
	maps.DeleteFunc(p.kinds, func(_ string, ring *[ringSlots]cell) bool {
		newest := int64(0)
		for i := range ring {
			newest = max(newest, ring[i].slot)
			if c := &ring[i]; p.alone && c.slot <= last-minuteSlots && !c.shrunk {
				c.shrink()
			}
		}
		return newest <= last-slots
	})
}

func (c *cell) shrink() {
	c.shrunk = true
	c.p50, c.p99, c.took99 = bucket(c.latency, 0.5), bucket(c.latency, 0.99), bucket(c.took, 0.99)
	c.latency, c.took = nil, nil
}

// none is the bucket of the quantile of nothing.
const none = math.MaxUint8

// bucket returns the bucket in which a part of what a histogram counts ends, such as 0.99.
func bucket[N uint32 | uint64](counts []N, part float64) uint8 {
	total, sum := uint64(0), uint64(0)
	for _, n := range counts {
		total += uint64(n)
	}
	if total == 0 {
		return none
	}
	for i, n := range counts {
		if sum += uint64(n); float64(sum) >= part*float64(total) {
			return uint8(i)
		}
	}
	return uint8(len(counts) - 1)
}

// boundOf returns the upper bound of a bucket in milliseconds, and whether what it counts
// may be above it. Nothing has a negative one.
func boundOf(bounds []time.Duration, bucket uint8) (ms float64, over bool) {
	if bucket == none || len(bounds) == 0 {
		return -1, false
	}
	i := min(int(bucket), len(bounds)-1)
	return millis(bounds[i]), int(bucket) >= len(bounds)
}

// millis returns d in milliseconds, to a microsecond.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// A pastMessage is the event past or step.
type pastMessage struct {
	Seq   int64      `json:"seq"` // of the last step
	Step  int64      `json:"step_ms"`
	End   time.Time  `json:"end"` // of the last step
	Steps int        `json:"steps"`
	Kinds []pastKind `json:"kinds"`
}

// A pastKind is what a kind did, step by step.
type pastKind struct {
	Kind       string  `json:"kind"`
	Requests   numbers `json:"requests"`
	Failed     numbers `json:"failed"`
	Degraded   numbers `json:"degraded"`
	Stale      numbers `json:"stale"`
	P50        numbers `json:"p50_ms"`
	P99        numbers `json:"p99_ms"`
	Runs       numbers `json:"runs"`
	RunsFailed numbers `json:"runs_failed"`
	RunP99     numbers `json:"run_p99_ms"`
	Evicted    numbers `json:"evicted"`
}

// numbers are written as JSON with null in the place of negative ones.
type numbers []float64

// MarshalJSON writes the list.
func (n numbers) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 2+5*len(n)), '[')
	for i, x := range n {
		if i > 0 {
			b = append(b, ',')
		}
		if x < 0 {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendFloat(b, x, 'f', -1, 64)
		}
	}
	return append(b, ']'), nil
}

// message returns what happened in at most n slots up to last. It begins with the first one
// of which something is known.
func (p *past) message(last int64, n int, end time.Time, own func(string) bool) pastMessage {
	first := last + 1
	for slot := last - int64(n) + 1; slot <= last; slot++ {
		if p.knows(slot) {
			first = slot
			break
		}
	}
	if n == 1 {
		first = last // a step of which nothing is known is a step, too
	}
	m := pastMessage{Seq: last, Step: observe.SampleTime.Milliseconds(), End: end.UTC(), Steps: int(last - first + 1), Kinds: []pastKind{}}
	for _, kind := range p.ranked(own)[:min(len(p.kinds), observe.MaxPasts)] {
		m.Kinds = append(m.Kinds, p.kindMessage(kind, first, last))
	}
	slices.SortFunc(m.Kinds, func(a, b pastKind) int { return cmp.Compare(a.Kind, b.Kind) })
	return m
}

// ranked returns the kinds, the most important ones first: own ones, then those that did
// the most.
func (p *past) ranked(own func(string) bool) []string {
	type rank struct {
		own    bool
		weight uint64
	}
	ranks := make(map[string]rank, len(p.kinds))
	for kind, ring := range p.kinds {
		ranks[kind] = rank{own(kind), weigh(ring)}
	}
	return slices.SortedFunc(maps.Keys(ranks), func(a, b string) int {
		if ranks[a].own != ranks[b].own {
			if ranks[a].own {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(ranks[b].weight, ranks[a].weight), cmp.Compare(a, b))
	})
}

func (p *past) kindMessage(kind string, first, last int64) pastKind {
	steps := int(last - first + 1)
	all := make(numbers, 10*steps)
	k := pastKind{Kind: kind}
	for i, list := range []*numbers{
		&k.Requests, &k.Failed, &k.Degraded, &k.Stale, &k.P50, &k.P99, &k.Runs, &k.RunsFailed, &k.RunP99, &k.Evicted,
	} {
		*list = all[i*steps : (i+1)*steps : (i+1)*steps]
	}
	ring := p.kinds[kind]
	for i := range steps {
		slot := first + int64(i)
		c := &ring[index(slot)]
		switch {
		case c.slot == slot:
		case p.knows(slot):
			c = &cell{}
		default:
			for s := range 10 {
				all[s*steps+i] = -1
			}
			continue
		}
		p50, p99, took99 := c.p50, c.p99, c.took99
		if !c.shrunk {
			p50, p99, took99 = bucket(c.latency, 0.5), bucket(c.latency, 0.99), bucket(c.took, 0.99)
		}
		k.Requests[i], k.Failed[i], k.Degraded[i], k.Stale[i] = float64(c.requests), float64(c.failed), float64(c.degraded), float64(c.stale)
		k.Runs[i], k.RunsFailed[i], k.Evicted[i] = float64(c.runs), float64(c.runsFailed), float64(c.evicted)
		k.P50[i], _ = boundOf(p.bounds, p50)
		k.P99[i], _ = boundOf(p.bounds, p99)
		k.RunP99[i], _ = boundOf(p.bounds, took99)
	}
	return k
}

// A minute is what a kind did in the last minute.
type minute struct {
	requests, failed, degraded, stale uint64
	runs, runsFailed, evicted         uint64
	latency, took                     []uint64 // by bucket
}

// minute adds up the last minute of a kind. It does not count what has shrunk.
func (p *past) minute(kind string, last int64) (m minute) {
	ring := p.kinds[kind]
	if ring == nil {
		return m
	}
	m.latency, m.took = make([]uint64, len(p.bounds)+1), make([]uint64, len(p.bounds)+1)
	for slot := last - minuteSlots + 1; slot <= last; slot++ {
		c := &ring[index(slot)]
		if c.slot != slot {
			continue
		}
		m.requests += uint64(c.requests)
		m.failed += uint64(c.failed)
		m.degraded += uint64(c.degraded)
		m.stale += uint64(c.stale)
		m.runs += uint64(c.runs)
		m.runsFailed += uint64(c.runsFailed)
		m.evicted += uint64(c.evicted)
		for i, n := range c.latency {
			m.latency[i] += uint64(n)
		}
		for i, n := range c.took {
			m.took[i] += uint64(n)
		}
	}
	return m
}

// A minuteMessage is a minute in JSON. Quantiles are upper bounds of buckets; one of nothing
// is null, and one that is over may be above its bound.
type minuteMessage struct {
	Requests   uint64   `json:"requests"`
	Failed     uint64   `json:"failed"`
	Degraded   uint64   `json:"degraded"`
	Stale      uint64   `json:"stale"`
	P50        *float64 `json:"p50_ms"`
	P50Over    bool     `json:"p50_over,omitempty"`
	P99        *float64 `json:"p99_ms"`
	P99Over    bool     `json:"p99_over,omitempty"`
	Runs       uint64   `json:"runs"`
	RunsFailed uint64   `json:"runs_failed"`
	RunP50     *float64 `json:"run_p50_ms"`
	RunP50Over bool     `json:"run_p50_over,omitempty"`
	RunP99     *float64 `json:"run_p99_ms"`
	RunP99Over bool     `json:"run_p99_over,omitempty"`
	Evicted    uint64   `json:"evicted"`
}

func (m minute) message(bounds []time.Duration) (j minuteMessage) {
	j = minuteMessage{
		Requests: m.requests, Failed: m.failed, Degraded: m.degraded, Stale: m.stale,
		Runs: m.runs, RunsFailed: m.runsFailed, Evicted: m.evicted,
	}
	quantile := func(counts []uint64, part float64) (*float64, bool) {
		ms, over := boundOf(bounds, bucket(counts, part))
		if ms < 0 {
			return nil, false
		}
		return &ms, over
	}
	j.P50, j.P50Over = quantile(m.latency, 0.5)
	j.P99, j.P99Over = quantile(m.latency, 0.99)
	j.RunP50, j.RunP50Over = quantile(m.took, 0.5)
	j.RunP99, j.RunP99Over = quantile(m.took, 0.99)
	return j
}

// validBounds reports whether bounds can be those of a histogram.
func validBounds(bounds []time.Duration) bool {
	if len(bounds) == 0 || len(bounds) > maxBounds {
		return false
	}
	low := time.Duration(0)
	for _, b := range bounds {
		if b <= low {
			return false
		}
		low = b
	}
	return true
}

// bucketsOf returns, for each bucket of a member, the one here that has its upper bound, or
// the next higher one. It is nil if the bounds of the member make no sense.
func bucketsOf(here, theirs []time.Duration) []int {
	if !validBounds(theirs) {
		return nil
	}
	buckets := make([]int, len(theirs)+1)
	for i, b := range theirs {
		buckets[i], _ = slices.BinarySearch(here, b)
	}
	buckets[len(theirs)] = len(here)
	return buckets
}
