package node

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"time"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestFollowNewest starts a server under a view while the node still moves workers
// because of the view before, in which the id was another node's: the server lives on.
func TestFollowNewest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		why := make(chan worker.EndReason, 10)
		kind := worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) { return ending{why}, nil }}
		// Serial kinds are gone through by name, and each asks for each of its 64 shards. The
		// scan for the view before is held up in "first", and after "second": the next scan
		// would see that the server stays.
		var armed atomic.Bool
		var asked atomic.Int64
		stuck, release, late := make(chan struct{}), make(chan struct{}), make(chan struct{})
		endScan, endLate := sync.OnceFunc(func() { close(release) }), sync.OnceFunc(func() { close(late) })
		t.Cleanup(func() { endScan(); endLate() }) // Close waits for the scans, also when the test has failed
		n.kinds.Host = slowHost{n.kinds.Host, func() {
			if !armed.Load() {
				return
			}
			switch asked.Add(1) {
			case 1:
				close(stuck)
				<-release
			case 2*64 + 1:
				<-late
			}
		}}
		if err := n.SetKinds(map[string]worker.Kind{worker.DefaultKind: orRandom(worker.Cache{}), "first": kind, "second": kind}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the scan of the node's start has ended
		armed.Store(true)
		var learning sync.WaitGroup
		learn := func(node string, members int) {
			name := placement.Name{Node: node, Host: n.addr.Host}
			member := wire.Member{Name: name.String(), Addr: placement.Addr{Name: name}.HostPort(), Incarnation: 1, State: wire.Alive}
			learning.Go(func() { n.members.Learn(n.members.View(), []wire.Member{member}) })
			await(t, func() error {
				if got := len(n.members.View().Peers); got != members {
					return fmt.Errorf("%d members, want %d", got, members)
				}
				return nil
			})
		}
		learn("2", 2) // 3 mod 2 is 1: the id is the other one's
		<-stuck
		learn("3", 3) // 3 mod 3 is 0: it is this node's
		if _, err := n.Family("second").Call(t.Context(), worker.IntID(3), worker.Value{}); err != nil {
			t.Error(err)
		}
		endScan()
		select {
		case reason := <-why:
			t.Errorf("the server has ended: %v", reason)
		case <-time.After(100 * time.Millisecond):
		}
		endLate()
		learning.Wait()
	})
}

// TestAskedServerEnds has another node ask for the server of an id that is its own now,
// before this node has gone over its workers: the server ends at once.
func TestAskedServerEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		why := make(chan worker.EndReason, 10)
		n := startNode(t, "1@"+testHost(), worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) { return ending{why}, nil }})
		k := worker.Key{Kind: worker.DefaultKind, ID: worker.IntID(7)}
		if _, err := n.Family("").Call(t.Context(), k.ID, worker.Value{}); err != nil {
			t.Fatal(err)
		}
		n.retaining.Lock() // time stands still until it is unlocked, so what follows does not sleep
		defer n.retaining.Unlock()
		name := placement.Name{Node: "2", Host: n.addr.Host}
		n.members.Learn(n.members.View(), []wire.Member{{Name: name.String(), Addr: placement.Addr{Name: name}.HostPort(), Incarnation: 1, State: wire.Alive}})
		for n.members.View().Acting(k.ID).Self {
			runtime.Gosched()
		}
		select {
		case reason := <-why:
			t.Fatalf("the server has ended before anybody asked: %v", reason)
		default:
		}
		if !n.claims.Holds(k) {
			t.Error("no server is held, though it has yet to end")
		}
		if reason := <-why; reason != worker.EndMoved {
			t.Errorf("the server ended: %v", reason)
		}
		for n.claims.Holds(k) {
			runtime.Gosched()
		}
	})
}

// TestServerDoesNotComeBack has an id move to a node that joins, and back when that leaves,
// before the first node has gone over its servers: the server of before has ended all the
// same.
func TestServerDoesNotComeBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		n := startNode(t, "1@"+host, worker.Cache{})
		release := make(chan struct{})
		var armed atomic.Bool
		n.kinds.Host = slowHost{n.kinds.Host, func() {
			if armed.Load() {
				<-release
			}
		}}
		t.Cleanup(sync.OnceFunc(func() { close(release) }))
		var l ledger
		kinds := map[string]worker.Kind{
			worker.DefaultKind: orRandom(worker.Cache{}), "plain": worker.Serial{TTL: time.Hour, Open: worker.Serve(l.startPlain)},
		}
		other := startNode(t, "2@"+host, worker.Cache{})
		for _, n := range []*Node{n, other} {
			if err := n.SetKinds(kinds); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		id := worker.IntID(3) // of the second of two
		call := func(n *Node) {
			t.Helper()
			if _, err := Call[int](t.Context(), n.Family("plain"), id, 1); err != nil {
				t.Error(err)
			}
		}
		call(n)
		armed.Store(true)
		if err := other.Join(t.Context(), n.Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, n, other)
		call(n)
		if !n.kinds.Of("plain").Has(id) || !other.kinds.Of("plain").Has(id) {
			t.Error("the first node has gone over its servers, or the other one has no server")
		}
		if err := other.Close(t.Context()); err != nil {
			t.Error(err)
		}
		call(n)
		if l.overlap.Load() > 0 {
			t.Error("a server came back")
		}
	})
}

// A slowHost is asked by what goes over workers whether the node hurries.
type slowHost struct {
	registry.Host
	asked func()
}

func (h slowHost) Hurries() bool {
	h.asked()
	return h.Host.Hurries()
}
