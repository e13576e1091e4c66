package registry

import (
	"context"
	"flag"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// servers is how many BenchmarkLiveServers has, so that one can try it with few.
var servers = flag.Int("servers", million, "live servers of BenchmarkLiveServers")

// BenchmarkLiveServers measures what a million live servers take beyond what each of them
// holds, and what they do to calls: of one caller that calls ids all over, first among
// few servers of the registry and among all of them. In both times the collector runs
// twice a second.
func BenchmarkLiveServers(b *testing.B) {
	for name, kind := range map[string]worker.Serial{
		"serial": {Open: openEcho, TTL: time.Hour},
		"inline": {Open: openEcho, TTL: time.Hour, Inline: true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				measureServers(b, kind)
			}
		})
	}
}

// openEcho opens a server that takes no memory of its own.
func openEcho(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }

func measureServers(b *testing.B, kind worker.Serial) {
	n := *servers
	r := testRegistry(kind, "1@h", 100)
	defer r.Close(context.Background())
	call := func(i int) {
		if _, _, err := r.Await(context.Background(), worker.IntID(int64(i)), worker.IntValue(1)); err != nil {
			b.Fatal(err)
		}
	}
	const few = 1000
	for i := range few {
		call(i)
	}
	stop := make(chan struct{})
	defer close(stop)
	go collect(stop)
	quiet := latencies(few, call)
	time.Sleep(3 * trimEvery) // goroutines that the collector has held up have gone
	before, goroutines := heapInUse(), runtime.NumGoroutine()
	for i := range n {
		call(few + i)
	}
	time.Sleep(3 * trimEvery)
	b.ReportMetric(float64(heapInUse()-before)/float64(n), "B/server")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "goroutines")

	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	cycles := gc.NumGC
	busy := latencies(n, call)
	debug.ReadGCStats(&gc)
	pauses := gc.Pause[:min(len(gc.Pause), int(gc.NumGC-cycles))]
	if len(pauses) == 0 {
		b.Fatal("the collector did not run")
	}
	b.ReportMetric(float64(len(pauses)), "collections")
	b.ReportMetric(float64(slices.Max(pauses).Microseconds()), "max-pause-µs")
	b.ReportMetric(float64(percentile(quiet, 0.5).Nanoseconds()), "p50-few-ns")
	b.ReportMetric(float64(percentile(quiet, 0.99).Nanoseconds()), "p99-few-ns")
	b.ReportMetric(float64(percentile(busy, 0.5).Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(percentile(busy, 0.99).Nanoseconds()), "p99-ns")
}

// latencies calls ids below n for 3 s.
func latencies(n int, call func(i int)) (took []time.Duration) {
	for began := time.Now(); time.Since(began) < 3*time.Second; {
		at := time.Now()
		call(len(took) * 7919 % n)
		took = append(took, time.Since(at))
	}
	return took
}

// collect has the collector run twice a second, beside the calls.
func collect(stop chan struct{}) {
	tick := time.NewTicker(time.Second / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			runtime.GC()
		case <-stop:
			return
		}
	}
}
