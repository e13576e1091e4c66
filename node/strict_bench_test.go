package node

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// BenchmarkStrict calls an idle server of this node, or of another one, of a strict kind, in
// turns with one of a kind that is only serial. It reports how much longer a strict call takes:
// the median of rounds, because the machine is slower for a while now and then.
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

const strictRound = 256 // calls of each kind

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
		for _, here, known := n.quorum.Place(id); !known || here != (name != "remote"); _, here, known = n.quorum.Place(id) {
			time.Sleep(10 * time.Millisecond)
		}
		strict()
		plain()
		b.ResetTimer()
		var total time.Duration // of the strict calls
		var more []time.Duration
		for left := b.N; left > 0; left -= strictRound {
			count := min(left, strictRound)
			plain, strict := timed(count, plain), timed(count, strict)
			total += strict
			more = append(more, (strict-plain)/time.Duration(count))
		}
		slices.Sort(more)
		b.ReportMetric(float64(total)/float64(b.N), "ns/op")
		b.ReportMetric(float64(more[len(more)/2]), "more-ns/op")
	})
}

// timed returns how long count calls of f take.
func timed(count int, f func()) time.Duration {
	began := time.Now()
	for range count {
		f()
	}
	return time.Since(began)
}
