package kinds

import (
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
)

// A Count is what the workers of all kinds have together.
type Count struct {
	Workers int     // live
	Stuck   int     // runs of a source that go on after their timeout
	Answers uint64  // since the start
	Rate    float64 // answers per second in the last 5 s
	Evicted uint64  // since the start
}

// Count returns what there is now. What the workers of removed kinds have done since the
// start counts, too.
func (s *Set) Count() (c Count) {
	c.Answers, c.Evicted = s.done()
	c.Rate = s.meter.rate(sample{time.Now(), c.Answers})
	for _, r := range s.All() {
		live, _, _ := r.Count()
		c.Workers += live
		c.Stuck += r.Stuck()
	}
	return c
}

// Stats returns the counts of each kind, by name.
func (s *Set) Stats() (list []worker.Stats) {
	for _, r := range s.All() {
		list = append(list, r.Stats())
	}
	return list
}

// Inspect describes the worker of a key on this node.
func (s *Set) Inspect(k worker.Key) registry.Status {
	r := s.Of(k.Kind)
	if r == nil {
		return registry.Status{NoKind: true}
	}
	return r.Inspect(k.ID)
}

// done returns how many answers there were since the start, and how many evictions.
func (s *Set) done() (answers, evicted uint64) {
	s.mu.Lock() // so that a kind that is just being removed is found once
	answers, evicted = s.ended.Answers, s.ended.Evicted
	list := append(slices.Clone(s.removed), s.All()...)
	s.mu.Unlock()
	for _, r := range list {
		_, a, e := r.Count()
		answers, evicted = answers+a, evicted+e
	}
	return answers, evicted
}

// Sample notes how many answers there are. [Count].Rate is right if it is called once a second.
func (s *Set) Sample() {
	answers, _ := s.done()
	s.meter.note(sample{time.Now(), answers})
}

const (
	meterEvery = time.Second
	meterTime  = 5 * time.Second // over which a rate is
)

// A meter calculates a rate from counts of the last few seconds. The callers that are
// counted do nothing for it.
type meter struct {
	mu      sync.Mutex
	samples []sample // oldest first; note keeps one that is older than meterTime; guarded by mu
}

// A sample is how many answers there were at a time.
type sample struct {
	at      time.Time
	answers uint64
}

func (m *meter) note(now sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.samples) > 1 && now.at.Sub(m.samples[1].at) >= meterTime {
		m.samples = slices.Delete(m.samples, 0, 1)
	}
	m.samples = append(m.samples, now)
}

// rate returns the answers per second up to now since the last sample that is as old as
// meterTime. A node that has started less than a second ago counts as a second old.
func (m *meter) rate(now sample) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var first sample
	for i, s := range m.samples {
		if i == 0 || now.at.Sub(s.at) >= meterTime {
			first = s
		}
	}
	if first.at.IsZero() || now.answers < first.answers {
		return 0
	}
	return float64(now.answers-first.answers) / max(now.at.Sub(first.at), meterEvery).Seconds()
}
