package registry

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// counters count what becomes of the requests for one kind that are made at this node,
// and of the runs of its source or servers here. What is quick is counted in the shard of
// its id instead, as a counter that all processors write makes it slow: answers from a
// worker's value, requests that are answered here, and messages.
type counters struct {
	local, remote, degraded atomic.Uint64
	stale                   atomic.Uint64     // of these
	failed                  [64]atomic.Uint64 // by code; what is beyond counts as internal
	latency                 durations         // of requests
	runs                    durations
	runErrs                 atomic.Uint64
	fenced                  atomic.Uint64 // runs of a strict kind
}

// durationBounds are the upper bounds of the buckets in which durations are counted.
var durationBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

type durations struct {
	counts [Buckets]atomic.Uint64
	sum    atomic.Int64
}

func (d *durations) observe(took time.Duration) {
	i, _ := slices.BinarySearch(durationBounds[:], took)
	d.counts[i].Add(1)
	d.sum.Add(int64(took))
}

// histogram returns what was counted, and some more that were quick and took a time in all.
func (d *durations) histogram(quick uint64, sum int64) worker.Histogram {
	h := worker.Histogram{Bounds: durationBounds[:], Counts: make([]uint64, len(d.counts)), Sum: time.Duration(d.sum.Load() + sum)}
	for i := range d.counts {
		h.Counts[i] = d.counts[i].Load()
	}
	h.Counts[0] += quick
	return h
}

// A tally counts what takes no longer than the first of durationBounds.
type tally struct {
	count atomic.Uint64
	sum   atomic.Int64
}

// observe counts what took some time, and reports whether that is the tally's to count.
func (q *tally) observe(took time.Duration) bool {
	if took > durationBounds[0] {
		return false
	}
	q.count.Add(1)
	q.sum.Add(int64(took))
	return true
}

func (n *counters) addRun(took time.Duration, err *wire.Error) {
	n.runs.observe(took)
	if err != nil {
		n.runErrs.Add(1)
		if err.Code == wire.Fenced {
			n.fenced.Add(1)
		}
	}
}

// NoteRequest counts a request for id that was made at this node, and what became of it.
func (t *table) NoteRequest(id worker.ID, took time.Duration, reply *worker.Reply, err error) {
	here := err == nil && !reply.Degraded && !reply.Stale && reply.Node == t.node
	if !here || !t.shard(id).requests.observe(took) {
		t.counters.addRequest(t.node, took, reply, err)
	}
}

func (n *counters) addRequest(self string, took time.Duration, reply *worker.Reply, err error) {
	n.latency.observe(took)
	if err == nil && reply.Stale {
		n.stale.Add(1)
	}
	switch {
	case err != nil:
		code := wire.Internal
		if e, ok := errors.AsType[*wire.Error](err); ok && int(e.Code) < len(n.failed) {
			code = e.Code
		}
		n.failed[code].Add(1)
	case reply.Degraded:
		n.degraded.Add(1)
	case reply.Node == self:
		n.local.Add(1)
	default:
		n.remote.Add(1)
	}
}

// Stats returns the counts of the kind.
func (r *Registry) Stats() worker.Stats {
	n, now := &r.counters, r.Gauges()
	k := worker.Stats{
		Kind:  r.name,
		Local: n.local.Load(), Remote: n.remote.Load(), Degraded: n.degraded.Load(), Stale: n.stale.Load(),
		Failed: map[string]uint64{}, LoadErrs: n.runErrs.Load(), Strict: r.Strict(), Fenced: n.fenced.Load(),
		Workers: now.Workers, Bytes: now.Bytes, Waiting: now.Waiting, Running: now.Running, Queued: now.Queued, Stuck: now.Stuck,
	}
	for code := range n.failed {
		if count := n.failed[code].Load(); count > 0 {
			k.Failed[wire.Code(code).Error()] = count
		}
	}
	var quick, runs uint64 // requests, and runs
	var quickSum, runsSum int64
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		quick += s.hits + s.requests.count.Load()
		quickSum += s.requests.sum.Load()
		runs += s.runs.count.Load()
		runsSum += s.runs.sum.Load()
		k.Expired += s.expired
		k.Evicted += s.evicted
		s.mu.Unlock()
	}
	k.Local += quick
	k.Latency, k.Loads = n.latency.histogram(quick, quickSum), n.runs.histogram(runs, runsSum)
	return k
}

// Buckets is how many buckets durations are counted in.
const Buckets = len(durationBounds) + 1

// A Reading is what has been counted of a kind since the start, as far as its rates need
// it. Names are those of worker.Stats.
type Reading struct {
	Latency, Loads                             [Buckets]uint64
	Failed, Degraded, Stale, LoadErrs, Evicted uint64
}

// Read returns a Reading. It takes less time than Stats.
func (r *Registry) Read() (n Reading) {
	c := &r.counters
	for i := range Buckets {
		n.Latency[i], n.Loads[i] = c.latency.counts[i].Load(), c.runs.counts[i].Load()
	}
	for code := range c.failed {
		n.Failed += c.failed[code].Load()
	}
	n.Degraded, n.Stale, n.LoadErrs = c.degraded.Load(), c.stale.Load(), c.runErrs.Load()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n.Latency[0] += s.hits + s.requests.count.Load()
		n.Loads[0] += s.runs.count.Load()
		n.Evicted += s.evicted
		s.mu.Unlock()
	}
	return n
}

// DurationBounds returns the upper bounds of the buckets of a Reading.
func DurationBounds() []time.Duration { return slices.Clone(durationBounds[:]) }
