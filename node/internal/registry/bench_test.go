package registry

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// BenchmarkStartWorker measures a request that starts a worker, with up to 100,000 others
// alive: with the source that comes with distproc, which the caller runs, and with one
// that has a goroutine of its own.
func BenchmarkStartWorker(b *testing.B) {
	for name, kind := range map[string]worker.Cache{
		"inline":    {TTL: time.Hour, Load: worker.RandomSource, Inline: true},
		"goroutine": {TTL: time.Hour, Load: worker.RandomSource},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			const most = 100_000
			var r *Registry
			for i := range int64(b.N) {
				if i%most == 0 {
					b.StopTimer()
					if r != nil {
						r.Close(b.Context())
					}
					r = testRegistry(kind, "1@h", 100)
					b.StartTimer()
				}
				if _, err := r.request(b.Context(), worker.IntID(i)); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			r.Close(b.Context())
		})
	}
}

const million = 1_000_000

// fill starts n workers of a registry, whose values take no memory of their own.
func fill(b *testing.B, r *Registry, n int) {
	b.Helper()
	for i := range int64(n) {
		if _, err := r.request(context.Background(), worker.IntID(i)); err != nil {
			b.Fatal(err)
		}
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func constant(context.Context, worker.ID) (worker.Value, error) {
	return worker.BytesValue("constant"), nil
}

// BenchmarkLiveWorkers measures what a million live workers take.
func BenchmarkLiveWorkers(b *testing.B) {
	for b.Loop() {
		r := testRegistry(worker.Cache{TTL: time.Hour, Load: constant}, "1@h", 100)
		before, goroutines := heapInUse(), runtime.NumGoroutine()
		fill(b, r, million)
		b.ReportMetric(float64(heapInUse()-before)/million, "B/worker")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "goroutines")
		r.Close(b.Context())
	}
}

// BenchmarkRequestDuringExpiry measures requests while 100,000 of a million workers
// expire, and without that.
func BenchmarkRequestDuringExpiry(b *testing.B) {
	for b.Loop() {
		r := testRegistry(worker.Cache{TTL: time.Hour, Load: constant}, "1@h", 100)
		fill(b, r, million)
		quiet := p99(r, 300*time.Millisecond)
		r.SetKind(worker.Cache{TTL: 2 * time.Second, Load: constant})
		for i := range int64(100_000) {
			if _, err := r.request(context.Background(), worker.IntID(million+i)); err != nil {
				b.Fatal(err)
			}
		}
		for r.live() == million+100_000 {
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		busy := p99(r, 300*time.Millisecond)
		b.ReportMetric(float64(quiet.Nanoseconds()), "p99-quiet-ns")
		b.ReportMetric(float64(busy.Nanoseconds()), "p99-busy-ns")
		b.ReportMetric(float64(busy)/float64(quiet), "busy/quiet")
		for r.live() > million {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "expiry-ms")
		r.Close(b.Context())
	}
}

// BenchmarkExpiryLateness measures how long after its time a worker is gone, of 100,000
// that expire within a second while a million others live. It looks every millisecond or
// so.
func BenchmarkExpiryLateness(b *testing.B) {
	for b.Loop() {
		r := testRegistry(worker.Cache{TTL: time.Hour, Load: constant, Inline: true}, "1@h", 100)
		fill(b, r, million)
		r.SetKind(worker.Cache{TTL: 2 * time.Second, Jitter: 0.5, Load: constant, Inline: true})
		const count = 100_000
		var due []time.Duration
		for i := range int64(count) {
			if _, err := r.request(context.Background(), worker.IntID(million+i)); err != nil {
				b.Fatal(err)
			}
			due = append(due, r.shard(worker.IntID(million+i)).workers.get(worker.IntID(million+i)).expires)
		}
		slices.Sort(due)
		var late []time.Duration
		for len(late) < count {
			time.Sleep(time.Millisecond)
			for now, gone := r.Now(), million+count-r.live(); len(late) < gone; {
				late = append(late, now-due[len(late)])
			}
		}
		b.ReportMetric(percentile(late, 0.5).Seconds()*1000, "p50-late-ms")
		b.ReportMetric(percentile(late, 0.99).Seconds()*1000, "p99-late-ms")
		b.ReportMetric(percentile(late, 1).Seconds()*1000, "max-late-ms")
		r.Close(b.Context())
	}
}

// p99 requests cached values for some time.
func p99(r *Registry, d time.Duration) time.Duration {
	var took []time.Duration
	for begin := time.Now(); time.Since(begin) < d; {
		start := time.Now()
		if _, err := r.request(context.Background(), worker.IntID(int64(len(took)*7919%million))); err != nil {
			panic(err)
		}
		took = append(took, time.Since(start))
	}
	return percentile(took, 0.99)
}
