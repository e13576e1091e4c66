package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// percentile returns the value below which a share of the durations lies. It sorts them.
func percentile(took []time.Duration, share float64) time.Duration {
	slices.Sort(took)
	return took[int(share*float64(len(took)-1))]
}

// BenchmarkFairness measures how evenly 1,024 callers of another process are served.
func BenchmarkFairness(b *testing.B) {
	nodes := startQuiet(b, 1)
	attach(b, nodes[0], startPeer(b, "node"))
	request := requestCached(b, nodes[0])
	const callers = 1024
	took := make([][]time.Duration, callers)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range took {
		wg.Go(func() {
			for range (b.N + callers - 1) / callers {
				began := time.Now()
				request()
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	p50, p99 := percentile(all, 0.5), percentile(all, 0.99)
	b.ReportMetric(float64(p50.Microseconds()), "p50-µs")
	b.ReportMetric(float64(p99.Microseconds()), "p99-µs")
	b.ReportMetric(float64(p99)/float64(p50), "p99/p50")
}

// BenchmarkBehindLarge measures small requests to another process alone, and while values
// of 1 MiB come from there all the time.
func BenchmarkBehindLarge(b *testing.B) {
	nodes := startQuiet(b, 1)
	attach(b, nodes[0], startPeer(b, "large"))
	request := requestCached(b, nodes[0])
	large := textIDAt(b, nodes[0])
	measure := func() (took []time.Duration) {
		for range b.N {
			began := time.Now()
			request()
			took = append(took, time.Since(began))
			time.Sleep(100 * time.Microsecond)
		}
		return took
	}
	b.ResetTimer()
	alone := measure()
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	count := 0
	wg.Go(func() {
		for ctx.Err() == nil {
			reply, err := nodes[0].Request(ctx, large)
			if err == nil && len(reply.Value.String()) != 1<<20 {
				b.Errorf("a value of %d bytes", len(reply.Value.String()))
				return
			}
			count++
		}
	})
	behind := measure()
	cancel()
	wg.Wait()
	b.StopTimer()
	for _, m := range []struct {
		took []time.Duration
		unit string
	}{{alone, "alone"}, {behind, "behind"}} {
		b.ReportMetric(float64(percentile(m.took, 0.5).Microseconds()), "p50-"+m.unit+"-µs")
		b.ReportMetric(float64(percentile(m.took, 0.99).Microseconds()), "p99-"+m.unit+"-µs")
		b.ReportMetric(float64(percentile(m.took, 1).Microseconds()), "max-"+m.unit+"-µs")
	}
	b.ReportMetric(float64(count), "large")
}

// textIDAt returns an id that is a string and belongs to another node.
func textIDAt(b *testing.B, n *Node) worker.ID {
	for i := range 100 {
		id, err := worker.ParseID(fmt.Sprintf("large %d", i))
		if err == nil && !n.members.View().Acting(id).Self {
			return id
		}
	}
	b.Fatal("no such id")
	return worker.ID{}
}

func largeSource(_ context.Context, id worker.ID) (worker.Value, error) {
	if id.IsInt() {
		return worker.IntValue(1), nil
	}
	return worker.BytesValue(strings.Repeat("x", 1<<20)), nil
}
