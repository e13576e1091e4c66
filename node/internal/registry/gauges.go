package registry

import "time"

// sourceGrace is how long a source may go on after the end of its context before it
// counts as stuck.
const sourceGrace = time.Second

// Gauges are what there is of a kind now. Names are those of observe.KindFigures.
type Gauges struct {
	Workers, Waiting, Longest           int
	Bytes, MaxBytes                     int64
	Running, Concurrency, Queued, Stuck int
	StuckFor                            time.Duration
}

// Gauges returns what there is now. It looks at the workers for which something runs, and
// not at the others: BenchmarkGauges.
func (r *Registry) Gauges() (g Gauges) {
	now := r.Now()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		g.Workers += s.workers.count
		for _, w := range s.running {
			waiting := r.machine.waitingLocked(w)
			g.Waiting += waiting
			g.Longest = max(g.Longest, waiting)
			if over, stuck := r.lateLocked(w, now); stuck {
				g.Stuck++
				g.StuckFor = max(g.StuckFor, over)
			}
		}
		s.mu.Unlock()
	}
	if r.cache != nil {
		g.Bytes, g.MaxBytes = r.cache.memory.used.Load(), r.cache.memory.limit.Load()
	}
	g.Running, g.Queued = r.gate.counts()
	g.Concurrency = max(0, r.machine.current().concurrency)
	return g
}

// lateLocked reports for how long the run of w has gone on since its time was up, and
// whether that is long enough for it to count as stuck.
func (t *table) lateLocked(w *entry, now time.Duration) (over time.Duration, stuck bool) {
	began, timeout, turn := t.machine.runLocked(w)
	over = now - began - timeout
	return over, over > sourceGrace && !t.gate.holds(turn) // else it has not begun
}

// Stuck returns how many sources have not returned although their time was up a second
// ago.
func (t *table) Stuck() (n int) {
	now := t.Now()
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, w := range s.running {
			if _, stuck := t.lateLocked(w, now); stuck {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}
