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
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Nodes that differ about who is a member, for a moment or for long.

// TestManySettle has hundreds of calls at once whose caller alone takes a member for
// failed: all get the answer of that, and the session to who says so is none the worse.
func TestManySettle(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 3, worker.Cache{})
	a := nodes[0]
	for id := range int64(3) {
		if _, err := a.Request(t.Context(), worker.IntID(id)); err != nil {
			t.Fatal(err)
		}
	}
	v := a.members.View()
	odd := a.members.PretendFailed(v.Peers[1])
	session := v.Peers[2].Session()
	var wg sync.WaitGroup
	var bad atomic.Int64
	for i := range int64(3000) {
		if id := worker.IntID(3*i + 1); !odd.Acting(id).Self {
			wg.Go(func() {
				if reply, err := a.Request(t.Context(), id); err != nil || reply.Degraded || reply.Node != nodes[1].Self() {
					bad.Add(1)
				}
			})
		}
	}
	wg.Wait()
	if n := bad.Load(); n > 0 || session.Err() != nil {
		t.Errorf("%d calls went wrong, the session to %s: %v", n, nodes[2].Self(), session.Err())
	}
}

// TestManyOperations asks a peer for more operations at once than it serves: they wait
// for one another.
func TestManyOperations(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2, worker.Cache{})
	var wg sync.WaitGroup
	var bad atomic.Int64
	for i := range int64(600) {
		wg.Go(func() {
			if _, err := nodes[0].Stop(t.Context(), worker.IntID(2*i+1)); err != nil {
				bad.Add(1)
			}
		})
	}
	wg.Wait()
	if n := bad.Load(); n > 0 {
		t.Errorf("%d of 600 failed", n)
	}
}

// TestTwins joins two clusters that each have a node of one name: the one that started
// later leaves, and all others agree on the first.
func TestTwins(t *testing.T) {
	t.Parallel()
	host := testHost()
	start := func(name string, port int) *Node {
		n, err := Start(Config{Name: name, Port: port, Cookie: testCookie, Default: orRandom(worker.Cache{})})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { crash(n) })
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
}

// startAt starts a node whose address is another one than that at which it listens, as
// others see it.
func startAt(t *testing.T, name string, address placement.Addr) *Node {
	t.Helper()
	n, err := Start(Config{Name: name, Cookie: testCookie, Default: orRandom(worker.Cache{}), advertise: &address})
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
	t.Parallel()
	host := testHost()
	a, first := startNode(t, "1@"+host, worker.Cache{}), startNode(t, "2@"+host, worker.Cache{})
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

// TestDisconnectUnderLoad has a node leave while it calls all the time: it does not come
// back by what it hears of the others.
func TestDisconnectUnderLoad(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 3, worker.Cache{TTL: 50 * time.Millisecond})
	b := nodes[1]
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for i := int64(k); !isClosed(stop); i += 8 {
				b.Request(t.Context(), worker.IntID(i))
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
}

// TestAnswerAfterLeaving has a node hear of the members that it asked for just when it
// has left them: it does not come back.
func TestAnswerAfterLeaving(t *testing.T) {
	t.Parallel()
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
}

// TestDisconnectLosesNothing has a node leave while it runs a call: that is answered, and
// what it has cached follows its ids.
func TestDisconnectLosesNothing(t *testing.T) {
	t.Parallel()
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
}

// TestRefreshWhileLeaving refreshes a value on a node that has handed it over already:
// the new value follows.
func TestRefreshWhileLeaving(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 3, worker.Cache{TTL: time.Hour, Load: counter()})
	b := nodes[1]
	if _, err := nodes[0].Request(t.Context(), worker.IntID(1)); err != nil {
		t.Fatal(err)
	}
	b.leaving.Store(true)
	b.kinds.Leave(t.Context())
	b.flush(t.Context())
	fresh, err := nodes[0].Refresh(t.Context(), worker.IntID(1))
	if err != nil {
		t.Fatal(err)
	}
	b.Close(t.Context())
	awaitView(t, nodes[0], nodes[2])
	if reply, err := nodes[0].Request(t.Context(), worker.IntID(1)); err != nil || reply.Value != fresh.Value {
		t.Errorf("%+v, %v; want %s", reply, err, fresh.Value)
	}
}

// TestConnectAfterRestart connects to a node that was lost, and is back.
func TestConnectAfterRestart(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2, worker.Cache{})
	checkSessions(t, nodes)
	crash(nodes[1])
	await(t, func() error {
		if list, _ := nodes[0].Members(t.Context()); list[1].State != StateFailed {
			return errors.New("the crash is not seen")
		}
		return nil
	})
	startNode(t, nodes[1].Self(), worker.Cache{})
	connect(t, nodes[0], nodes[1].Self())
}

// TestStrangersLeaveNothing has nodes open sessions that never get a slot: nothing of
// them is kept.
func TestStrangersLeaveNothing(t *testing.T) {
	t.Parallel()
	a := startNode(t, "1@"+testHost(), worker.Cache{})
	creds, err := wire.NewCredentials(testCookie, wire.TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		h := wire.Hello{Name: fmt.Sprintf("x%d@127.0.0.1", i), Addr: fmt.Sprintf("127.0.0.1:%d", 30000+i), Incarnation: 1, Routing: "modulo"}
		s, err := wire.Dial(t.Context(), a.Addr(), creds, h, protocol.Refuser{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Do(t.Context(), protocol.OpInfo, nil, nil); err != nil {
			t.Error(err)
		}
		s.Close()
	}
	await(t, func() error {
		if n := a.members.Pool().Len(); n > 1 {
			return fmt.Errorf("%d peers are kept, 1 has a slot", n)
		}
		return nil
	})
}

// TestJoinAfterClose closes a node that tries to join: it does not say that it has.
func TestJoinAfterClose(t *testing.T) {
	t.Parallel()
	a := startNode(t, "1@"+testHost(), worker.Cache{})
	time.AfterFunc(200*time.Millisecond, func() { a.Close(context.Background()) })
	if err := a.Join(t.Context(), "9@"+a.addr.Host); !errors.Is(err, ErrClosed) {
		t.Errorf("Join = %v, want %v", err, ErrClosed)
	}
}
