package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
)

// TestDisconnectUnderLoad has a node leave while it calls all the time: it does not come
// back by what it hears of the others.
func TestDisconnectUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{TTL: 50 * time.Millisecond})
		b := nodes[1]
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for k := range 8 {
			wg.Go(func() {
				for i := int64(k); !isClosed(stop); i += 8 {
					b.Request(t.Context(), worker.IntID(i))
					pause()
				}
			})
		}
		if err := nodes[0].Disconnect(t.Context(), b.Self()); err != nil {
			t.Error(err)
		}
		awaitView(t, b)
		time.Sleep(time.Second) // for it to come back
		if n := len(b.members.View().Peers); n != 1 {
			t.Errorf("%s is in a cluster of %d again", b.Self(), n)
		}
		close(stop)
		wg.Wait()
		awaitView(t, nodes[0], nodes[2])
	})
}

// TestAnswerAfterLeaving has a node hear of the members that it asked for just when it
// has left them: it does not come back.
func TestAnswerAfterLeaving(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		a, b, c := nodes[0], nodes[1], nodes[2]
		v := b.members.View()
		if err := a.Disconnect(t.Context(), b.Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, b)
		await(t, func() error {
			if b.members.Detaching() {
				return errors.New("it still leaves")
			}
			return nil
		})
		if err := b.members.Sync(t.Context(), v, v.Peer(a.addr.Name)); !errors.Is(err, ErrLeaving) {
			t.Errorf("it asks a former member: %v, want %v", err, ErrLeaving)
		}
		b.members.Learn(v, a.members.Snapshot()) // the answer of a member that it had asked before
		awaitView(t, a, c)
		awaitView(t, b)
	})
}

// TestDisconnectLosesNothing has a node leave while it runs a call: that is answered, and
// what it has cached follows its ids.
func TestDisconnectLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		count, running := counter(), make(chan struct{})
		slow := func(ctx context.Context, id worker.ID) (worker.Value, error) {
			if id == worker.IntID(4) {
				close(running)
				clock.Sleep(ctx, 1500*time.Millisecond)
			}
			return count(ctx, id)
		}
		nodes := startCluster(t, 3, worker.Cache{Load: slow, Exclusive: true, TTL: time.Hour})
		a, b, c := nodes[0], nodes[1], nodes[2]
		values := map[int64]worker.Value{}
		for i := int64(301); i < 361; i += 3 {
			reply, err := a.Request(t.Context(), worker.IntID(i))
			if err != nil || reply.Node != b.Self() {
				t.Fatal(reply, err)
			}
			values[i] = reply.Value
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if reply, err := a.Request(t.Context(), worker.IntID(4)); err != nil {
				t.Errorf("the call that ran: %+v, %v", reply, err)
			}
		})
		<-running
		if err := a.Disconnect(t.Context(), b.Self()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		awaitView(t, a, c)
		for i, v := range values {
			if reply, err := a.Request(t.Context(), worker.IntID(i)); err != nil || reply.Value != v {
				t.Errorf("request(%d) = %+v, %v; want %s", i, reply, err, v)
			}
		}
	})
}

// TestDrain has callers at both of two nodes add to balances while one node is
// disconnected and connected again. No id has two servers, every addition that was
// acknowledged counts once, and a call fails only at the node that is apart, as not run.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var l ledger
		nodes := startCluster(t, 2, worker.Serial{Open: worker.Serve(l.start), TTL: time.Hour})
		var added [20]atomic.Int64
		var refused atomic.Int64
		var stop atomic.Bool
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				n := nodes[i%2]
				for !stop.Load() {
					id := rand.Int64N(20)
					_, err := Call[int](t.Context(), n.Family(worker.DefaultKind), worker.IntID(id), 1)
					switch {
					case err == nil:
						added[id].Add(1)
					case n == nodes[1] && errors.Is(err, ErrApart) && OutcomeOf(err) == worker.OutcomeNotRun:
						refused.Add(1)
						time.Sleep(time.Millisecond)
					default:
						t.Errorf("call(%d) at %s: %v (%v)", id, n.Self(), err, OutcomeOf(err))
						return
					}
				}
			})
		}
		for range 3 {
			if err := nodes[0].Disconnect(t.Context(), nodes[1].Self()); err != nil {
				t.Error(err)
			}
			before := refused.Load()
			await(t, func() error {
				if refused.Load() < before+20 {
					return errors.New("the node that is apart refuses no call")
				}
				return nil
			})
			await(t, func() error { return nodes[1].Connect(t.Context(), nodes[0].Self())[0].Err })
			awaitView(t, nodes...)
			time.Sleep(100 * time.Millisecond) // for calls to come to the second node
		}
		stop.Store(true)
		wg.Wait()
		for id := range added {
			if got := int64(l.sum[id]); got != added[id].Load() {
				t.Errorf("id %d: %d calls have counted %d", id, added[id].Load(), got)
			}
		}
		if n := l.overlap.Load(); n > 0 {
			t.Errorf("%d times there were two at once", n)
		}
	})
}

// TestConnectAgainAtOnce connects a node in the instant in which it was disconnected. Its
// clock shows the time at which it started, as one that was set back may.
func TestConnectAgainAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := startNode(t, "1@"+testHost(), worker.Cache{})
		b := startNode(t, "2@"+a.addr.Host, worker.Cache{})
		start := time.Now()
		for range 2 {
			if err := b.Connect(t.Context(), a.Self())[0].Err; err != nil {
				t.Fatal(err)
			}
			awaitView(t, a, b)
			if err := a.Disconnect(t.Context(), b.Self()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestDisconnectHasTakenEffect looks at all views as soon as Disconnect has returned.
func TestDisconnectHasTakenEffect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 4, worker.Cache{})
		b := nodes[1]
		if err := nodes[0].Disconnect(t.Context(), b.Self()); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			v := n.members.View()
			if want := n != b; (len(v.Peers) == 3) != want || (len(v.Peers) == 1) == want || v.Apart == want {
				t.Errorf("%s has %d members, apart: %v", n.Self(), len(v.Peers), v.Apart)
			}
		}
		if err := b.Ready(t.Context()); !errors.Is(err, ErrApart) {
			t.Errorf("Ready() = %v", err)
		}
		if _, err := b.Request(t.Context(), worker.IntID(7)); err != nil {
			t.Errorf("a value: %v", err)
		}
		infos, err := b.Nodes(t.Context())
		if err != nil || !infos[0].Apart {
			t.Errorf("Nodes() = %+v, %v", infos, err)
		}
		if why, err := b.Why(t.Context(), worker.IntID(7)); err != nil || !why.Apart {
			t.Errorf("Why() = %+v, %v", why, err)
		}
		// A node that is not apart ends it, also when it is the one that connects.
		connect(t, nodes[0], b.Self())
		awaitView(t, nodes...)
		await(t, func() error {
			if b.members.View().Apart {
				return errors.New("it is apart after it was connected")
			}
			return nil
		})
		for _, n := range nodes {
			if err := n.Ready(t.Context()); err != nil {
				t.Errorf("%s: Ready() = %v", n.Self(), err)
			}
		}
	})
}

// startGated starts a cluster of two with a server for each id whose call returns when
// release is closed, whatever becomes of its context.
func startGated(t *testing.T) (nodes []*Node, begun, release chan struct{}) {
	t.Helper()
	begun, release = make(chan struct{}, 100), make(chan struct{})
	nodes = startCluster(t, 2, gatedKind(begun, release))
	t.Cleanup(func() {
		if !clock.IsDone(release) {
			close(release)
		}
	})
	return nodes, begun, release
}

// TestDisconnectWaits disconnects a node that runs a call, has others in its queue, and
// gets a kind meanwhile. Who gives up early learns what is left to do.
func TestDisconnectWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes, begun, release := startGated(t)
		a, b := nodes[0], nodes[1]
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := a.Family("").Call(t.Context(), worker.IntID(1), worker.Value{}); err != nil {
					t.Error(err)
				}
			})
		}
		<-begun
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := a.Disconnect(short, b.Self())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "leaves when they have") {
			t.Errorf("with little time: %v", err)
		}
		for _, n := range nodes {
			if err := n.SetKinds(map[string]worker.Kind{"late": gatedKind(begun, release)}); err != nil {
				t.Fatal(err)
			}
		}
		wg.Go(func() {
			if _, err := b.Family("late").Call(t.Context(), worker.IntID(1), worker.Value{}); !errors.Is(err, ErrApart) || OutcomeOf(err) != worker.OutcomeNotRun {
				t.Errorf("a call of a kind that came while the node left: %v (%v)", err, OutcomeOf(err))
			}
		})
		done := make(chan error, 1)
		go func() { done <- a.Disconnect(t.Context(), b.Self()) }()
		select {
		case err := <-done:
			t.Fatalf("Disconnect has not waited: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
		awaitView(t, a, b)
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		wg.Wait()
		if n := len(a.members.View().Peers); n != 1 {
			t.Errorf("%d members", n)
		}
	})
}

// TestDisconnectUnendingCall has a server go on after its context has ended: its node
// stays a member, as another one would start a server of the same id.
func TestDisconnectUnendingCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes, begun, release := startGated(t)
		a, b := nodes[0], nodes[1]
		var wg sync.WaitGroup
		call := func(id int64) {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := a.Family("").Call(ctx, worker.IntID(id), worker.Value{}); err != nil {
					t.Error(err)
				}
			})
		}
		call(7)
		<-begun
		time.AfterFunc(drainTimeout/2, func() { call(9) }) // waits while the servers are held
		err := a.Disconnect(t.Context(), b.Self())
		if OutcomeOf(err) != worker.OutcomeNotRun || !strings.Contains(err.Error(), "id 7 of kind default") {
			t.Fatalf("Disconnect() = %v (%v)", err, OutcomeOf(err))
		}
		awaitView(t, a, b)
		<-begun // of id 9
		close(release)
		wg.Wait()
		if reply, err := a.Family("").Call(t.Context(), worker.IntID(7), worker.Value{}); err != nil || reply.Node != b.Self() {
			t.Errorf("later: %+v, %v", reply, err)
		}
		if err := a.Disconnect(t.Context(), b.Self()); err != nil {
			t.Error(err)
		}
	})
}

// TestDisconnectBoth has two of three nodes disconnect each other, and both disconnect
// the third.
func TestDisconnectBoth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var l ledger
		nodes := startCluster(t, 3, worker.Serial{Open: worker.Serve(l.start), TTL: time.Hour})
		var wg sync.WaitGroup
		for _, p := range [][2]int{{0, 1}, {1, 0}, {0, 2}, {1, 2}} {
			wg.Go(func() { // it may come too late
				_ = nodes[p[0]].Disconnect(t.Context(), nodes[p[1]].Self())
			})
		}
		wg.Wait()
		for _, n := range nodes {
			if _, err := Call[int](t.Context(), n.Family(""), worker.IntID(7), 1); err != nil && !errors.Is(err, ErrApart) {
				t.Errorf("%s: %v", n.Self(), err)
			}
		}
		if live := l.servers[7].Load(); live > 1 || l.overlap.Load() > 0 {
			t.Errorf("%d servers", live)
		}
		if !slices.ContainsFunc(nodes, func(n *Node) bool { return n.members.View().Apart }) {
			t.Error("no node is apart")
		}
	})
}

// TestDisconnectUnheard has a member that does not come to publish a view: Disconnect
// names it. A call that the member makes at the node that has left waits for the view.
func TestDisconnectUnheard(t *testing.T) {
	realTime(t) // in a bubble, a goroutine that waits for a mutex stops time
	nodes := startCluster(t, 3, worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }})
	a, b, c := nodes[0], nodes[1], nodes[2]
	unlock := sync.OnceFunc(c.members.HoldViews())
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := a.Disconnect(ctx, b.Self())
	if !errors.Is(err, context.DeadlineExceeded) || OutcomeOf(err) != worker.OutcomeRan || !strings.Contains(err.Error(), "in the view of "+c.Self()) {
		t.Errorf("%v (%v)", err, OutcomeOf(err))
	}
	called := make(chan error, 1)
	go func() {
		_, err := c.Family("").Call(t.Context(), worker.IntID(1), worker.IntValue(1))
		called <- err
	}()
	select {
	case err := <-called:
		t.Fatalf("a call at the node that has left: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	unlock()
	if err := <-called; err != nil {
		t.Error(err)
	}
	awaitView(t, a, c)
	if !b.members.View().Apart {
		t.Error("it is not apart")
	}
}
