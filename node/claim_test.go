package node

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestSerialCluster has 100 callers at three nodes call 20 ids, over many expiries.
func TestSerialCluster(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var l ledger
		nodes := startCluster(t, 3, worker.Serial{Open: worker.Serve(l.start), TTL: 50 * time.Millisecond})
		n := l.callAll(t, 100, func() []*Node { return nodes }, func() { time.Sleep(200 * time.Millisecond) })
		if n < 200 {
			t.Errorf("only %d calls", n)
		}
	})
}

// TestSerialMembersChange is the same while nodes join and leave: no call fails, none
// runs twice, and no id has two servers.
func TestSerialMembersChange(t *testing.T) {
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var l ledger
				kind := worker.Serial{Open: worker.Serve(l.start), TTL: time.Second}
				if round > 0 { // with servers that have nothing to do at their end
					kind.Open = worker.Serve(l.startPlain)
				}
				nodes := startCluster(t, 2, kind)
				host := nodes[0].addr.Host
				l.callAll(t, 50, func() []*Node { return nodes }, func() {
					var joined []*Node
					for i := range 3 {
						n := startNode(t, fmt.Sprintf("%d@%s", i+3, host), kind)
						if err := n.Join(t.Context(), nodes[0].Self()); err != nil {
							t.Error(err)
						}
						joined = append(joined, n)
						time.Sleep(200 * time.Millisecond)
					}
					if err := nodes[1].Disconnect(t.Context(), joined[0].Self()); err != nil {
						t.Error(err)
					}
					time.Sleep(200 * time.Millisecond)
					for _, n := range joined[1:] {
						if err := n.Close(t.Context()); err != nil {
							t.Error(err)
						}
					}
					time.Sleep(200 * time.Millisecond)
				})
			})
		})
	}
}

// TestSerialCrash has the owner of an id die: its calls wait until a fallback is named,
// and never run on another node.
func TestSerialCrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Serial{Open: func(_ context.Context, _ worker.ID) (worker.Server, error) { return echoServer{}, nil }})
		family := nodes[0].Family("")
		reply, err := family.Call(t.Context(), worker.IntID(1), worker.IntValue(1))
		if err != nil || reply.Node != nodes[1].Self() {
			t.Fatalf("%+v, %v; want an answer of %s", reply, err, nodes[1].Self())
		}
		crash(nodes[1])
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		reply, err = family.Call(ctx, worker.IntID(1), worker.IntValue(2))
		if OutcomeOf(err) == worker.OutcomeUnknown && err != nil { // it was on its way when the connection ended, so it is this caller's to decide
			reply, err = family.Call(ctx, worker.IntID(1), worker.IntValue(2))
		}
		if why, _ := family.Why(ctx, worker.IntID(1)); err != nil || reply.Degraded || reply.Node != why.Fallback {
			t.Errorf("%+v, %v; want an answer of %s", reply, err, why.Fallback)
		}
	})
}

// TestClaimAwaitsJoin claims an id on a node that is about to join others: the claim
// waits until the node has tried.
func TestClaimAwaitsJoin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		n, err := Start(Config{Name: "1@" + host, Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), Joins: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { crash(n) })
		claim := func(d time.Duration) *wire.Error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			return n.claims.Claim(ctx, worker.Key{Kind: "", ID: worker.IntID(1)})
		}
		if err := claim(50 * time.Millisecond); err == nil || !errors.Is(err, context.DeadlineExceeded) || err.Outcome != wire.NotRun {
			t.Errorf("a claim before Join: %v, want %v", err, context.DeadlineExceeded)
		}
		if err := n.Join(t.Context(), n.Self()); err != nil {
			t.Fatal(err)
		}
		if err := claim(time.Minute); err != nil {
			t.Errorf("a claim after Join: %v", err)
		}
	})
}

// TestBarrierAgain has a member with more servers to end than it can tell of. When they
// have ended, it is asked again, and then no more for each id.
func TestBarrierAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host, release := testHost(), make(chan struct{})
		kind := worker.Serial{TTL: time.Hour, Timeout: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return slowToEnd{release: release}, nil
		}}
		former := startNode(t, "1@"+host, kind)
		const servers = 2 * (protocol.MaxHeld + 10)
		for i := range int64(servers) {
			if _, err := former.Family("").Call(t.Context(), worker.IntID(i), worker.Value{}); err != nil {
				t.Fatal(err)
			}
		}
		n := startNode(t, "2@"+host, kind)
		if err := n.Join(t.Context(), former.Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, former, n)
		next := int64(servers + 1) // an id of n
		call := func() error {
			next += 2
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			reply, err := n.Family("").Call(ctx, worker.IntID(next), worker.Value{})
			if err == nil && reply.Node != n.Self() {
				t.Errorf("%s answered", reply.Node)
			}
			return err
		}
		if err := call(); err != nil { // which asks the other node
			t.Fatal(err)
		}
		close(release)
		time.Sleep(time.Minute)
		if err := call(); err != nil { // which asks it once more
			t.Fatal(err)
		}
		synctest.Wait()
		cutDials(n, former, true)
		for _, s := range n.pool.Live() {
			s.Close()
		}
		if err := call(); err != nil {
			t.Errorf("a call that needs nobody else: %v", err)
		}
	})
}

// A slowToEnd server ends when it is told to.
type slowToEnd struct {
	echoServer
	release chan struct{}
}

func (s slowToEnd) Terminate(context.Context, worker.EndReason) { <-s.release }

// TestClaimGivesUp has a member not answer for longer than a caller waits: the claim
// ends, and nothing has run.
func TestClaimGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		silent, err := memory.Listen(n.addr.Host + ":4372")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		giveSlot(n, wire.Hello{Name: "2@" + n.addr.Host, Addr: n.addr.Host + ":4372", Incarnation: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		k := worker.Key{Kind: worker.DefaultKind, ID: worker.IntID(2)} // its own
		if e := n.claims.Claim(ctx, k); e == nil || e.Code != wire.DeadlineExceeded || e.Outcome != wire.NotRun {
			t.Errorf("%v, want %v, not run", e, wire.DeadlineExceeded)
		}
	})
}
