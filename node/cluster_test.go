package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/distproc/distproc/node/internal/kinds"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/route"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestMain checks that Close waits for every goroutine, but for one: memberlist's
// Shutdown does not wait for a probe that it makes just then, which ends by itself within
// a few seconds. Benchmarks run this program as their peer.
func TestMain(m *testing.M) {
	if what := os.Getenv("DISTPROC_BENCH_PEER"); what != "" {
		if err := servePeer(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).handleIndirectPing.func2"),
	)
}

var testCookie = []byte("the cookie of the tests")

var hosts atomic.Int32

// testHost returns a loopback address of this test's own, so that nodes can have their
// usual ports.
func testHost() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid%250, pid/250%250, hosts.Add(1))
}

// testLog writes a node's log to the test's.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func startNode(t testing.TB, name string, kind worker.Kind) *Node {
	t.Helper()
	n, err := Start(Config{
		Name: name, Cookie: testCookie, Default: orRandom(kind), dialer: cuttable,
		Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)).With("at", name),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { crash(n) })
	return n
}

// cuts are the sessions that cannot be made: a dial fails, or if the value is true gets
// no answer.
var cuts sync.Map // of cut to bool

type cut struct{ from, to string } // a node's name, and an address

// cuttable has dials heed the cuts.
func cuttable(dial peers.Dialer) peers.Dialer {
	return func(ctx context.Context, addr string, hello wire.Hello) (*wire.Session, error) {
		silent, ok := cuts.Load(cut{hello.Name, addr})
		if !ok {
			return dial(ctx, addr, hello)
		}
		if silent.(bool) {
			<-ctx.Done()
		}
		return nil, wire.Errorf(wire.Unreachable, wire.NotRun, "cut off")
	}
}

// cutDials has each dial of one of two nodes by the other one fail, or get no answer.
func cutDials(a, b *Node, silent bool) {
	cuts.Store(cut{a.name, b.addr.HostPort()}, silent)
	cuts.Store(cut{b.name, a.addr.HostPort()}, silent)
}

// cutOff has two nodes lose their session for good, while others reach both. It returns b
// as a has it.
func cutOff(t *testing.T, a, b *Node) *peers.Peer {
	t.Helper()
	cutDials(a, b, false)
	lose := func(n, other *Node) *peers.Peer {
		p := n.pool.Peer(other.addr.Name)
		await(t, func() error {
			if s, err := n.pool.Dial(t.Context(), p); err == nil {
				s.Close()
				return errors.New("there is a session yet")
			}
			return nil
		})
		return p
	}
	lose(b, a)
	return lose(a, b)
}

// startCluster starts nodes 1@ to size@ and connects them.
func startCluster(t testing.TB, size int, kind worker.Kind) []*Node {
	t.Helper()
	host := testHost()
	var nodes []*Node
	for i := range size {
		nodes = append(nodes, startNode(t, fmt.Sprintf("%d@%s", i+1, host), kind))
	}
	for _, n := range nodes[1:] {
		if err := n.Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
	}
	awaitView(t, nodes...)
	return nodes
}

// awaitView waits until all nodes have the same members, all alive, and these are the
// nodes.
func awaitView(t testing.TB, nodes ...*Node) {
	t.Helper()
	var want []string
	for _, n := range nodes {
		want = append(want, n.Self()+" alive")
	}
	for _, n := range nodes {
		await(t, func() error {
			var got []string
			members, _ := n.Members(t.Context())
			for _, m := range members {
				got = append(got, m.Name+" "+m.State.String())
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s sees %v, want %v", n.Self(), got, want)
			}
			return nil
		})
	}
}

// connect has n connect to another node, again if the machine is too slow for its second.
func connect(t testing.TB, n *Node, name string) {
	t.Helper()
	await(t, func() error { return n.Connect(t.Context(), name)[0].Err })
}

// await waits until check returns nil, for at most a minute.
func await(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestOwnersAgree(t *testing.T) {
	t.Parallel()
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
}

// TestEveryPairDials has all nodes connect to all others at the same moment: each pair
// ends up with exactly one session.
func TestEveryPairDials(t *testing.T) {
	t.Parallel()
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
}

// checkSessions has each pair of nodes dial each other at the same moment, and checks
// that they come to have one session, with one end at each.
func checkSessions(t *testing.T, nodes []*Node) {
	t.Helper()
	var wg sync.WaitGroup
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b {
				wg.Go(func() {
					if _, err := a.Ping(t.Context(), b.Self()); err != nil {
						t.Errorf("%s to %s: %v", a.Self(), b.Self(), err)
					}
				})
			}
		}
	}
	wg.Wait()
	session := func(from, to *Node) *wire.Session { return from.members.Pool().Peer(to.addr.Name).Session() }
	for i, a := range nodes {
		for _, b := range nodes[i+1:] {
			await(t, func() error {
				s, r := session(a, b), session(b, a)
				if s == nil || r == nil || s.Err() != nil || r.Err() != nil || s.Dialed() == r.Dialed() {
					return fmt.Errorf("%s and %s have no session in common", a.Self(), b.Self())
				}
				return nil
			})
		}
	}
}

func TestConnectResults(t *testing.T) {
	t.Parallel()
	host := testHost()
	a := startNode(t, "1@"+host, worker.Cache{})
	startNode(t, "3@"+host, worker.Cache{})
	results := a.Connect(t.Context())
	var got []string
	for _, c := range results {
		got = append(got, fmt.Sprint(strings.TrimSuffix(c.Name, "@"+host), c.Err == nil))
	}
	if want := []string{"1true", "2false", "3true", "4false", "5false"}; !slices.Equal(got, want) {
		t.Errorf("connect() = %v, want %v", got, want)
	}
	if err := results[1].Err; !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("connection to 2@: %v", err)
	}
	for _, c := range a.Connect(t.Context(), "nonsense", "9@"+host+":4373") {
		if c.Err == nil {
			t.Errorf("connected to %s", c.Name)
		}
	}
}

// TestNameTaken starts a second node with a name that a live node has.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 3, worker.Cache{})
	first := nodes[1]
	second, err := Start(Config{Name: first.Self(), Port: 4999, Cookie: testCookie, Default: orRandom(worker.Cache{})})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close(t.Context())
	for _, c := range second.Connect(t.Context(), nodes[0].Self(), nodes[2].Self()) {
		if !errors.Is(c.Err, ErrNameTaken) || !strings.Contains(c.Err.Error(), first.Addr()) {
			t.Errorf("connection of the second %s to %s: %v; want %v and who has it", first.Self(), c.Name, c.Err, ErrNameTaken)
		}
	}
	awaitView(t, nodes...)
	checkSessions(t, nodes)
}

// TestRoutingDisagrees has a node that routes in another way join: it is refused, and
// says why.
func TestRoutingDisagrees(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2, worker.Cache{})
	other, err := Start(Config{Name: "3@" + nodes[0].addr.Host, Cookie: testCookie, Default: orRandom(worker.Cache{}), Routing: placement.Rendezvous})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	for _, c := range []Connection{other.Connect(t.Context(), nodes[0].Self())[0], nodes[0].Connect(t.Context(), other.Self())[0]} {
		if !errors.Is(c.Err, ErrDisagreement) || !strings.Contains(c.Err.Error(), "--routing") {
			t.Errorf("connection to %s: %v, want %v and what to do", c.Name, c.Err, ErrDisagreement)
		}
	}
	awaitView(t, nodes...)
}

// TestRendezvous lets a cluster route by score: all agree, and who answers is the owner.
func TestRendezvous(t *testing.T) {
	t.Parallel()
	host := testHost()
	var nodes []*Node
	for i := range 3 {
		n, err := Start(Config{Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, Default: orRandom(worker.Cache{}), Routing: placement.Rendezvous})
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
}

// TestCrashAndRestart loses an owner: at first each node answers its ids in its place,
// and marks them; once all know, one stand-in does. Other ids do not move. When it is
// back, it answers again.
func TestCrashAndRestart(t *testing.T) {
	t.Parallel()
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
}

// awaitFailed waits until the cluster takes a member for failed, as these nodes see it.
func awaitFailed(t testing.TB, name string, nodes ...*Node) {
	t.Helper()
	lost, _ := placement.ParseName(name)
	for _, n := range nodes {
		await(t, func() error {
			if v := n.members.View(); v.Failed(v.Peer(lost)) {
				return nil
			}
			return fmt.Errorf("%s does not know that %s has failed", n.Self(), name)
		})
	}
}

// crash ends a node as kill -9 does: nobody is told.
func crash(n *Node) {
	n.closeOnce.Do(func() {
		n.closing.Store(true)
		n.handoffs.Close()
		n.cancel()
		n.listener.Close()
		n.members.Close()
		for n.clients.Load() > 0 { // no client hears of what ends now
			time.Sleep(time.Millisecond)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for _, r := range append(n.kinds.All(), n.kinds.Of(kinds.Ready)) {
			r.Close(ctx)
		}
	})
	n.wg.Wait()
	n.flushLog()
}

func TestLeave(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 3, worker.Cache{})
	start := time.Now()
	nodes[1].Close(t.Context())
	if took := time.Since(start); took > time.Second {
		t.Errorf("an idle node took %v to leave", took)
	}
	awaitView(t, nodes[0], nodes[2])
	reply, err := nodes[0].Request(t.Context(), worker.IntID(1)) // 1 mod 2: the second of two
	if err != nil || reply.Node != nodes[2].Self() || reply.Degraded {
		t.Errorf("request(1) = %+v, %v; want an answer of %s", reply, err, nodes[2].Self())
	}
	if _, err := nodes[1].Request(t.Context(), worker.IntID(0)); !errors.Is(err, ErrClosed) {
		t.Errorf("request of a closed node = %v, want %v", err, ErrClosed)
	}
	back := startNode(t, nodes[1].Self(), worker.Cache{})
	back.Connect(t.Context(), nodes[2].Self())
	awaitView(t, nodes[0], back, nodes[2])
}

// TestLeaveFinishesCalls has a node leave while it runs a call for another one.
func TestLeaveFinishesCalls(t *testing.T) {
	t.Parallel()
	started, finish := make(chan struct{}, 1), make(chan struct{})
	nodes := startCluster(t, 2, worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) {
		started <- struct{}{}
		<-finish
		return worker.IntValue(1), nil
	}})
	var wg sync.WaitGroup
	wg.Go(func() {
		reply, err := nodes[0].Request(t.Context(), worker.IntID(1))
		if err != nil || reply.Node != nodes[1].Self() || reply.Degraded {
			t.Errorf("request(1) = %+v, %v; want the answer of the node that leaves", reply, err)
		}
	})
	<-started
	wg.Go(func() { nodes[1].Close(t.Context()) })
	awaitView(t, nodes[0])
	close(finish)
	wg.Wait()
}

// TestNotOwner asks a node that does not own the id, as a caller does whose view is
// behind: it says so and runs nothing, and the caller asks the owner.
func TestNotOwner(t *testing.T) {
	t.Parallel()
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
}

// TestErrorsOfTheOwner has sources fail on another node.
func TestErrorsOfTheOwner(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2, worker.Cache{Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
		if id == worker.IntID(1) {
			return worker.Value{}, errors.New("no such tenant")
		}
		panic("oh")
	}})
	_, err := nodes[0].Request(t.Context(), worker.IntID(1))
	if !errors.Is(err, ErrWorker) || OutcomeOf(err) != worker.OutcomeRan || !strings.Contains(err.Error(), nodes[1].Self()) {
		t.Errorf("request(1) = %v, outcome %v; want %v of %s, ran", err, OutcomeOf(err), ErrWorker, nodes[1].Self())
	}
	if _, err = nodes[0].Request(t.Context(), worker.IntID(3)); !errors.Is(err, ErrPanic) {
		t.Errorf("request(3) = %v, want %v", err, ErrPanic)
	}
}

// TestCancelReachesTheSource has a caller give up: the source on the owner is cancelled.
func TestCancelReachesTheSource(t *testing.T) {
	t.Parallel()
	started, canceled := make(chan struct{}), make(chan struct{})
	nodes := startCluster(t, 2, worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		close(started)
		<-ctx.Done()
		close(canceled)
		return worker.Value{}, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	_, err := nodes[0].Request(ctx, worker.IntID(1))
	if !errors.Is(err, context.Canceled) || OutcomeOf(err) != worker.OutcomeUnknown {
		t.Errorf("request = %v, outcome %v; want canceled, unknown", err, OutcomeOf(err))
	}
	<-canceled
}

// TestExclusive loses the owner while it runs a call: of an exclusive kind it is not run
// again.
func TestExclusive(t *testing.T) {
	t.Parallel()
	for _, exclusive := range []bool{false, true} {
		var nodes []*Node
		source := func(_ context.Context, id worker.ID) (worker.Value, error) { return worker.IntValue(1), nil }
		started := make(chan struct{}, 1)
		slow := func(ctx context.Context, id worker.ID) (worker.Value, error) {
			started <- struct{}{}
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}
		host := testHost()
		nodes = append(nodes, startNode(t, "1@"+host, worker.Cache{Load: source, Exclusive: exclusive}))
		nodes = append(nodes, startNode(t, "2@"+host, worker.Cache{Load: slow, Exclusive: exclusive}))
		nodes[0].Connect(t.Context(), nodes[1].Self())
		awaitView(t, nodes...)
		go func() {
			<-started
			crash(nodes[1])
		}()
		reply, err := nodes[0].Request(t.Context(), worker.IntID(1))
		if exclusive && (err == nil || OutcomeOf(err) != worker.OutcomeUnknown) {
			t.Errorf("exclusive: %+v, %v; want an error with outcome unknown", reply, err)
		}
		if !exclusive && (err != nil || !reply.Degraded) {
			t.Errorf("not exclusive: %+v, %v; want a degraded answer", reply, err)
		}
	}
}

func TestJoinKeepsTrying(t *testing.T) {
	t.Parallel()
	host := testHost()
	a := startNode(t, "1@"+host, worker.Cache{})
	joined := make(chan error)
	go func() { joined <- a.Join(t.Context(), "2@"+host) }()
	time.Sleep(200 * time.Millisecond) // some tries fail
	b := startNode(t, "2@"+host, worker.Cache{})
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	awaitView(t, a, b)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := a.Join(ctx, "3@"+host); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Join = %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	host := testHost()
	startNode(t, "1@"+host, worker.Cache{})
	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{Name: "1@" + host, Cookie: testCookie}, "--port"},
		{Config{Name: "2@" + host}, "cookie"},
		{Config{Name: "nonsense", Cookie: testCookie}, "NAME@HOST"},
		{Config{Name: "2@" + host, Port: 1 << 16, Cookie: testCookie}, "port"},
		{Config{Name: "2@no-such-host.invalid", Cookie: testCookie}, "no-such-host"},
		{Config{Name: "2@203.0.113.1", Cookie: testCookie}, "no address of this machine"},
		{Config{Name: "2@" + host, Cookie: testCookie, TLS: TLSFiles{Cert: "x"}}, "all three"},
	} {
		n, err := Start(test.config)
		if err == nil {
			n.Close(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Start(%+v) = %v, want an error with %q", test.config, err, test.want)
		}
	}
}
