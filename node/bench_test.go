package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// BenchmarkRequestLocal measures a request for a cached value of the node itself.
func BenchmarkRequestLocal(b *testing.B) {
	n := startQuiet(b, 1)[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Request(context.Background(), worker.IntID(7)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRequestLocalParallel is BenchmarkRequestLocal on all cores, for 1,000 ids.
func BenchmarkRequestLocalParallel(b *testing.B) {
	n := startQuiet(b, 1)[0]
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := int64(0); pb.Next(); i++ {
			if _, err := n.Request(context.Background(), worker.IntID(i%1000)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// startQuiet starts a cluster that logs nothing and whose workers do not expire
// meanwhile.
func startQuiet(b *testing.B, size int) []*Node {
	host := testHost()
	var nodes []*Node
	for i := range size {
		n, err := Start(Config{Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, Default: orRandom(worker.Cache{TTL: time.Hour})})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { n.Close(context.Background()) })
		nodes = append(nodes, n)
		if c := n.Connect(b.Context(), nodes[0].Self()); c[0].Err != nil {
			b.Fatal(c[0].Err)
		}
	}
	awaitView(b, nodes...)
	return nodes
}
