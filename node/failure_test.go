package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/route"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestLateIncarnationLeaves has a node crash, come back, meet only one of the others, and
// leave: none of them keeps a slot for it, though one knew only of the incarnation that
// crashed.
func TestLateIncarnationLeaves(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 3, worker.Cache{})
	a, b, c := nodes[0], nodes[1], nodes[2]
	old := b.members.Hello().Incarnation
	crash(b)
	creds, err := wire.NewCredentials(testCookie, wire.TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
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
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestSessionComesUp has calls run while two nodes connect: none is degraded, as nobody
// is out of reach.
func TestSessionComesUp(t *testing.T) {
	t.Parallel()
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
}

// TestLeaverMeetsNewcomer has a node that is leaving dial one that has just started: it
// takes no slot there.
func TestLeaverMeetsNewcomer(t *testing.T) {
	t.Parallel()
	running, finish := make(chan struct{}), make(chan struct{})
	nodes := startCluster(t, 2, worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) {
		close(running)
		<-finish
		return worker.IntValue(1), nil
	}})
	a, b := nodes[0], nodes[1]
	var wg sync.WaitGroup
	wg.Go(func() { b.Request(t.Context(), worker.IntID(1)) })
	<-running
	crash(a)
	wg.Go(func() { b.Close(t.Context()) }) // it waits for the source
	time.Sleep(50 * time.Millisecond)
	again := startNode(t, a.Self(), worker.Cache{})
	time.Sleep(500 * time.Millisecond) // b tries to reach a
	close(finish)
	wg.Wait()
	awaitView(t, again)
}

// TestOutcomeWhenTheCallerCloses has the caller's node close while the owner runs the
// call: it may have run.
func TestOutcomeWhenTheCallerCloses(t *testing.T) {
	t.Parallel()
	running := make(chan struct{}, 1)
	nodes := startCluster(t, 2, worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		running <- struct{}{}
		<-ctx.Done()
		return worker.Value{}, ctx.Err()
	}})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := nodes[0].Request(t.Context(), worker.IntID(1))
		if err == nil || OutcomeOf(err) != worker.OutcomeUnknown {
			t.Errorf("request = %v, outcome %v; want unknown", err, OutcomeOf(err))
		}
	})
	<-running
	nodes[0].Close(t.Context())
	wg.Wait()
}

// TestDefaultTimeout makes a call wait for a first dial and then for a slow source: it
// has 5 s for both.
func TestDefaultTimeout(t *testing.T) {
	t.Parallel()
	host := testHost()
	silent, err := net.Listen("tcp", host+":4372")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a := startNode(t, "1@"+host, worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		<-ctx.Done()
		return worker.Value{}, ctx.Err()
	}})
	a.members.Learn(a.members.View(), []wire.Member{{Name: "2@" + host, Addr: host + ":4372", Incarnation: 1}})
	start := time.Now()
	_, err = a.Request(context.Background(), worker.IntID(1))
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > worker.DefaultTimeout+time.Second {
		t.Errorf("request = %v after %v, want %v after 5 s", err, took, context.DeadlineExceeded)
	}
}

// TestCloseFinishesRoutedCalls has the node of a client close while another one runs the
// client's call.
func TestCloseFinishesRoutedCalls(t *testing.T) {
	t.Parallel()
	running := make(chan struct{}, 1)
	nodes := startCluster(t, 2, worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		running <- struct{}{}
		clock.Sleep(ctx, 300*time.Millisecond)
		return worker.IntValue(1), ctx.Err()
	}})
	checkSessions(t, nodes)
	c, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Request(t.Context(), worker.IntID(1)); err != nil {
			t.Errorf("a call that ran was cut: %v", err)
		}
	})
	<-running
	nodes[0].Close(t.Context())
	wg.Wait()
}

// TestCloseWithDeafSource closes a node whose source does not heed its context: Close
// says so, and returns.
func TestCloseWithDeafSource(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}), make(chan struct{})
	n := startNode(t, "1@"+testHost(), worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) {
		close(running)
		<-release
		return worker.IntValue(1), nil
	}})
	var wg sync.WaitGroup
	wg.Go(func() { n.Request(t.Context(), worker.IntID(1)) })
	<-running
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := n.Close(ctx); err == nil {
		t.Error("Close tells nothing of a source that runs on")
	}
	close(release)
	wg.Wait()
}

// TestOldAddress has a node come back on another port than the one that the others know:
// it is let in at once.
func TestOldAddress(t *testing.T) {
	t.Parallel()
	host := testHost()
	a := startNode(t, "1@"+host, worker.Cache{})
	a.members.Learn(a.members.View(), []wire.Member{{Name: "2@" + host, Addr: host + ":4399", Incarnation: 1}})
	b := startNode(t, "2@"+host, worker.Cache{})
	if c := b.Connect(t.Context(), a.Self())[0]; c.Err != nil {
		t.Fatal(c.Err)
	}
	awaitView(t, a, b)
}

// TestHostileGossip has a peer tell nonsense: the members can still be told, and new
// nodes still join.
func TestHostileGossip(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2, worker.Cache{})
	long := strings.Repeat("x", 900<<10)
	nodes[0].members.Learn(nodes[0].members.View(), []wire.Member{
		{Name: "8@127.0.0.1", Addr: long + ":1", Incarnation: 5},
		{Name: "9@127.0.0.1", Addr: "127.0.0.1:0", Incarnation: 5},
		{Name: long, Addr: "127.0.0.1:1", Incarnation: 5},
		{Name: nodes[0].Self(), Incarnation: nodes[0].members.Hello().Incarnation, State: wire.Left},
	})
	for _, m := range nodes[0].members.Snapshot() {
		if len(m.Addr) > 100 {
			t.Errorf("an address of %d bytes is told", len(m.Addr))
		}
	}
	var list []wire.Member
	for i := range 3 * protocol.MaxMembers {
		list = append(list, wire.Member{Name: placement.Name{Node: "x" + worker.IntID(int64(i)).String(), Host: "127.0.0.1"}.String(), Incarnation: 1, State: wire.Left})
	}
	nodes[0].members.Learn(nodes[0].members.View(), list)
	if n := len(nodes[0].members.Snapshot()); n > 2*protocol.MaxMembers {
		t.Errorf("%d members are told", n)
	}
	third := startNode(t, "3@"+nodes[0].addr.Host, worker.Cache{})
	if err := third.Join(t.Context(), nodes[0].Self()); err != nil {
		t.Fatal(err)
	}
	await(t, func() error {
		_, err := third.Ping(t.Context(), nodes[1].Self())
		return err
	})
}

// TestSilentConnections opens more silent connections than may be pending: the log says
// it once.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var log bytes.Buffer
	n, err := Start(Config{Name: "1@" + testHost(), Cookie: testCookie, Default: orRandom(worker.Cache{}), Logger: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	for range 400 {
		c, err := net.Dial("tcp", n.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	await(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(log.String(), "timeout") {
			return errors.New("the silent ones are not dropped")
		}
		return nil
	})
	time.Sleep(100 * time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	if lines := strings.Count(log.String(), "\n"); lines > 3 {
		t.Errorf("%d lines for one host:\n%s", lines, log.String())
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

// TestTwinsFarewell dials a member at an address that leads to another process of its
// name, which leaves: the member keeps its slot. Only its own farewell ends that.
func TestTwinsFarewell(t *testing.T) {
	t.Parallel()
	const seat = 5 // incarnation of the member
	for _, leaver := range []uint64{seat + 1, seat} {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		w := wire.Member{Name: "2@" + n.addr.Host, Incarnation: leaver}
		l, err := wire.Listen(n.addr.Host+":0", n.creds, wire.Events{})
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
}

// TestWhyIsGivenUp asks about an id of a member that does not answer: if nobody waits for
// that any more, Why says so rather than what it knows already.
func TestWhyIsGivenUp(t *testing.T) {
	t.Parallel()
	host := testHost()
	silent, err := net.Listen("tcp", host+":4372")
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
}
