package observer

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/observe"
)

// A past is what the kinds of this node did lately, second by second. Seconds count from 1,
// and so do samples: sample n is of the sampleSeconds seconds that end with n*sampleSeconds.
type past struct {
	mu      sync.Mutex
	began   time.Time
	seconds int                 // the last one that was read; guarded by mu
	kinds   map[string]*history // guarded by mu
	lost    uint64              // answers that were not handed off; guarded by mu
}

// A history is the past of a kind. What it has done lately is nil as long as that is
// nothing, so a kind that nobody asks costs little.
type history struct {
	of   *registry.Registry
	last registry.Reading
	*lately
}

// A lately is what a kind has done in as much time as a node remembers. A sample in which
// nothing happened is nil: BenchmarkPast has what all of it takes.
type lately struct {
	perSecond [observe.Seconds]uint32 // requests; a ring by second
	samples   [ring]*sample           // a ring by number, with the one that has yet to end
	sum       uint64                  // of requests and runs in samples
}

const (
	sampleSeconds = int(observe.SampleTime / time.Second)
	ring          = observe.Samples + 1
	loadSamples   = observe.Seconds / sampleSeconds // of a Load
)

type sample struct {
	latency, runs                                [registry.Buckets]uint32
	failed, degraded, stale, runsFailed, evicted uint32
}

// Run reads the counters once a second until done is closed. What nodes count but do not
// log becomes an event: workers that were evicted, and answers that were lost.
func (o *Observer) Run(done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			o.read()
		case <-done:
			return
		}
	}
}

// read counts what has happened since it was called last as what happened in this second.
func (o *Observer) read() {
	o.Kinds.Sample()
	o.finder.Rest(o.Kinds.Clock.Now())
	p := &o.past
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advance(int(time.Since(p.began) / time.Second))
	found := map[string]bool{}
	for _, r := range o.Kinds.All() {
		found[r.Name()] = true
		h := p.kinds[r.Name()]
		if h == nil || h.of != r { // a kind that was removed and added again counts from 0
			h = &history{of: r}
			p.kinds[r.Name()] = h
		}
		now := r.Read()
		if n := now.Evicted - h.last.Evicted; n > 0 {
			o.Ring.Add(observe.Event{
				Level: "warn", What: "workers evicted", Kind: r.Name(), Why: "their values would take more memory than they may", More: fmt.Sprintf("count=%d", n),
			})
		}
		if now != h.last {
			h.add(p.seconds, &now)
		}
	}
	for name := range p.kinds {
		if !found[name] {
			delete(p.kinds, name)
		}
	}
	if _, lost := o.Handoffs.Stats(); lost > p.lost {
		o.Ring.Add(observe.Event{
			Level: "warn", What: "answers lost", Why: "they could not be handed off to the new owners of their ids", More: fmt.Sprintf("count=%d", lost-p.lost),
		})
		p.lost = lost
	}
}

// of returns what a kind has done lately, or nil if that is nothing.
func (p *past) of(r *registry.Registry) *lately {
	if h := p.kinds[r.Name()]; h != nil && h.of == r {
		return h.lately
	}
	return nil
}

// lastSeconds returns the requests of each of the last seconds up to that one.
func (l *lately) lastSeconds(second int) []uint32 {
	list := make([]uint32, min(second, observe.Seconds))
	if l == nil {
		return list
	}
	for i := range list {
		list[i] = l.perSecond[(second-len(list)+1+i)%observe.Seconds]
	}
	return list
}

// sampleOf returns the number of the sample of a second.
func sampleOf(second int) int { return (second + sampleSeconds - 1) / sampleSeconds }

// advance begins all seconds up to this one. They are several if the process stood still.
func (p *past) advance(to int) {
	p.seconds = max(p.seconds, to-sampleSeconds*ring) // earlier ones are forgotten by then
	for p.seconds < to {
		p.seconds++
		for _, h := range p.kinds {
			if h.lately != nil {
				h.forget(p.seconds)
			}
		}
	}
}

// forget makes room for a second, in place of the oldest.
func (h *history) forget(second int) {
	h.perSecond[second%observe.Seconds] = 0
	if second%sampleSeconds != 1 {
		return
	}
	at := &h.samples[sampleOf(second)%ring]
	if *at == nil {
		return
	}
	h.sum -= (*at).requests() + total(&(*at).runs)
	if *at = nil; h.samples == [ring]*sample{} {
		h.lately = nil
	}
}

// add counts what has come since the last reading in a second.
func (h *history) add(second int, now *registry.Reading) {
	if h.lately == nil {
		h.lately = &lately{}
	}
	at := &h.samples[sampleOf(second)%ring]
	if *at == nil {
		*at = &sample{}
	}
	s, last := *at, &h.last
	h.sum -= s.requests() + total(&s.runs)
	requests := s.requests()
	for i := range registry.Buckets {
		count(&s.latency[i], now.Latency[i]-last.Latency[i])
		count(&s.runs[i], now.Loads[i]-last.Loads[i])
	}
	count(&h.perSecond[second%observe.Seconds], s.requests()-requests)
	count(&s.failed, now.Failed-last.Failed)
	count(&s.degraded, now.Degraded-last.Degraded)
	count(&s.stale, now.Stale-last.Stale)
	count(&s.runsFailed, now.LoadErrs-last.LoadErrs)
	count(&s.evicted, now.Evicted-last.Evicted)
	h.sum += s.requests() + total(&s.runs)
	h.last = *now
}

// count adds to a count, as far as it can count.
func count(to *uint32, n uint64) { *to = uint32(min(uint64(*to)+n, math.MaxUint32)) }

func (s *sample) requests() uint64 { return total(&s.latency) }

func total(counts *[registry.Buckets]uint32) (n uint64) {
	for _, c := range counts {
		n += uint64(c)
	}
	return n
}
