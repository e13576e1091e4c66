package node

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/route"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

func TestOwnersAgree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		for i := range 10_000 {
			id := worker.IntID(int64(i - 5000))
			want, _ := nodes[0].Owner(t.Context(), id)
			for _, n := range nodes[1:] {
				if got, _ := n.Owner(t.Context(), id); got != want {
					t.Fatalf("owner of %s: %s from %s, %s from %s", id, got, n.Self(), want, nodes[0].Self())
				}
			}
			reply, err := nodes[i%3].Request(t.Context(), id)
			if err != nil || reply.Node != want || reply.Degraded {
				t.Fatalf("request(%s) from %s = %+v, %v; want an answer of %s", id, nodes[i%3].Self(), reply, err, want)
			}
		}
	})
}

// TestEveryPairDials has all nodes connect to all others at the same moment: each pair
// ends up with exactly one session.
func TestEveryPairDials(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const size = 5
		for range 5 {
			host := testHost()
			var nodes []*Node
			var names []string
			for i := range size {
				nodes = append(nodes, startNode(t, fmt.Sprintf("%d@%s", i+1, host), worker.Cache{}))
				names = append(names, nodes[i].Self())
			}
			var wg sync.WaitGroup
			for _, n := range nodes {
				wg.Go(func() {
					if err := n.Join(t.Context(), names...); err != nil { // as Connect gives up after 1 s
						t.Errorf("%s: %v", n.Self(), err)
					}
				})
			}
			wg.Wait()
			awaitView(t, nodes...)
			checkSessions(t, nodes)
		}
	})
}

// TestRendezvous lets a cluster route by score: all agree, and who answers is the owner.
func TestRendezvous(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		var nodes []*Node
		for i := range 3 {
			n, err := Start(Config{Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), Routing: placement.Rendezvous})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { crash(n) })
			nodes = append(nodes, n)
			if err := n.Join(t.Context(), nodes[0].Self()); err != nil {
				t.Fatal(err)
			}
		}
		awaitView(t, nodes...)
		seen := map[string]bool{}
		for i := range 100 {
			want, _ := nodes[0].Owner(t.Context(), worker.IntID(int64(i)))
			seen[want] = true
			reply, err := nodes[i%3].Request(t.Context(), worker.IntID(int64(i)))
			if err != nil || reply.Node != want || reply.Degraded {
				t.Fatalf("request(%d) = %+v, %v; want an answer of %s", i, reply, err, want)
			}
		}
		if len(seen) != 3 {
			t.Errorf("owners of 100 ids: %v", seen)
		}
	})
}

// TestCrashAndRestart loses an owner: at first each node answers its ids in its place,
// and marks them; once all know, one fallback does. Other ids do not move. When it is
// back, it answers again.
func TestCrashAndRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		checkSessions(t, nodes)
		owner := nodes[1]
		crash(owner)
		for i := range int64(30) {
			reply, err := nodes[0].Request(t.Context(), worker.IntID(i))
			if err != nil {
				t.Fatalf("request(%d) failed because another node died: %v", i, err)
			}
			slot := nodes[i%3].Self()
			if lost := slot == owner.Self(); reply.Degraded != lost || lost != (reply.Node != slot) {
				t.Errorf("request(%d) = %+v; its slot is %s, and %s is lost", i, reply, slot, owner.Self())
			}
		}
		awaitFailed(t, owner.Self(), nodes[0], nodes[2])
		for i := range int64(30) {
			a, err := nodes[0].Request(t.Context(), worker.IntID(i))
			b, err2 := nodes[2].Request(t.Context(), worker.IntID(i))
			if err != nil || err2 != nil || a.Degraded || b.Degraded || a.Node != b.Node || a.Value != b.Value {
				t.Errorf("request(%d) = %+v, %v and %+v, %v; want one answer of one node", i, a, err, b, err2)
			}
			if slot := nodes[i%3].Self(); slot != owner.Self() && a.Node != slot {
				t.Errorf("request(%d) went to %s; its slot is %s", i, a.Node, slot)
			}
		}
		back := startNode(t, owner.Self(), worker.Cache{})
		awaitView(t, nodes[0], back, nodes[2]) // they reconnect by themselves
		reply, err := nodes[0].Request(t.Context(), worker.IntID(1))
		if err != nil || reply.Node != owner.Self() || reply.Degraded {
			t.Errorf("request(1) = %+v, %v; want an answer of %s", reply, err, owner.Self())
		}
	})
}

// TestNotOwner asks a node that does not own the id, as a caller does whose view is
// behind: it says so and runs nothing, and the caller asks the owner.
func TestNotOwner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		a, wrong := nodes[0], nodes[1]
		checkSessions(t, nodes)
		p := a.members.Pool().Peer(wrong.addr.Name)
		request := protocol.NewRequest("", worker.IntID(5))
		steps := route.Steps{Router: a.router}
		_, err := steps.Ask(t.Context(), p, &request)
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || e.Code != wire.NotOwner || e.Outcome != wire.NotRun || len(e.Members) != 3 {
			t.Errorf("%s answers %#v, want not the owner, not run, and its view", wrong.Self(), err)
		}
		reply, err := steps.RequestFrom(t.Context(), p, "", worker.IntID(5))
		if err != nil || reply.Node != nodes[2].Self() || reply.Degraded {
			t.Errorf("request(5) = %+v, %v; want an answer of %s", reply, err, nodes[2].Self())
		}
		if n := live(wrong.kinds.Of("")); n != 0 {
			t.Errorf("%s has %d workers", wrong.Self(), n)
		}
	})
}
