package observer

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

func latencies(counts ...uint64) worker.Histogram {
	return worker.Histogram{Bounds: []time.Duration{time.Millisecond}, Counts: counts}
}

// TestSum adds up the loads of nodes, some of which started later, or count in another way.
func TestSum(t *testing.T) {
	t.Parallel()
	got := sum([]observe.Load{
		{Kind: "a", PerSecond: []uint32{1, 2}, Failed: 1, Latency: latencies(3, 0)},
		{Kind: "b", PerSecond: []uint32{}, Latency: latencies(0, 0)},
		{Kind: "a", PerSecond: []uint32{10, 20, 30}, Failed: 2, Latency: latencies(50, 10)},
		{Kind: "a", PerSecond: []uint32{100}, Latency: worker.Histogram{Counts: []uint64{1}}},
	})
	want := []observe.Load{
		{Kind: "a", PerSecond: []uint32{10, 21, 132}, Failed: 3, Latency: latencies(53, 10)},
		{Kind: "b", PerSecond: []uint32{}, Latency: latencies(0, 0)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the sum is\n%+v\nwant\n%+v", got, want)
	}
}

// TestMost has too many kinds: those with the most requests are left.
func TestMost(t *testing.T) {
	t.Parallel()
	var list []observe.Load
	for i := range observe.MaxKinds + 5 {
		list = append(list, observe.Load{Kind: fmt.Sprintf("%04d", i), Latency: latencies(uint64(i))})
	}
	if list = most(list); len(list) != observe.MaxKinds || list[0].Kind != "0005" {
		t.Errorf("%d kinds, the first is %s", len(list), list[0].Kind)
	}
}
