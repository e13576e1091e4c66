package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// BenchmarkFind measures one look for the hottest of so many workers, of which a thousand
// answer, and the memory that a Finder takes.
func BenchmarkFind(b *testing.B) {
	for _, c := range []struct{ kinds, workers int }{{10, 1000}, {1, 50_000}, {1, million}, {500, 100_000}} {
		b.Run(fmt.Sprintf("kinds=%d/workers=%d", c.kinds, c.workers), func(b *testing.B) {
			kinds := registries(b, c.kinds, c.workers/c.kinds)
			var f Finder
			before := heapInUse()
			for b.Loop() {
				f.mu.Lock()
				f.lookLocked(kinds)
				f.mu.Unlock()
			}
			b.ReportMetric(float64(heapInUse()-before), "B")
			f.Find(kinds)
		})
	}
}

// registries returns so many kinds, each with workers that have answered.
func registries(b *testing.B, kinds, workers int) (list []*Registry) {
	b.Helper()
	for range kinds {
		r := testRegistry(worker.Cache{TTL: time.Hour, Load: constant, Inline: true}, "1@h", 100)
		b.Cleanup(func() { r.Close(b.Context()) })
		fill(b, r, workers)
		fill(b, r, min(workers, 1000)) // hits
		list = append(list, r)
	}
	return list
}

// BenchmarkGauges measures one look at what there is of so many kinds, with workers that
// rest and with runs that go on.
func BenchmarkGauges(b *testing.B) {
	look := func(b *testing.B, kinds []*Registry) {
		b.Helper()
		for b.Loop() {
			for _, r := range kinds {
				r.Gauges()
			}
		}
	}
	for _, c := range []struct{ kinds, workers int }{{1, 1}, {10, 1000}, {100, 1000}, {500, 1000}, {1, million}} {
		b.Run(fmt.Sprintf("kinds=%d/workers=%d", c.kinds, c.workers), func(b *testing.B) {
			look(b, registries(b, c.kinds, max(1, c.workers/c.kinds)))
		})
	}
	b.Run("runs=65536", func(b *testing.B) {
		r := testRegistry(blockingKinds()["load"], "1@h", 1<<17)
		for i := range int64(1 << 16) {
			go r.request(b.Context(), worker.IntID(i))
		}
		await(b, func() error {
			if n := r.Gauges().Running; n < 1<<16 {
				return fmt.Errorf("%d run", n)
			}
			return nil
		})
		look(b, []*Registry{r})
		r.interrupt()
		r.Close(b.Context())
	})
}

// BenchmarkRead measures the reading of the counters of a kind, which a node does once a
// second for each.
func BenchmarkRead(b *testing.B) {
	r := registries(b, 1, 1000)[0]
	for b.Loop() {
		r.Read()
	}
}
