package protocol

import (
	"slices"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

type (
	kindsShape struct{ Kinds []struct{ Waiting int } }
	pastsShape struct {
		Kinds []struct{ Past []struct{ Failed uint32 } }
	}
	busiestShape struct{ Busiest []struct{ Rate float64 } }
	longestShape struct{ Longest []struct{ Rate float64 } }
)

// BoundedFigures takes a result into f. Each list of buckets in it is nil or as long as
// f.Bounds says, and all that is counted is 0 or more.
func BoundedFigures(f *observe.Figures) wire.Result {
	return cleaned{checked{f, []func(func(any) error) error{
		within(observe.MaxKinds, func(s kindsShape) int { return len(s.Kinds) }),
		within(observe.MaxPasts*observe.Samples, func(s pastsShape) (n int) {
			for _, k := range s.Kinds {
				n += len(k.Past)
			}
			return n
		}),
	}}, func() { cleanFigures(f) }}
}

func cleanFigures(f *observe.Figures) {
	f.Node, f.Age = text.Line(f.Node, maxNodeName), max(0, f.Age)
	if len(f.Bounds) > maxBuckets || !slices.IsSorted(f.Bounds) || len(f.Bounds) > 0 && f.Bounds[0] < 0 {
		f.Bounds = nil
	}
	buckets := func(counts *[]uint32) {
		if len(*counts) != len(f.Bounds)+1 || len(f.Bounds) == 0 {
			*counts = nil
		}
	}
	for i := range f.Kinds {
		k := &f.Kinds[i]
		k.Kind, k.Rate = text.Line(k.Kind, maxNodeName), cleanRate(k.Rate)
		for _, n := range []*int{&k.Workers, &k.Waiting, &k.Longest, &k.Running, &k.Concurrency, &k.Queued, &k.Stuck} {
			*n = max(0, *n)
		}
		k.Bytes, k.MaxBytes, k.StuckFor = max(0, k.Bytes), max(0, k.MaxBytes), max(0, k.StuckFor)
		k.Past = k.Past[max(0, len(k.Past)-observe.Samples):]
		for j := range k.Past {
			buckets(&k.Past[j].Latency)
			buckets(&k.Past[j].Runs)
		}
	}
}

// maxRate is more than any node answers in a second.
const maxRate = 1e12

// cleanRate returns a rate, or 0 if it is no number or makes no sense.
func cleanRate(r float64) float64 {
	if r > 0 && r <= maxRate {
		return r
	}
	return 0
}

// BoundedHot takes a result into h.
func BoundedHot(h *observe.Hot) wire.Result {
	return cleaned{checked{h, []func(func(any) error) error{
		within(observe.MaxHot, func(s busiestShape) int { return len(s.Busiest) }),
		within(observe.MaxHot, func(s longestShape) int { return len(s.Longest) }),
	}}, func() {
		h.Node, h.Workers = text.Line(h.Node, maxNodeName), max(0, h.Workers)
		for _, list := range [][]observe.HotID{h.Busiest, h.Longest} {
			for i := range list {
				w := &list[i]
				w.Kind, w.Node, w.Rate = text.Line(w.Kind, maxNodeName), text.Line(w.Node, maxNodeName), cleanRate(w.Rate)
				w.Age, w.TTL, w.Queue, w.LeftOut = max(0, w.Age), max(0, w.TTL), max(0, w.Queue), 0
			}
		}
	}}
}
