package node

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/route"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestTwins joins two clusters that each have a node of one name: the one that started
// later leaves, and all others agree on the first.
func TestTwins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		start := func(name string, port int) *Node {
			n, err := Start(Config{Name: name, Port: port, Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{})})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { crash(n) })
			time.Sleep(time.Millisecond) // so that the next one has started later
			return n
		}
		join := func(n, to *Node) {
			t.Helper()
			if err := n.Join(t.Context(), to.Self()); err != nil {
				t.Fatal(err)
			}
		}
		a, first := start("1@"+host, 0), start("2@"+host, 0)
		join(first, a)
		c, second := start("3@"+host, 0), start("2@"+host, 4999)
		join(second, c)
		awaitView(t, a, first)
		awaitView(t, second, c)
		join(a, c)
		await(t, func() error {
			if n := len(second.members.View().Peers); n != 1 {
				return fmt.Errorf("the second %s is still in a cluster of %d", second.Self(), n)
			}
			return nil
		})
		for _, n := range []*Node{a, c} {
			await(t, func() error { // nobody takes the second's farewell for the first's
				p := n.members.View().Peer(first.addr.Name)
				if p == nil || n.pool.Slot(p).Addr != first.Addr() {
					return fmt.Errorf("%s does not know %s at %s", n.Self(), first.Self(), first.Addr())
				}
				return nil
			})
		}
		awaitView(t, a, first, c)
	})
}

// startAt starts a node whose address is another one than that at which it listens, as
// others see it.
func startAt(t *testing.T, name string, address placement.Addr) *Node {
	t.Helper()
	n, err := Start(Config{Name: name, Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), Advertise: address.HostPort()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { crash(n) })
	return n
}

// TestTwinsAtOneAddress is TestTwins for nodes that are at one address, of which each is
// reached in its own half of a cluster that was split, as a service is that was moved to
// another machine.
func TestTwinsAtOneAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		a, first := startNode(t, "1@"+host, worker.Cache{}), startNode(t, "2@"+host, worker.Cache{})
		time.Sleep(time.Millisecond) // so that the second one has started later
		c, second := startNode(t, "3@"+host, worker.Cache{}), startAt(t, "2@"+host+":4999", first.addr)
		join := func(n, to *Node) {
			t.Helper()
			if err := n.Join(t.Context(), to.Self()); err != nil {
				t.Fatal(err)
			}
		}
		join(first, a)
		join(second, c)
		awaitView(t, a, first)
		awaitView(t, second, c)
		start := time.Now()
		join(a, c)
		await(t, func() error {
			if n := len(second.members.View().Peers); n != 1 {
				return fmt.Errorf("the second %s is still in a cluster of %d", second.Self(), n)
			}
			return nil
		})
		t.Logf("it left after %v", time.Since(start))
		<-second.Displaced()
		checkDisplaced(t, second, c)
		want := first.members.Hello().Incarnation
		for _, n := range []*Node{a, c} {
			await(t, func() error {
				p := n.members.View().Peer(first.addr.Name)
				if p == nil || n.pool.Slot(p).Incarnation != want {
					return fmt.Errorf("%s does not know the first %s", n.Self(), first.Self())
				}
				return nil
			})
		}
		awaitView(t, a, first, c)
		t.Logf("all agree after %v", time.Since(start))
		time.Sleep(500 * time.Millisecond)
		awaitView(t, a, first, c)
		for _, n := range []*Node{a, first, c} {
			if list := n.members.View().Peers; len(list) != 3 {
				t.Errorf("%s has %d members", n.Self(), len(list))
			}
		}
	})
}

// checkDisplaced checks that n, which has left the cluster to an older node of its name,
// is not brought back by a member that finds it at the address of the other one, and runs
// nothing of a serial kind.
func checkDisplaced(t *testing.T, n, member *Node) {
	t.Helper()
	at := wire.Member{Name: n.Self(), Addr: fmt.Sprintf("%s:4999", n.addr.Host)}
	hello := member.members.Hello()
	hello.Role = wire.RoleLink
	if l, err := wire.DialLink(t.Context(), at.Addr, member.creds, hello); !errors.Is(err, ErrNameTaken) {
		t.Errorf("a link to %s: %v, %v; want %v", n.Self(), l, err, ErrNameTaken)
	}
	ws, err := wire.Dial(t.Context(), at.Addr, member.creds, member.members.Hello(), protocol.Refuser{})
	if !errors.Is(err, ErrNameTaken) {
		t.Errorf("a session to %s: %v, %v; want %v", n.Self(), ws, err, ErrNameTaken)
	}
	if err := n.Ready(t.Context()); !errors.Is(err, ErrNameTaken) {
		t.Errorf("Ready: %v, want %v", err, ErrNameTaken)
	}
	if err := n.claims.Claim(t.Context(), worker.Key{Kind: "", ID: worker.IntID(1)}); !errors.Is(err, ErrNameTaken) || err.Outcome != wire.NotRun {
		t.Errorf("a claim: %v, want %v", err, ErrNameTaken)
	}
	if len(n.members.View().Peers) != 1 {
		t.Errorf("%s is a member again", n.Self())
	}
}

// TestLateIncarnationLeaves has a node crash, come back, meet only one of the others, and
// leave: none of them keeps a slot for it, though one knew only of the incarnation that
// crashed.
func TestLateIncarnationLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		a, b, c := nodes[0], nodes[1], nodes[2]
		old := b.members.Hello().Incarnation
		crash(b)
		creds := credentials(t, testCookie)
		back := wire.Hello{Name: b.Self(), Addr: b.Addr(), Incarnation: old + 1, Routing: placement.Modulo.String()}
		s, err := wire.Dial(t.Context(), a.Addr(), creds, back, protocol.Refuser{})
		if err != nil {
			t.Fatal(err)
		}
		left := protocol.Sync{List: []wire.Member{{Name: b.Self(), Addr: b.Addr(), Incarnation: old + 1, State: wire.Left}}}
		if err := s.Do(t.Context(), protocol.OpSync, left, nil); err != nil {
			t.Fatal(err)
		}
		s.Close()
		awaitView(t, a, c)
		a.members.Sync(t.Context(), a.members.View(), a.members.Pool().Peer(c.addr.Name))
		awaitView(t, a, c) // it does not come back, either
	})
}

// TestTwinsFarewell dials a member at an address that leads to another process of its
// name, which leaves: the member keeps its slot. Only its own farewell ends that.
func TestTwinsFarewell(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const seat = 5 // incarnation of the member
		for _, leaver := range []uint64{seat + 1, seat} {
			n := startNode(t, "1@"+testHost(), worker.Cache{})
			w := wire.Member{Name: "2@" + n.addr.Host, Incarnation: leaver}
			l, err := wire.Listen(n.addr.Host+":0", n.creds, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					in, err := l.Accept()
					if err != nil {
						return
					}
					in.Refuse(&wire.Error{Code: wire.Leaving, Outcome: wire.NotRun, Members: []wire.Member{w}})
				}
			}()
			giveSlot(n, wire.Hello{Name: w.Name, Addr: l.Addr().String(), Incarnation: seat})
			name, err := placement.ParseName(w.Name)
			if err != nil {
				t.Fatal(err)
			}
			request := protocol.NewRequest("", worker.IntID(1))
			if _, err := (route.Steps{Router: n.router}).Ask(t.Context(), n.members.View().Peer(name), &request); !errors.Is(err, ErrLeaving) {
				t.Errorf("the session to a node that leaves: %v", err)
			}
			if left := n.members.View().Peer(name) == nil; left != (leaver == seat) {
				t.Errorf("after a farewell of incarnation %d the slot of %d is gone: %t", leaver, seat, left)
			}
		}
	})
}
