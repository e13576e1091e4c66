package node

import (
	"context"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// BenchmarkStrict calls an idle server of this node, of a strict kind, in turns with one of a
// kind that is only serial. It reports how much longer a strict call takes.
func BenchmarkStrict(b *testing.B) {
	name := "1@" + testHost()
	open := func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }
	kinds := map[string]worker.Kind{}
	for _, inline := range []bool{false, true} {
		kind := worker.Serial{Open: open, TTL: worker.Forever, Inline: inline}
		prefix := map[bool]string{false: "waits", true: "inline"}[inline]
		kinds[prefix] = kind
		kind.Strict = true
		kinds[prefix+"-strict"] = kind
	}
	n, err := Start(Config{
		Name: name, Cookie: testCookie, network: network.Host(name), Voters: []string{name}, DataDir: b.TempDir(), Timing: Local, Kinds: kinds,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer crash(n)
	for _, prefix := range []string{"waits", "inline"} {
		b.Run(prefix, func(b *testing.B) {
			call := func(kind string) func() {
				f := n.Family(kind)
				return func() {
					if _, err := f.Call(context.Background(), worker.IntID(7), worker.IntValue(1)); err != nil {
						b.Fatal(err)
					}
				}
			}
			strict, plain := call(prefix+"-strict"), call(prefix)
			strict() // waits for the first lease
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
}
