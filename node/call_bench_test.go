package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// serial is a kind whose servers do nothing.
var serial = worker.Serial{
	Open: func(context.Context, worker.ID) (worker.Server, error) { return idle{}, nil },
	TTL:  worker.Forever,
}

// inline is serial with servers that run on the goroutines of their callers.
var inline = worker.Serial{Open: serial.Open, TTL: worker.Forever, Inline: true}

type idle struct{}

func (idle) Call(_ context.Context, message worker.Value) (worker.Value, error) { return message, nil }

// startSerial starts a cluster that logs nothing and whose kinds "serial" and "inline" have
// servers.
func startSerial(b *testing.B, size int) []*Node {
	nodes := startQuiet(b, size)
	for _, n := range nodes {
		if err := n.SetKinds(map[string]worker.Kind{worker.DefaultKind: orRandom(worker.Cache{TTL: time.Hour}), "serial": serial, "inline": inline}); err != nil {
			b.Fatal(err)
		}
	}
	return nodes
}

// BenchmarkCallLocal measures a call to a server of the node itself, which has been
// started. In turns with it a goroutine is called by a channel, which is what a program
// would have instead. "of-channel" is the ratio of the rates. The callers have one id
// together, or each one its own.
func BenchmarkCallLocal(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		for _, ids := range []int{1, callers} {
			for _, kind := range []string{"serial", "inline"} {
				b.Run(fmt.Sprintf("%s/callers=%d/ids=%d", kind, callers, ids), func(b *testing.B) { benchmarkCallLocal(b, kind, callers, ids) })
			}
			if callers == 1 {
				break
			}
		}
	}
}

func benchmarkCallLocal(b *testing.B, kind string, callers, ids int) {
	f := startSerial(b, 1)[0].Family(kind)
	var channels []chan request
	for i := range ids {
		if _, err := f.Call(b.Context(), worker.IntID(int64(i)), worker.IntValue(1)); err != nil {
			b.Fatal(err)
		}
		channels = append(channels, startChannel(b))
	}
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var took time.Duration
	for _, n := range rounds(b.N, callers) {
		b.StopTimer()
		took += each(b, callers, n, func() func() {
			c, answer := channels[int(next.Add(1))%ids], make(chan worker.Value, 1)
			return func() {
				c <- request{worker.IntValue(1), answer}
				<-answer
			}
		})
		b.StartTimer()
		each(b, callers, n, func() func() {
			id := worker.IntID(next.Add(1) % int64(ids))
			return func() {
				if _, err := f.Call(context.Background(), id, worker.IntValue(1)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(took.Seconds()/b.Elapsed().Seconds(), "of-channel")
}

type request struct {
	message worker.Value
	answer  chan<- worker.Value
}

// startChannel starts a goroutine that answers requests.
func startChannel(b *testing.B) chan request {
	c := make(chan request)
	go func() {
		for r := range c {
			r.answer <- r.message
		}
	}()
	b.Cleanup(func() { close(c) })
	return c
}

// BenchmarkCallFirst measures the first call of an id, for which a server is made.
func BenchmarkCallFirst(b *testing.B) {
	f := startSerial(b, 1)[0].Family("serial")
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		if _, err := f.Call(context.Background(), worker.IntID(i), worker.IntValue(1)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCallRemote measures a call to a server of a node in another process, and in
// turns with it requests for cached values of that node. "of-request" is the ratio of the
// rates.
func BenchmarkCallRemote(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		for _, kind := range []string{"serial", "inline"} {
			b.Run(fmt.Sprintf("%s/inflight=%d", kind, callers), func(b *testing.B) {
				nodes := startSerial(b, 1)
				attach(b, nodes[0], startPeer(b, "node"))
				cached := requestCached(b, nodes[0])
				call := callRemote(b, nodes[0], kind)
				b.ReportAllocs()
				b.ResetTimer()
				var took time.Duration
				for _, n := range rounds(b.N, callers) {
					b.StopTimer()
					took += together(b, callers, n, cached)
					b.StartTimer()
					together(b, callers, n, call)
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
				b.ReportMetric(took.Seconds()/b.Elapsed().Seconds(), "of-request")
			})
		}
	}
}

// callRemote returns a function that calls a server of one of 1,000 ids, which other nodes
// have.
func callRemote(b *testing.B, n *Node, kind string) func() {
	f := n.Family(kind)
	var ids []worker.ID
	for i := int64(0); len(ids) < 1000; i++ {
		if !n.members.View().Acting(worker.IntID(i)).Self {
			ids = append(ids, worker.IntID(i))
			if _, err := f.Call(b.Context(), worker.IntID(i), worker.IntValue(1)); err != nil {
				b.Fatal(err)
			}
		}
	}
	var next atomic.Int64
	return func() {
		if _, err := f.Call(context.Background(), ids[next.Add(1)%1000], worker.IntValue(1)); err != nil {
			b.Error(err)
		}
	}
}
