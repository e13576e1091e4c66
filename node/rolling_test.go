package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// callers make requests and calls all the time, and count those that fail.
type callers struct {
	end    chan struct{}
	wg     sync.WaitGroup
	calls  atomic.Int64
	failed atomic.Int64
}

// start has four goroutines ask by way of a family of values, and four by way of one of
// servers.
func (l *callers) start(t *testing.T, what string, values, servers Family) {
	note := func(doing string, id worker.ID, err error) {
		l.calls.Add(1)
		if err != nil && l.failed.Add(1) <= 20 {
			t.Errorf("%s: %s(%s): %v (%v)", what, doing, id, err, OutcomeOf(err))
		}
	}
	const patience = 30 * time.Second // on a machine that has much else to do
	for k := range int64(4) {
		l.wg.Go(func() {
			for i := k; !isClosed(l.end); i += 4 {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				_, err := values.Request(ctx, worker.IntID(i%500))
				cancel()
				note("request", worker.IntID(i%500), err)
				time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
			}
		})
		l.wg.Go(func() {
			for i := k; !isClosed(l.end); i += 4 {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				_, err := servers.Call(ctx, worker.IntID(i%50), worker.IntValue(i))
				cancel()
				note("call", worker.IntID(i%50), err)
				time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
			}
		})
	}
}

// TestRollingRestart restarts three nodes one after the other, each in an orderly way,
// while a member, a direct client and a plain client call: no call fails.
func TestRollingRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		kinds := map[string]worker.Kind{
			worker.DefaultKind: worker.Cache{TTL: 50 * time.Millisecond, Load: worker.RandomSource},
			"echo":             worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }},
		}
		host := testHost()
		start := func(i int, join ...string) *Node {
			n, err := Start(Config{Name: fmt.Sprintf("%d@%s", i, host), Cookie: testCookie, network: memory, Kinds: kinds})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { n.Close(context.Background()) })
			if err := n.Join(t.Context(), join...); err != nil {
				t.Fatal(err)
			}
			return n
		}
		nodes := []*Node{start(1)}
		for i := 2; i <= 4; i++ {
			nodes = append(nodes, start(i, nodes[0].Self()))
		}
		awaitView(t, nodes...)
		load := callers{end: make(chan struct{})}
		load.start(t, "member", nodes[3].Family(""), nodes[3].Family("echo"))
		for i, direct := range []bool{true, false} {
			c, err := Attach(t.Context(), ClientConfig{Node: nodes[i].Self(), Cookie: testCookie, network: memory, Direct: direct})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			load.start(t, fmt.Sprintf("client, direct %v", direct), c.Family(""), c.Family("echo"))
		}
		for i := range 3 {
			time.Sleep(300 * time.Millisecond) // of load
			if err := nodes[i].Close(t.Context()); err != nil {
				t.Error(err)
			}
			awaitView(t, slices.Concat(nodes[:i], nodes[i+1:])...)
			time.Sleep(300 * time.Millisecond)
			nodes[i] = start(i+1, nodes[3].Self())
			awaitView(t, nodes...)
		}
		close(load.end)
		load.wg.Wait()
		t.Logf("%d of %d failed", load.failed.Load(), load.calls.Load())
	})
}
