package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/route"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestDrain has callers at both of two nodes add to balances while one node is
// disconnected and connected again. No id has two servers, every addition that was
// acknowledged counts once, and a call fails only at the node that is apart, as not run.
func TestDrain(t *testing.T) {
	t.Parallel()
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
}

// TestDisconnectHasTakenEffect looks at all views as soon as Disconnect has returned.
func TestDisconnectHasTakenEffect(t *testing.T) {
	t.Parallel()
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

func gatedKind(begun, release chan struct{}) worker.Serial {
	return worker.Serial{Timeout: time.Minute, Open: func(context.Context, worker.ID) (worker.Server, error) {
		return gatedServer{begun, release}, nil
	}}
}

type gatedServer struct{ begun, release chan struct{} }

func (s gatedServer) Call(_ context.Context, message worker.Value) (worker.Value, error) {
	s.begun <- struct{}{}
	<-s.release
	return message, nil
}

// TestDisconnectWaits disconnects a node that runs a call, has others in its queue, and
// gets a kind meanwhile. Who gives up early learns what is left to do.
func TestDisconnectWaits(t *testing.T) {
	t.Parallel()
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
}

// TestDisconnectUnendingCall has a server go on after its context has ended: its node
// stays a member, as another one would start a server of the same id.
func TestDisconnectUnendingCall(t *testing.T) {
	t.Parallel()
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
}

// TestApartTogether connects two nodes that are apart: they stay so until one of them
// meets a node that is not, or goes on alone.
func TestApartTogether(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, a, b, c *Node){
		"connect": func(t *testing.T, a, b, c *Node) {
			if r := c.Connect(t.Context(), a.Self()); r[0].Err != nil {
				t.Fatal(r[0].Err)
			}
			awaitView(t, a, b, c)
		},
		"alone": func(t *testing.T, _, b, _ *Node) {
			if err := b.GoAlone(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes := startCluster(t, 3, worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }})
			a, b, c := nodes[0], nodes[1], nodes[2]
			for _, n := range nodes[1:] {
				if err := a.Disconnect(t.Context(), n.Self()); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.GoAlone(t.Context()); OutcomeOf(err) != worker.OutcomeNotRun {
				t.Errorf("GoAlone of a node that is not apart: %v", err)
			}
			if r := b.Connect(t.Context(), c.Self()); r[0].Err != nil {
				t.Fatal(r[0].Err)
			}
			awaitView(t, b, c)
			call := func(n *Node, id int64) error {
				_, err := n.Family("").Call(t.Context(), worker.IntID(id), worker.Value{})
				return err
			}
			for id := range int64(4) {
				for _, n := range nodes[1:] {
					if err := call(n, id); !errors.Is(err, ErrApart) || OutcomeOf(err) != worker.OutcomeNotRun {
						t.Errorf("call(%d) at %s: %v", id, n.Self(), err)
					}
				}
				if err := call(a, id); err != nil {
					t.Errorf("call(%d) at %s: %v", id, a.Self(), err)
				}
			}
			end(t, a, b, c)
			await(t, func() error { return errors.Join(b.Ready(t.Context()), c.Ready(t.Context())) })
			for id := range int64(4) {
				if err := errors.Join(call(b, id), call(c, id)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestDisconnectBoth has two of three nodes disconnect each other, and both disconnect
// the third.
func TestDisconnectBoth(t *testing.T) {
	t.Parallel()
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
}

// TestDisconnectUnheard has a member that does not come to publish a view: Disconnect
// names it. A call that the member makes at the node that has left waits for the view.
func TestDisconnectUnheard(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 3, worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }})
	a, b, c := nodes[0], nodes[1], nodes[2]
	unlock := sync.OnceFunc(c.members.HoldViews())
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
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

// TestPartedSessions has a member tell a node that has just left of itself, over a
// session from before. The node stays apart, and takes no such session into use.
func TestPartedSessions(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2, worker.Cache{})
	a, b := nodes[0], nodes[1]
	before, late := b.session(t, a), a.dialAnew(t, b)
	if err := a.detach(false); err != nil {
		t.Fatal(err)
	}
	err := before.Do(t.Context(), protocol.OpSync, protocol.Sync{Digest: 1, List: b.members.Snapshot()}, nil)
	if !errors.Is(err, wire.Leaving) || !a.members.View().Apart || len(a.members.View().Peers) != 1 {
		t.Errorf("%v; apart: %t", err, a.members.View().Apart)
	}
	if _, err := a.members.Pool().Register(late, b.addr.Name); !errors.Is(err, wire.Leaving) || late.Err() == nil {
		t.Errorf("a session from before it left: %v, %v", err, late.Err())
	}
}

// session returns the session to another node.
func (n *Node) session(t *testing.T, to *Node) *wire.Session {
	t.Helper()
	s, err := n.pool.Dial(t.Context(), n.pool.Peer(to.addr.Name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dialAnew returns a session to another node that is not in use yet.
func (n *Node) dialAnew(t *testing.T, to *Node) *wire.Session {
	t.Helper()
	s, err := wire.Dial(t.Context(), to.Addr(), n.creds, n.members.Hello(), server{n})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestDirectApart has a client call the server of a node that has left, which the client
// does not know: the call is made at another node.
func TestDirectApart(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2, worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }})
	c := attachDirect(t, nodes[0].Self())
	call := func() (worker.Reply, error) {
		return c.Family("").Call(t.Context(), worker.IntID(1), worker.IntValue(1))
	}
	await(t, func() error {
		if reply, err := call(); err != nil || reply.Node != nodes[1].Self() || c.reach.Pool().Peer(nodes[1].addr.Name).Session() == nil {
			return fmt.Errorf("%+v, %w", reply, err)
		}
		return nil
	})
	old := c.reach.View()
	if err := c.Disconnect(t.Context(), nodes[1].Self()); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		c.reach.PretendView(old)
		if reply, err := call(); err != nil || reply.Node != nodes[0].Self() {
			t.Fatalf("%+v, %v; want an answer of %s", reply, err, nodes[0].Self())
		}
	}
	apart := attachDirect(t, nodes[1].Self())
	if _, err := apart.Family("").Call(t.Context(), worker.IntID(1), worker.IntValue(1)); !errors.Is(err, ErrApart) {
		t.Errorf("attached to the node that is apart: %v", err)
	}
	if err := apart.GoAlone(t.Context()); err != nil {
		t.Error(err)
	}
	if reply, err := apart.Family("").Call(t.Context(), worker.IntID(1), worker.IntValue(1)); err != nil || reply.Node != nodes[1].Self() {
		t.Errorf("alone: %+v, %v", reply, err)
	}
}

// TestFormerPeers has a node leave its cluster while calls to its peers go on. It does
// not dial them: one that has not heard that it left would take it back.
func TestFormerPeers(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2, worker.Cache{Load: func(_ context.Context, id worker.ID) (worker.Value, error) { return worker.IntValue(1), nil }})
	a, b := nodes[0], nodes[1]
	p := a.members.View().Peer(b.addr.Name)
	if err := a.detach(true); err != nil {
		t.Fatal(err)
	}
	if _, err := a.members.Pool().Dial(t.Context(), p); !errors.Is(err, ErrLeaving) {
		t.Errorf("dial of a peer of the cluster that it has left: %v, want %v", err, ErrLeaving)
	}
	await(t, func() error {
		if p.Session() != nil {
			return errors.New("the session to a former peer is still there")
		}
		return nil
	})
	if reply, err := (route.Steps{Router: a.router}).RequestFrom(t.Context(), p, worker.DefaultKind, worker.IntID(1)); err != nil || reply.Node != a.name {
		t.Errorf("a call that was about to ask a former peer: %v, answered by %q, want %s", err, reply.Node, a.name)
	}
	connect(t, a, b.Self())
	awaitView(t, nodes...)
}
