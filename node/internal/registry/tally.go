package registry

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A tally counts what becomes of the requests for one kind that are made at this node, and of the runs of its source here.
// What a worker answers from its value is counted under the lock of its shard instead, as that costs nothing.
type tally struct {
	local, remote, degraded atomic.Uint64
	failed                  [64]atomic.Uint64 // by code; what is beyond counts as internal
	latency                 durations         // of requests
	runs                    durations
	runErrs                 atomic.Uint64
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
	counts [len(durationBounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

func (d *durations) observe(took time.Duration) {
	i, _ := slices.BinarySearch(durationBounds[:], took)
	d.counts[i].Add(1)
	d.sum.Add(int64(took))
}

// histogram returns what was counted, and zero more.
func (d *durations) histogram(zero uint64) worker.Histogram {
	h := worker.Histogram{Bounds: durationBounds[:], Counts: make([]uint64, len(d.counts)), Sum: time.Duration(d.sum.Load())}
	for i := range d.counts {
		h.Counts[i] = d.counts[i].Load()
	}
	h.Counts[0] += zero
	return h
}

func (t *tally) noteRun(took time.Duration, err *wire.Error) {
	t.runs.observe(took)
	if err != nil {
		t.runErrs.Add(1)
	}
}

// NoteRequest counts a request that was made at this node, and what became of it.
func (r *Registry) NoteRequest(took time.Duration, reply *worker.Reply, err error) {
	r.tally.noteRequest(r.node, took, reply, err)
}

func (t *tally) noteRequest(self string, took time.Duration, reply *worker.Reply, err error) {
	t.latency.observe(took)
	switch {
	case err != nil:
		code := wire.Internal
		if e, ok := errors.AsType[*wire.Error](err); ok && int(e.Code) < len(t.failed) {
			code = e.Code
		}
		t.failed[code].Add(1)
	case reply.Degraded:
		t.degraded.Add(1)
	case reply.Node == self:
		t.local.Add(1)
	default:
		t.remote.Add(1)
	}
}

// Stats returns the counts of the kind.
func (r *Registry) Stats() worker.Stats {
	t := &r.tally
	k := worker.Stats{
		Kind:  r.name,
		Local: t.local.Load(), Remote: t.remote.Load(), Degraded: t.degraded.Load(),
		Failed: map[string]uint64{},
		Loads:  t.runs.histogram(0), LoadErrs: t.runErrs.Load(),
	}
	for code := range t.failed {
		if n := t.failed[code].Load(); n > 0 {
			k.Failed[wire.Code(code).Error()] = n
		}
	}
	hits := uint64(0)
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		hits += s.hits
		k.Expired += s.expired
		k.Evicted += s.evicted
		k.Workers += s.workers.count
		for _, w := range s.loading {
			k.Waiting += w.waiting()
		}
		s.mu.Unlock()
	}
	k.Local += hits
	k.Bytes = r.memory.used.Load()
	k.Running, k.Queued = r.gate.counts()
	k.Latency = t.latency.histogram(hits)
	return k
}

// waiting returns how many calls wait for w, which is loading or serving.
func (w *entry) waiting() int {
	if w.mail != nil {
		return w.mail.waiting
	}
	return w.load.waiting()
}
