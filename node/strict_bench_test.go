package node

import (
	"context"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// BenchmarkStrict calls an idle server of this node, or of another one, of a strict kind, in
// turns with one of a kind that is only serial. It reports how much longer a strict call takes.
func BenchmarkStrict(b *testing.B) {
	host := testHost()
	name := "1@" + host
	open := func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }
	kinds := map[string]worker.Kind{}
	for _, inline := range []bool{false, true} {
		kind := worker.Serial{Open: open, TTL: worker.Forever, Inline: inline}
		prefix := map[bool]string{false: "waits", true: "inline"}[inline]
		kinds[prefix] = kind
		kind.Strict = true
		kinds[prefix+"-strict"] = kind
	}
	var nodes []*Node
	for _, name := range []string{name, "2@" + host} {
		n, err := Start(Config{
			Name: name, Cookie: testCookie, network: network.Host(name), Voters: []string{"1@" + host}, DataDir: b.TempDir(), Timing: Local, Kinds: kinds,
		})
		if err != nil {
			b.Fatal(err)
		}
		defer crash(n)
		if c := n.Connect(b.Context(), "1@"+host); len(nodes) > 0 && c[0].Err != nil {
			b.Fatal(c[0].Err)
		}
		nodes = append(nodes, n)
	}
	for _, bench := range []struct {
		name, kind string
		id         int64 // of the first node if it is even
	}{{"waits", "waits", 8}, {"inline", "inline", 8}, {"remote", "waits", 7}} {
		benchmarkStrict(b, nodes[0], bench.name, bench.kind, worker.IntID(bench.id))
	}
}

func benchmarkStrict(b *testing.B, n *Node, name, kind string, id worker.ID) {
	b.Run(name, func(b *testing.B) {
		call := func(kind string) func() {
			f := n.Family(kind)
			return func() {
				if _, err := f.Call(context.Background(), id, worker.IntValue(1)); err != nil {
					b.Fatal(err)
				}
			}
		}
		strict, plain := call(kind+"-strict"), call(kind)
		strict() // waits for the first lease
		for place, _ := n.quorum.Place(id); (place != n.name) != (name == "remote"); place, _ = n.quorum.Place(id) {
			time.Sleep(10 * time.Millisecond)
		}
		strict()
		plain()
		b.ReportAllocs()
		b.ResetTimer()
		var took time.Duration
		for _, count := range rounds(b.N, 1) {
			b.StopTimer()
			began := time.Now()
			for range count {
				plain()
			}
			took += time.Since(began)
			b.StartTimer()
			for range count {
				strict()
			}
		}
		b.StopTimer()
		b.ReportMetric(float64(b.Elapsed()-took)/float64(b.N), "more-ns/op")
	})
}
