package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
)

// TestAnswersFollow has a node join, another leave, and a third crash and come back: what
// was cached moves with the ids, and no source runs again.
func TestAnswersFollow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const ids = 60
		runs := counter()
		kind := worker.Cache{TTL: time.Hour, Load: runs}
		nodes := startCluster(t, 2, kind)
		ask := func(n *Node) (values []worker.Value) {
			for i := range int64(ids) {
				reply, err := n.Request(t.Context(), worker.IntID(i))
				if err != nil || reply.Degraded {
					t.Fatalf("request(%d) = %+v, %v", i, reply, err)
				}
				values = append(values, reply.Value)
			}
			return values
		}
		first := ask(nodes[0])
		same := func(what string, n *Node) {
			t.Helper()
			for i, v := range ask(n) {
				if v != first[i] {
					t.Errorf("%s: the source ran again for %d", what, i)
				}
			}
		}
		third := startNode(t, "3@"+nodes[0].addr.Host, kind)
		if err := third.Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes[0], nodes[1], third)
		awaitMoved(t, third, ids/3, nodes[0], nodes[1], third)
		awaitMoved(t, nodes[0], ids/3)
		same("after a node joined", nodes[1])

		if err := nodes[1].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes[0], third)
		same("after a node left", third)
		reply, err := nodes[0].Request(t.Context(), worker.IntID(0))
		if err != nil || !reply.Cached || reply.Age <= 0 || reply.TTL >= time.Hour {
			t.Errorf("%+v, %v; want the age of the first load", reply, err)
		}
	})
}

// awaitMoved waits until a node has at least so many workers, and all of them are where
// they belong.
func awaitMoved(t *testing.T, n *Node, least int, all ...*Node) {
	t.Helper()
	await(t, func() error {
		if workers := live(n.kinds.Of("")); workers < least {
			return fmt.Errorf("%s has %d workers, want %d", n.Self(), workers, least)
		}
		for _, n := range all {
			for _, w := range n.kinds.Of("").Workers(protocol.MaxWorkers) {
				if !n.members.View().Acting(w.ID).Self {
					return errors.New(n.Self() + " still has a worker that belongs elsewhere")
				}
			}
		}
		return nil
	})
}

// TestFallbackHandsBack lets a crashed owner come back: what its fallbacks have loaded is
// handed to it.
func TestFallbackHandsBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		kind := worker.Cache{TTL: time.Hour, Load: counter()}
		nodes := startCluster(t, 3, kind)
		crash(nodes[1])
		awaitFailed(t, nodes[1].Self(), nodes[0], nodes[2])
		values := map[int64]worker.Value{}
		for i := int64(1); i < 30; i += 3 {
			reply, err := nodes[0].Request(t.Context(), worker.IntID(i))
			if err != nil || reply.Degraded {
				t.Fatalf("request(%d) = %+v, %v", i, reply, err)
			}
			values[i] = reply.Value
		}
		back := startNode(t, nodes[1].Self(), kind)
		if err := back.Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes[0], back, nodes[2])
		awaitMoved(t, back, len(values), nodes[0], back, nodes[2])
		for i, v := range values {
			if reply, err := nodes[2].Request(t.Context(), worker.IntID(i)); err != nil || reply.Value != v || reply.Node != back.Self() {
				t.Errorf("request(%d) = %+v, %v; want %s of %s", i, reply, err, v, back.Self())
			}
		}
	})
}

// TestReapAfter gives a crashed member's slot to the others, on all of them, and takes it
// back when it is there again.
func TestReapAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		var nodes []*Node
		start := func(i int) *Node {
			n, err := Start(Config{Name: fmt.Sprintf("%d@%s", i, host), Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), ReapAfter: 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { crash(n) })
			return n
		}
		for i := range 3 {
			nodes = append(nodes, start(i+1))
			if err := nodes[i].Join(t.Context(), nodes[0].Self()); err != nil {
				t.Fatal(err)
			}
		}
		awaitView(t, nodes...)
		crash(nodes[1])
		awaitFailed(t, nodes[1].Self(), nodes[0], nodes[2])
		awaitView(t, nodes[0], nodes[2])
		back := start(2)
		if err := back.Join(context.Background(), nodes[2].Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes[0], back, nodes[2])
	})
}

// TestServersMoveFirst has ids move of a kind that has values and of one that has servers.
func TestServersMoveFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		echo := worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }, TTL: time.Hour}
		for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
			n, err := Start(Config{
				Name: "1@" + testHost(), Cookie: testCookie, network: memory,
				Kinds: map[string]worker.Kind{names[0]: orRandom(worker.Cache{TTL: time.Hour}), names[1]: echo},
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range int64(100) {
				if _, err := n.Family(names[0]).Request(t.Context(), worker.IntID(i)); err != nil {
					t.Fatal(err)
				}
				if _, err := n.Family(names[1]).Call(t.Context(), worker.IntID(i), worker.IntValue(1)); err != nil {
					t.Fatal(err)
				}
			}
			var order []bool
			n.kinds.Retain(func() uint64 { return 0 }, func(r *registry.Registry, _ worker.ID) bool {
				order = append(order, r.Serial())
				return true
			})
			if first := slices.Index(order, false); first < 100 || slices.Contains(order[first:], true) {
				t.Errorf("%d of %d looks before that at the first value", first, len(order))
			}
			n.Close(t.Context())
		}
	})
}

// TestAnswersComeBack has a node that does not know that another one leaves hand answers
// off to it: they come back.
func TestAnswersComeBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{TTL: time.Hour})
		n, other := nodes[0], nodes[1]
		n.leaving.Store(true)
		list := []registry.Answer{{ID: worker.IntID(7), Data: "kept", Left: time.Hour}}
		if err := other.router.SendAnswers(t.Context(), n.name, list); err != nil {
			t.Fatal(err)
		}
		if err := n.handoffs.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var reply worker.Reply
		if r := other.kinds.Of(""); !r.Lookup(worker.IntID(7), r.Now(), false, &reply) || reply.Value.String() != "kept" {
			t.Errorf("the other node has %+v", reply)
		}
	})
}

// TestViewChangesDuringRetain has the view change while a node goes over its servers: one
// that it has passed may be another node's now, and has something to do at its end. It is
// named to those that ask.
func TestViewChangesDuringRetain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		why := make(chan worker.EndReason, 10)
		kind := worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return ending{why}, nil }, TTL: time.Hour}
		n := startNode(t, "1@"+testHost(), kind)
		if _, err := n.Family("").Call(t.Context(), worker.IntID(1), worker.IntValue(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // until it has looked at its workers for its first view
		for _, changes := range []uint64{1, 0} {
			const first = 1000 // higher than the view of the node has
			shed := uint64(first)
			n.kinds.Retain(func() uint64 { shed += changes; return shed }, func(*registry.Registry, worker.ID) bool { return true })
			for view := uint64(first); view <= shed; view++ {
				ids, _ := n.kinds.Of("").Held(view, func(worker.ID) bool { return false }, 10)
				if named := len(ids) == 1; named != (changes > 0) {
					t.Errorf("view %d of %d: %v named", view, shed, ids)
				}
			}
		}
	})
}
