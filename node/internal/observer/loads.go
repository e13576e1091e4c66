package observer

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// loads has the loads of this node in the last seconds.
type loads struct {
	mu    sync.Mutex
	ticks int                 // seconds that were read, but the first, which begins; guarded by mu
	kinds map[string]*history // guarded by mu
	lost  uint64              // answers that were not handed off; guarded by mu
}

// A history is the last seconds of a kind. Its slice is made when there is a request, so
// that a kind that nobody asks costs little.
type history struct {
	last    registry.Reading
	of      *registry.Registry
	seconds []second // a ring by tick, of observe.Seconds; nil if there was no request yet
	quiet   int      // seconds without requests since the last one
}

type second struct {
	requests, failed uint32
	latency          [len(registry.Reading{}.Latency)]uint32
}

// Run reads the counters once a second until done is closed. What nodes count but do not
// log becomes an event: workers that were evicted, and answers that were lost.
func (o *Observer) Run(done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	o.read()
	for {
		select {
		case <-tick.C:
			o.read()
		case <-done:
			return
		}
	}
}

// read counts one more second.
func (o *Observer) read() {
	o.Kinds.Sample()
	o.loads.mu.Lock()
	defer o.loads.mu.Unlock()
	l := &o.loads
	found := map[string]bool{}
	for _, r := range o.Kinds.All() {
		found[r.Name()] = true
		h := l.kinds[r.Name()]
		if h == nil || h.of != r { // a kind that was removed and added again counts from 0
			h = &history{of: r}
			l.kinds[r.Name()] = h
			if l.ticks == 0 {
				h.last = r.Read()
				continue
			}
		}
		now := r.Read()
		if n := now.Evicted - h.last.Evicted; n > 0 {
			o.Ring.Add(observe.Event{
				Level: "warn", What: "workers evicted", Kind: r.Name(), Why: "their values would take more memory than they may", More: fmt.Sprintf("count=%d", n),
			})
		}
		h.add(l.ticks, &now)
	}
	for name := range l.kinds {
		if !found[name] {
			delete(l.kinds, name)
		}
	}
	l.ticks++
	if _, lost := o.Handoffs.Stats(); lost > l.lost {
		o.Ring.Add(observe.Event{
			Level: "warn", What: "answers lost", Why: "they could not be handed off to the new owners of their ids", More: fmt.Sprintf("count=%d", lost-l.lost),
		})
		l.lost = lost
	}
}

// add counts what has come since the last reading as that of a tick.
func (h *history) add(tick int, now *registry.Reading) {
	var s second
	for i := range s.latency {
		s.latency[i] = uint32(now.Latency[i] - h.last.Latency[i])
		s.requests += s.latency[i]
	}
	s.failed = uint32(now.Failed - h.last.Failed)
	h.last = *now
	if s.requests == 0 {
		if h.quiet++; h.quiet >= observe.Seconds {
			h.seconds = nil
		}
	} else if h.quiet = 0; h.seconds == nil {
		h.seconds = make([]second, observe.Seconds)
	}
	if h.seconds != nil {
		h.seconds[tick%observe.Seconds] = s
	}
}

// loadsHere returns the loads of this node, of at most so many kinds.
func (o *Observer) loadsHere() (list []observe.Load) {
	o.loads.mu.Lock()
	defer o.loads.mu.Unlock()
	past := min(max(o.loads.ticks-1, 0), observe.Seconds)
	for _, r := range o.Kinds.All() {
		l := observe.Load{Kind: r.Name(), PerSecond: make([]uint32, past), Latency: worker.Histogram{Bounds: registry.DurationBounds()}}
		l.Latency.Counts = make([]uint64, len(registry.Reading{}.Latency))
		h := o.loads.kinds[r.Name()]
		for i := range past {
			if h == nil || h.seconds == nil { // it is new, or idle
				break
			}
			s := &h.seconds[(o.loads.ticks-past+i)%observe.Seconds]
			l.PerSecond[i] = s.requests
			l.Failed += uint64(s.failed)
			for k, n := range s.latency {
				l.Latency.Counts[k] += uint64(n)
			}
		}
		list = append(list, l)
	}
	return most(list)
}

// sum adds up the loads of each kind. The last seconds of nodes are taken for the same.
func sum(all []observe.Load) (list []observe.Load) {
	at := map[string]int{}
	for _, l := range all {
		i, ok := at[l.Kind]
		if !ok {
			at[l.Kind] = len(list)
			list = append(list, l)
			continue
		}
		to := &list[i]
		if len(to.PerSecond) < len(l.PerSecond) {
			to.PerSecond, l.PerSecond = l.PerSecond, to.PerSecond
		}
		for k, n := range l.PerSecond {
			to.PerSecond[len(to.PerSecond)-len(l.PerSecond)+k] += n
		}
		to.Failed += l.Failed
		if slices.Equal(to.Latency.Bounds, l.Latency.Bounds) && len(to.Latency.Counts) == len(l.Latency.Counts) { // else the node is of another version
			for k, n := range l.Latency.Counts {
				to.Latency.Counts[k] += n
			}
		}
	}
	return list
}

// most returns at most observe.MaxKinds loads, those with the most requests, by kind.
func most(list []observe.Load) []observe.Load {
	if len(list) > observe.MaxKinds {
		requests := func(l observe.Load) (n uint64) {
			for _, c := range l.Latency.Counts {
				n += c
			}
			return n
		}
		slices.SortFunc(list, func(a, b observe.Load) int { return cmp.Compare(requests(b), requests(a)) })
		list = list[:observe.MaxKinds]
	}
	slices.SortFunc(list, func(a, b observe.Load) int { return cmp.Compare(a.Kind, b.Kind) })
	return list
}
