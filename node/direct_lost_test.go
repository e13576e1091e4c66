package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestDirectMembersChange has members join and leave under load, and die and come back:
// no request fails, and owners are asked again. A node that crashes under load here would
// say that it leaves; TestBenchDirect kills one.
func TestDirectMembersChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{TTL: 100 * time.Millisecond})
		host := nodes[0].addr.Host
		c := attachDirect(t, nodes[0].Self())
		awaitDirect(t, c, nodes...)
		stop := requestAll(t, c)
		joined := startNode(t, "4@"+host, worker.Cache{})
		if err := joined.Join(t.Context(), nodes[2].Self()); err != nil {
			t.Fatal(err)
		}
		all := append(slices.Clone(nodes), joined)
		awaitView(t, all...)
		awaitDirect(t, c, all...)
		if err := nodes[1].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		all = []*Node{nodes[0], nodes[2], joined}
		awaitView(t, all...)
		awaitDirect(t, c, all...)
		stop()
		crash(nodes[2])
		for i := range int64(60) {
			if reply, err := c.Request(t.Context(), worker.IntID(i)); err != nil {
				t.Errorf("request(%d) = %+v, %v", i, reply, err)
			}
		}
		awaitFailed(t, nodes[2].Self(), nodes[0], joined)
		await(t, func() error { // a fallback answers for it, and is asked
			before := passedOn(nodes[0])
			for i := range int64(60) {
				if reply, err := c.Request(t.Context(), worker.IntID(i)); err != nil || reply.Degraded {
					return fmt.Errorf("request(%d) = %+v, %v", i, reply, err)
				}
			}
			if n := passedOn(nodes[0]) - before; n > 0 {
				return fmt.Errorf("home passed on %d requests", n)
			}
			return nil
		})
		back := startNode(t, nodes[2].Self(), worker.Cache{})
		all[1] = back
		awaitView(t, all...)
		awaitDirect(t, c, all...)
	})
}

// TestDirectSerialMoves sends messages while members come and go in an orderly way: none
// is lost or refused.
func TestDirectSerialMoves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		kind := worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}
		nodes := startCluster(t, 2, kind)
		c := attachDirect(t, nodes[0].Self())
		end := make(chan struct{})
		var wg sync.WaitGroup
		for k := range int64(8) {
			wg.Go(func() {
				for i := k; !isClosed(end); i += 8 {
					if reply, err := c.Family("").Call(t.Context(), worker.IntID(i%100), worker.IntValue(i)); err != nil || reply.Value != worker.IntValue(i) {
						t.Errorf("call(%d) = %+v, %v", i, reply, err)
					}
					pause()
				}
			})
		}
		for range 3 {
			third := startNode(t, "3@"+nodes[0].addr.Host, kind)
			if err := third.Join(t.Context(), nodes[0].Self()); err != nil {
				t.Fatal(err)
			}
			awaitView(t, nodes[0], nodes[1], third)
			time.Sleep(200 * time.Millisecond) // for calls to it
			third.Close(t.Context())
			awaitView(t, nodes...)
		}
		close(end)
		wg.Wait()
	})
}

// TestDirectHomeDies loses the node that the client is attached to: the others answer
// what they own, and what it owned. When it is back it is home again.
func TestDirectHomeDies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		home := nodes[0]
		c, fresh := attachDirect(t, home.Self()), attachDirect(t, home.Self())
		awaitDirect(t, c, nodes...)
		crash(home)
		for _, c := range []*Client{c, fresh} { // of whom one has no session to the others yet
			for i := range int64(30) {
				reply, err := c.Request(t.Context(), worker.IntID(i))
				if err != nil || reply.Node == home.Self() || i%3 > 0 && (reply.Degraded || reply.Node != nodes[i%3].Self()) {
					t.Fatalf("request(%d) without home = %+v, %v", i, reply, err)
				}
			}
		}
		awaitFailed(t, home.Self(), nodes[1:]...)
		await(t, func() error { // a fallback is asked at once
			before := passedOn(nodes[1]) + passedOn(nodes[2])
			for i := range int64(60) {
				reply, err := c.Request(t.Context(), worker.IntID(i))
				if err != nil || reply.Degraded {
					return fmt.Errorf("request(%d) = %+v, %v", i, reply, err)
				}
			}
			if n := passedOn(nodes[1]) + passedOn(nodes[2]) - before; n > 0 {
				return fmt.Errorf("%d requests were passed on", n)
			}
			return nil
		})
		if _, err := c.Members(t.Context()); err != nil { // another member tells
			t.Errorf("members without home: %v", err)
		}
		nodes[0] = startNode(t, home.Self(), worker.Cache{})
		awaitView(t, nodes...)
		awaitDirect(t, c, nodes...)
	})
}

// TestDirectAlone has a direct client lose the only node: it says so at once, and goes on
// when that is back.
func TestDirectAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		c := attachDirect(t, n.Self())
		if err := checkDirect(t, c, n); err != nil {
			t.Fatal(err)
		}
		crash(n)
		<-c.reach.Home().Done()
		start := time.Now()
		if _, err := c.Request(t.Context(), worker.IntID(1)); !errors.Is(err, ErrUnreachable) || OutcomeOf(err) != worker.OutcomeNotRun || time.Since(start) > time.Second {
			t.Errorf("request without a node = %v after %v, want %v, not run", err, time.Since(start), ErrUnreachable)
		}
		startNode(t, n.Self(), worker.Cache{})
		await(t, func() error {
			_, err := c.Request(t.Context(), worker.IntID(1))
			return err
		})
	})
}

// TestDirectOnce loses the owner while it runs a call. What asks for a value runs again
// elsewhere, unless its kind is exclusive; a message does not. If what runs again is
// refused, the call may have run all the same.
func TestDirectOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		for what, wantRuns := range map[string]int64{"shared": 2, "exclusive": 1, "serial": 1, "gone": 1} {
			var runs atomic.Int64
			started := make(chan struct{}, 2)
			slow := func(ctx context.Context, _ worker.ID) (worker.Value, error) {
				runs.Add(1)
				started <- struct{}{}
				<-ctx.Done()
				return worker.Value{}, ctx.Err()
			}
			quick := func(context.Context, worker.ID) (worker.Value, error) {
				runs.Add(1)
				return worker.IntValue(1), nil
			}
			kinds := func(source worker.Source) map[string]worker.Kind {
				return map[string]worker.Kind{
					"shared": worker.Cache{Load: source}, "gone": worker.Cache{Load: source}, "exclusive": worker.Cache{Load: source, Exclusive: true},
					"serial": worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return sourceServer(source), nil }},
				}
			}
			nodes := []*Node{startNode(t, "1@"+host, worker.Cache{}), startNode(t, "2@"+host, worker.Cache{})}
			for i, source := range []worker.Source{quick, slow} {
				if err := nodes[i].SetKinds(kinds(source)); err != nil {
					t.Fatal(err)
				}
			}
			nodes[1].Connect(t.Context(), nodes[0].Self())
			awaitView(t, nodes...)
			c := attachDirect(t, nodes[0].Self())
			awaitDirect(t, c, nodes...)
			crashed := make(chan struct{})
			go func() {
				defer close(crashed)
				<-started
				if what == "gone" {
					nodes[0].SetKinds(nil)
				}
				crash(nodes[1])
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // in which a fallback would run it
			var err error
			if family := c.Family(what); what == "serial" {
				_, err = family.Call(ctx, worker.IntID(1), worker.IntValue(1))
			} else {
				_, err = family.Request(ctx, worker.IntID(1))
			}
			cancel()
			if what == "shared" && err != nil || what != "shared" && (err == nil || OutcomeOf(err) != worker.OutcomeUnknown) {
				t.Errorf("%s: %v, outcome %v", what, err, OutcomeOf(err))
			}
			if what == "gone" && !errors.Is(err, ErrUnknownKind) {
				t.Errorf("%s: %v, want %v", what, err, ErrUnknownKind)
			}
			if n := runs.Load(); n != wantRuns {
				t.Errorf("%s: it ran %d times, want %d", what, n, wantRuns)
			}
			c.Close()
			<-crashed
			crash(nodes[0])
		}
	})
}

// A detour is a network on which one address leads to another.
type detour struct {
	wire.Network
	from, to string
}

func (d detour) Dial(ctx context.Context, addr string) (net.Conn, error) {
	if addr == d.from {
		addr = d.to
	}
	return d.Network.Dial(ctx, addr)
}

// TestDirectOutOfReach has one node be out of the client's reach, and one not answer it:
// home asks them, no call waits, and dials are few.
func TestDirectOutOfReach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		checkSessions(t, nodes)
		alien, err := Start(Config{Name: "2@" + testHost(), Cookie: []byte("the cookie of another cluster"), network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer alien.Close(t.Context())
		silent, err := memory.Listen(nodes[0].addr.Host + ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		c, err := Attach(t.Context(), ClientConfig{
			Node: nodes[0].Self(), Cookie: testCookie, Direct: true, steady: time.Hour,
			network: detour{memory, nodes[1].Addr(), alien.Addr()},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s := c.reach.Pool()
		s.Introduce(s.Peer(nodes[2].addr.Name), silent.Addr().String())
		calls, end := 0, time.Now().Add(1500*time.Millisecond)
		for ; time.Now().Before(end); calls++ {
			i := int64(calls) % 30
			start := time.Now()
			reply, err := c.Request(t.Context(), worker.IntID(i))
			if err != nil || reply.Node != nodes[i%3].Self() || reply.Degraded || time.Since(start) > time.Second {
				t.Fatalf("request(%d) = %+v, %v after %v; want an answer of %s", i, reply, err, time.Since(start), nodes[i%3].Self())
			}
			pause()
		}
		if n := alien.Stats().Refused; n == 0 || n > 8 {
			t.Errorf("%d dials for %d calls", n, calls)
		}
	})
}
