package observer

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/wire"
)

// Figures returns the figures of this node or of another member.
func (o *Observer) Figures(ctx context.Context, q observe.FiguresQuery) (f observe.Figures, err error) {
	p, err := o.member(q.Node)
	if err != nil {
		return f, err
	}
	if p.Self {
		return o.figuresHere(q.After), nil
	}
	err = o.ask(ctx, p, protocol.OpFigures, observe.FiguresQuery{After: q.After}, protocol.BoundedFigures(&f))
	f.Node = p.Text
	return f, err
}

// figuresHere returns the figures of this node, with the samples after a mark.
func (o *Observer) figuresHere(after observe.Mark) observe.Figures {
	f := observe.Figures{Node: o.Node, Run: o.Ring.Run(), Clock: time.Now(), Bounds: registry.DurationBounds()}
	all := o.Kinds.All()
	p := &o.past
	p.mu.Lock()
	if all = p.mostLocked(all, observe.MaxKinds); len(all) > 0 {
		f.Kinds = make([]observe.KindFigures, len(all))
	}
	last := p.seconds / sampleSeconds
	f.Last, f.Age = uint64(last), time.Since(p.began)-time.Duration(last)*observe.SampleTime
	first := max(1, last-observe.Samples+1)
	if after.Run == f.Run && after.Seq >= uint64(first) {
		first = int(min(after.Seq, uint64(last))) + 1
	}
	pasts := p.mostLocked(all, observe.MaxPasts)
	first = p.fittingLocked(pasts, first, last)
	for i, r := range all {
		f.Kinds[i] = observe.KindFigures{Kind: r.Name(), Serial: r.Serial(), Strict: r.Strict(), Rate: p.rateLocked(r)}
		if slices.Contains(pasts, r) {
			f.Kinds[i].Past = p.of(r).between(first, last)
		}
	}
	p.mu.Unlock()
	for i, r := range all {
		k, g := &f.Kinds[i], r.Gauges()
		k.Workers, k.Bytes, k.MaxBytes, k.Waiting, k.Longest = g.Workers, g.Bytes, g.MaxBytes, g.Waiting, g.Longest
		k.Running, k.Concurrency, k.Queued, k.Stuck, k.StuckFor = g.Running, g.Concurrency, g.Queued, g.Stuck, g.StuckFor
	}
	return f
}

// mostLocked returns at most so many kinds, those that have done the most, by name.
func (p *past) mostLocked(all []*registry.Registry, limit int) []*registry.Registry {
	if len(all) <= limit {
		return all
	}
	did := make(map[*registry.Registry]uint64, len(all))
	for _, r := range all {
		if l := p.of(r); l != nil {
			did[r] = l.sum
		}
	}
	all = slices.SortedStableFunc(slices.Values(all), func(a, b *registry.Registry) int { return cmp.Compare(did[b], did[a]) })[:limit]
	slices.SortFunc(all, func(a, b *registry.Registry) int { return cmp.Compare(a.Name(), b.Name()) })
	return all
}

// rateLocked returns the requests per second of a kind.
func (p *past) rateLocked(r *registry.Registry) float64 {
	l := p.of(r)
	if l == nil {
		return 0
	}
	return observe.Load{PerSecond: l.lastSeconds(p.seconds)}.Rate()
}

// maxPasts is how many bytes the samples of an answer take at most, so that it fits into a
// message: there are as many kinds as there may be, too.
const maxPasts = wire.MaxMessage - 200<<10

// fittingLocked returns the first sample from which on those of all kinds fit into an answer.
// That is first but for kinds with a dozen million requests per second.
func (p *past) fittingLocked(kinds []*registry.Registry, first, last int) int {
	for n, bytes := last, 0; n >= first; n-- {
		for _, r := range kinds {
			if l := p.of(r); l != nil {
				bytes += l.samples[n%ring].size()
			}
		}
		if bytes > maxPasts {
			return n + 1
		}
	}
	return first
}

// size returns how many bytes a sample takes in a message, or more. Package gob writes an
// integer below 128 as one byte, and others with one more than they have.
func (s *sample) size() int {
	bytes := 20 // lengths, and numbers of fields
	if s == nil {
		return bytes
	}
	add := func(n uint32) {
		if bytes++; n >= 128 {
			bytes += (bits.Len32(n) + 7) / 8
		}
	}
	for i := range registry.Buckets {
		add(s.latency[i])
		add(s.runs[i])
	}
	for _, n := range []uint32{s.failed, s.degraded, s.stale, s.runsFailed, s.evicted} {
		add(n)
	}
	return bytes
}

// between returns the samples from first to last, without those at the beginning in which
// nothing happened.
func (l *lately) between(first, last int) (list []observe.Sample) {
	if l == nil {
		return nil
	}
	for n := first; n <= last; n++ {
		s := l.samples[n%ring]
		if s == nil && list == nil {
			continue
		}
		if list == nil {
			list = make([]observe.Sample, 0, last-n+1)
		}
		list = append(list, s.told())
	}
	return list
}

func (s *sample) told() observe.Sample {
	if s == nil {
		return observe.Sample{}
	}
	return observe.Sample{
		Latency: buckets(s.latency), Failed: s.failed, Degraded: s.degraded, Stale: s.stale,
		Runs: buckets(s.runs), RunsFailed: s.runsFailed, Evicted: s.evicted,
	}
}

// buckets returns counts, or nil if all are 0.
func buckets(counts [registry.Buckets]uint32) []uint32 {
	if total(&counts) == 0 {
		return nil
	}
	return counts[:]
}

// Hottest returns the hottest ids of this node or of another member.
func (o *Observer) Hottest(ctx context.Context, q observe.HotQuery) (h observe.Hot, err error) {
	p, err := o.member(q.Node)
	if err != nil {
		return h, err
	}
	if p.Self {
		return o.hottestHere(), nil
	}
	err = o.ask(ctx, p, protocol.OpHottest, observe.HotQuery{}, protocol.BoundedHot(&h))
	h.Node = p.Text
	return h, err
}

// hottestHere returns the hottest ids of this node.
func (o *Observer) hottestHere() observe.Hot {
	h := o.finder.Find(o.Kinds.All())
	h.Node = o.Node
	return h
}
