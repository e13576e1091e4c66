package observer

import (
	"cmp"
	"slices"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// loadsHere returns the loads of this node, of at most so many kinds.
func (o *Observer) loadsHere() (list []observe.Load) {
	p := &o.past
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range o.Kinds.All() {
		list = append(list, p.loadLocked(r))
	}
	return most(list)
}

// loadLocked returns the load of a kind. Failures and latencies are those of whole samples,
// and of the one that has yet to end.
func (p *past) loadLocked(r *registry.Registry) observe.Load {
	did := p.of(r)
	l := observe.Load{
		Kind: r.Name(), PerSecond: did.lastSeconds(p.seconds),
		Latency: worker.Histogram{Bounds: registry.DurationBounds(), Counts: make([]uint64, registry.Buckets)},
	}
	if did == nil {
		return l
	}
	for i := range loadSamples {
		s := did.samples[(sampleOf(p.seconds)+ring-i)%ring]
		if s == nil {
			continue
		}
		l.Failed += uint64(s.failed)
		for k, n := range s.latency {
			l.Latency.Counts[k] += uint64(n)
		}
	}
	return l
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
