package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestWhyIsGivenUp asks about an id of a member that does not answer: if nobody waits for
// that any more, Why says so rather than what it knows already.
func TestWhyIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		silent, err := memory.Listen(host + ":4372")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		n := startNode(t, "1@"+host, worker.Cache{})
		giveSlot(n, wire.Hello{Name: "2@" + host, Addr: host + ":4372", Incarnation: 1})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := n.Why(ctx, worker.IntID(1)); !errors.Is(err, context.Canceled) {
			t.Errorf("why = %v, want %v", err, context.Canceled)
		}
	})
}

// TestRate has the node itself know its rate over the last five seconds, so that all who look
// see the same, however seldom they look. What a removed kind has answered stays counted.
func TestRate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{Load: counter(), TTL: time.Hour})
		a, b := nodes[0], nodes[1]
		if err := b.SetKinds(map[string]worker.Kind{"brief": worker.Cache{Load: counter(), TTL: time.Hour}}); err != nil {
			t.Fatal(err)
		}
		look := func(low, high float64) (requests uint64) {
			t.Helper()
			for range 2 {
				infos, err := a.Nodes(t.Context())
				if err != nil || infos[1].Rate < low || infos[1].Rate > high {
					t.Errorf("%v, %v; want a rate from %v to %v", infos, err, low, high)
				}
				requests = infos[1].Requests
			}
			return requests
		}
		time.Sleep(time.Minute)
		look(0, 0)
		for range 100 {
			if _, err := b.Family("brief").Request(t.Context(), idAt(t, b)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		before := look(9, 11)
		if err := b.SetKinds(nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if after := look(7, 9); before != 100 || after != before {
			t.Errorf("%d requests before the kind was removed, %d after", before, after)
		}
		time.Sleep(time.Minute)
		look(0, 0)
	})
}

// TestPingIsAnOperation measures the way to the peer's handler: what the multiplexer answers
// by itself tells little of the way of a request.
func TestPingIsAnOperation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		a, b := nodes[0], nodes[1]
		p, err := a.members.Member(b.Self())
		if err != nil {
			t.Fatal(err)
		}
		s, err := a.pool.Get(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(1234 * time.Millisecond) // what nodes do as they meet ends, and nothing else is due now
		synctest.Wait()
		before, _ := s.Used()
		if _, err := a.Ping(t.Context(), b.Self()); err != nil {
			t.Fatal(err)
		}
		if after, _ := s.Used(); after != before+1 {
			t.Errorf("a ping made %d operations", after-before)
		}
		if _, err := a.Nodes(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after, _ := s.Used(); after != before+3 { // a round trip, and the report
			t.Errorf("a ping and a list of nodes made %d operations", after-before)
		}
	})
}
