package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestSessionsOnDemand forms a cluster: there is no session that no request has asked
// for, and one that is idle goes again without anybody taking the other for lost.
func TestSessionsOnDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		a, b := nodes[0].members.Pool(), nodes[1].members.Pool()
		toB, toA := a.Peer(nodes[1].addr.Name), b.Peer(nodes[0].addr.Name)
		if _, err := nodes[0].Request(t.Context(), worker.IntID(1)); err != nil {
			t.Fatal(err)
		}
		if toB.Session() == nil || toA.Session() == nil {
			t.Fatal("a request made no session")
		}
		first := toB.Session()
		await(t, func() error {
			a.RetireIdle() // as nothing was asked since the last time, once the two have compared their kinds
			if toB.Session() == first || toA.Session() != nil || first.Err() == nil {
				return errors.New("the idle session is still there")
			}
			return nil
		})
		if toB.Lost() || toA.Lost() {
			t.Error("a retired session counts as a lost peer")
		}
		for range 10 { // and it comes back
			if reply, err := nodes[0].Request(t.Context(), worker.IntID(1)); err != nil || reply.Degraded {
				t.Errorf("request(1) = %+v, %v", reply, err)
			}
		}
	})
}

// TestRetireUnderLoad retires sessions while calls run on them: no call notices.
func TestRetireUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		var calls, bad atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for !isClosed(stop) {
					reply, err := nodes[i%2].Request(t.Context(), worker.IntID(calls.Add(1)%100))
					if err != nil || reply.Degraded {
						bad.Add(1)
					}
					pause()
				}
			})
		}
		for round := range 6 {
			n := nodes[round%2]
			p := n.pool.Peer(nodes[1-round%2].addr.Name)
			await(t, func() error {
				if p.Session() == nil {
					return errors.New("no session")
				}
				return nil
			})
			n.pool.Retire(p, p.Session())
		}
		close(stop)
		wg.Wait()
		if n := bad.Load(); n > 0 {
			t.Errorf("%d of %d calls failed or were degraded", n, calls.Load())
		}
	})
}

// TestStuckOwner has an owner answer pings but no calls: after some have met their
// deadlines the next ones fail over at once, and when it goes on, it answers again.
func TestStuckOwner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		release := make(chan struct{})
		deaf := func(context.Context, worker.ID) (worker.Value, error) {
			<-release
			return worker.IntValue(2), nil
		}
		a := startNode(t, "1@"+host, worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) { return worker.IntValue(1), nil }})
		b := startNode(t, "2@"+host, worker.Cache{Load: deaf})
		a.Connect(t.Context(), b.Self())
		awaitView(t, a, b)
		call := func(id int64) (worker.Reply, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			return a.Request(ctx, worker.IntID(id))
		}
		for i := range 8 { // in 4 s; one slow id is no stuck node
			if _, err := call(1); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("call %d = %v, want %v", i, err, context.DeadlineExceeded)
			}
		}
		if _, err := call(3); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the call that shows it = %v", err)
		}
		start := time.Now()
		for range int64(20) {
			if reply, err := call(5); err != nil || !reply.Degraded || reply.Node != a.Self() {
				t.Fatalf("a call to a stuck node = %+v, %v; want a degraded answer of %s", reply, err, a.Self())
			}
		}
		if took := time.Since(start); took > 400*time.Millisecond {
			t.Errorf("20 calls to a stuck node took %v", took)
		}
		if list, _ := a.Members(t.Context()); list[1].State != StateStuck {
			t.Errorf("members: %+v", list)
		}
		close(release)
		await(t, func() error {
			reply, err := call(7)
			if err != nil || reply.Degraded || reply.Node != b.Self() {
				return fmt.Errorf("after it goes on: %+v, %v", reply, err)
			}
			return nil
		})
		awaitView(t, a, b)
	})
}

// TestSlowSourceIsNotStuck has an owner hang for a while, and then be well but slow: it
// answers again by itself, though nobody asks.
func TestSlowSourceIsNotStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		var hanging atomic.Bool
		source := func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			if hanging.Load() {
				<-ctx.Done()
				return worker.Value{}, ctx.Err()
			}
			clock.Sleep(ctx, 1200*time.Millisecond) // longer than between two trials
			return worker.IntValue(1), ctx.Err()
		}
		kind := worker.Cache{Load: source, Timeout: 10 * time.Second}
		a, b := startNode(t, "1@"+host, kind), startNode(t, "2@"+host, kind)
		a.Connect(t.Context(), b.Self())
		awaitView(t, a, b)
		hanging.Store(true)
		p := a.members.View().Peer(b.addr.Name)
		for i := int64(0); !p.Stuck(""); i++ {
			ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
			a.Request(ctx, worker.IntID(3+2*i))
			cancel()
			if i == 20 {
				t.Fatal("it does not count as stuck")
			}
		}
		hanging.Store(false)
		await(t, func() error {
			if p.Stuck("") {
				return errors.New("it still counts as stuck")
			}
			return nil
		})
	})
}

// TestPausedNameTaken has a second node of a name come while the first one does not
// answer, as if it were paused: it is refused, unless nobody listens where the first one
// was.
func TestPausedNameTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		host := nodes[0].addr.Host
		silent, err := memory.Listen(host + ":4399")
		if err != nil {
			t.Fatal(err)
		}
		nodes[0].members.Learn(nodes[0].members.View(), []wire.Member{{Name: "3@" + host, Addr: host + ":4399", Incarnation: 1}})
		second := startNode(t, "3@"+host, worker.Cache{})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := second.members.ConnectTo(ctx, nodes[0].Self()); !errors.Is(err, ErrNameTaken) {
			t.Errorf("connection of the second 3@ = %v, want %v", err, ErrNameTaken)
		}
		silent.Close()
		if err := second.Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes[0], nodes[1], second)
	})
}

// TestClosedIsNotLost closes a session from this side: the peer is as well as it was.
func TestClosedIsNotLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		a, b := nodes[0], nodes[1]
		if _, err := a.Ping(t.Context(), b.Self()); err != nil {
			t.Fatal(err)
		}
		cutDials(a, b, true) // so that no other session comes
		p := a.members.Pool().Peer(b.addr.Name)
		p.Session().Close()
		await(t, func() error {
			if p.Session() != nil {
				return errors.New("the session is still there")
			}
			return nil
		})
		if p.Lost() {
			t.Error("the peer is lost")
		}
	})
}

// TestSessionComesUp has calls run while two nodes connect: none is degraded, as nobody
// is out of reach.
func TestSessionComesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var degraded, total atomic.Int64
		for range 20 {
			host := testHost()
			a, b := startNode(t, "1@"+host, worker.Cache{}), startNode(t, "2@"+host, worker.Cache{})
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for _, n := range []*Node{a, b, a, b} {
				wg.Go(func() {
					for i := int64(0); !isClosed(stop); i++ {
						reply, err := n.Request(t.Context(), worker.IntID(i%2000))
						if total.Add(1); err != nil || reply.Degraded {
							degraded.Add(1)
						}
						pause()
					}
				})
			}
			if err := a.Join(t.Context(), b.Self()); err != nil {
				t.Error(err)
			}
			awaitView(t, a, b)
			close(stop)
			wg.Wait()
		}
		if n := degraded.Load(); n > 0 {
			t.Errorf("%d of %d calls degraded or failed", n, total.Load())
		}
	})
}
