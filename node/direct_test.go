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

	"github.com/distproc/distproc/wire"
)

// attachDirect attaches a client that asks owners itself.
func attachDirect(t *testing.T, home string) *Client {
	t.Helper()
	c, err := Attach(t.Context(), ClientConfig{Node: home, Cookie: testCookie, Direct: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// passedOn returns how many requests a node has made for others that it was no owner of.
func passedOn(n *Node) (count uint64) {
	for _, k := range n.kindStats() {
		count += k.Remote + k.Degraded
	}
	return count
}

// checkDirect requests many ids. It returns an error unless owners answer, and none of these nodes was asked in place of one.
func checkDirect(t *testing.T, c *Client, nodes ...*Node) error {
	t.Helper()
	var ids []ID
	for i := range 60 {
		for _, text := range []string{"%d", "-%d9", "tenant %d", "%d12345678901234567890"} {
			id, err := ParseID(fmt.Sprintf(text, i))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	var before, after uint64
	for _, n := range nodes {
		before += passedOn(n)
	}
	for _, id := range ids {
		want, _ := nodes[0].Owner(t.Context(), id)
		reply, err := c.Request(t.Context(), id)
		if err != nil {
			t.Fatalf("request(%s) = %v", id, err)
		}
		if reply.Node != want || reply.Degraded {
			return fmt.Errorf("request(%s) = %+v, want an answer of %s", id, reply, want)
		}
	}
	for _, n := range nodes {
		after += passedOn(n)
	}
	if after != before {
		return fmt.Errorf("%d of %d requests went to another node than the owner", after-before, len(ids))
	}
	return nil
}

// awaitDirect waits until checkDirect is content, for less than steadyFetch: somebody has to notice that the view is old.
func awaitDirect(t *testing.T, c *Client, nodes ...*Node) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Second)
	for err := checkDirect(t, c, nodes...); err != nil; err = checkDirect(t, c, nodes...) {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// startRouted starts a cluster with that routing, which has a serial kind, too.
func startRouted(t *testing.T, size int, routing Routing) (nodes []*Node) {
	t.Helper()
	host := testHost()
	for i := range size {
		n, err := Start(Config{
			Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, Routing: routing, Default: Kind{TTL: time.Hour},
			Kinds: map[string]Kind{"serial": {Serial: func(context.Context, ID) (Server, error) { return echoServer{}, nil }}},
		})
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
	return nodes
}

// TestDirect asks owners, of all sorts of ids and for all that a client can ask them.
func TestDirect(t *testing.T) {
	for _, routing := range []Routing{Modulo, Rendezvous} {
		nodes := startRouted(t, 4, routing)
		c := attachDirect(t, nodes[1].Self())
		awaitDirect(t, c, nodes...)
		if err := checkDirect(t, c, nodes...); err != nil { // once it is so, it stays so
			t.Errorf("%s: %v", routing, err)
		}
		before := passedOn(nodes[1])
		for i := range int64(8) {
			want, _ := nodes[0].Owner(t.Context(), IntID(i))
			if reply, err := c.Refresh(t.Context(), IntID(i)); err != nil || reply.Node != want || reply.Cached {
				t.Errorf("%s: refresh(%d) = %+v, %v; want a new answer of %s", routing, i, reply, err, want)
			}
			reply, err := c.Family("serial").Call(t.Context(), IntID(i), BytesValue("hello"))
			if err != nil || reply.Node != want || reply.Value.String() != "hello" {
				t.Errorf("%s: call(%d) = %+v, %v; want an answer of %s", routing, i, reply, err, want)
			}
		}
		if n := passedOn(nodes[1]) - before; n != 0 {
			t.Errorf("%s: home made %d of the calls", routing, n)
		}
		for _, n := range nodes {
			if sessions := n.clients.Load(); sessions != 1 {
				t.Errorf("%s: %s has %d sessions of the client", routing, n.Self(), sessions)
			}
		}
		c.Close()
		for _, n := range nodes {
			await(t, func() error {
				if n.clients.Load() != 0 {
					return fmt.Errorf("%s has a session of a client that is closed", n.Self())
				}
				return nil
			})
		}
	}
}

// requestAll requests ids all the time until stop is called, which fails the test for each request that failed.
func requestAll(t *testing.T, c *Client) (stop func()) {
	var calls, bad atomic.Int64
	var last atomic.Value
	end := make(chan struct{})
	var wg sync.WaitGroup
	for k := range int64(8) {
		wg.Go(func() {
			for i := k; !isClosed(end); i += 8 {
				if _, err := c.Request(context.Background(), IntID(i%1000)); err != nil {
					bad.Add(1)
					last.Store(err.Error())
				}
				calls.Add(1)
			}
		})
	}
	return func() {
		close(end)
		wg.Wait()
		if n := bad.Load(); n > 0 {
			t.Errorf("%d of %d requests failed, such as with %v", n, calls.Load(), last.Load())
		}
	}
}

// TestDirectMembersChange has members join and leave under load, and die and come back: no request fails, and owners are asked again. A
// node that crashes under load here would say that it leaves; TestBenchDirect kills one.
func TestDirectMembersChange(t *testing.T) {
	nodes := startCluster(t, 3, Kind{TTL: 100 * time.Millisecond})
	host := nodes[0].addr.Host
	c := attachDirect(t, nodes[0].Self())
	awaitDirect(t, c, nodes...)
	stop := requestAll(t, c)
	joined := startNode(t, "4@"+host, Kind{})
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
		if reply, err := c.Request(t.Context(), IntID(i)); err != nil {
			t.Errorf("request(%d) = %+v, %v", i, reply, err)
		}
	}
	awaitFailed(t, nodes[2].Self(), nodes[0], joined)
	await(t, func() error { // a stand-in answers for it, and is asked
		before := passedOn(nodes[0])
		for i := range int64(60) {
			if reply, err := c.Request(t.Context(), IntID(i)); err != nil || reply.Degraded {
				return fmt.Errorf("request(%d) = %+v, %v", i, reply, err)
			}
		}
		if n := passedOn(nodes[0]) - before; n > 0 {
			return fmt.Errorf("home passed on %d requests", n)
		}
		return nil
	})
	back := startNode(t, nodes[2].Self(), Kind{})
	all[1] = back
	awaitView(t, all...)
	awaitDirect(t, c, all...)
}

// TestDirectSerialMoves sends messages while members come and go in an orderly way: none is lost or refused.
func TestDirectSerialMoves(t *testing.T) {
	kind := Kind{Serial: func(context.Context, ID) (Server, error) { return echoServer{}, nil }}
	nodes := startCluster(t, 2, kind)
	c := attachDirect(t, nodes[0].Self())
	end := make(chan struct{})
	var wg sync.WaitGroup
	for k := range int64(8) {
		wg.Go(func() {
			for i := k; !isClosed(end); i += 8 {
				if reply, err := c.Family("").Call(t.Context(), IntID(i%100), IntValue(i)); err != nil || reply.Value != IntValue(i) {
					t.Errorf("call(%d) = %+v, %v", i, reply, err)
				}
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
}

// TestDirectHomeDies loses the node that the client is attached to: the others answer what they own, and what it owned. When it is
// back it is home again.
func TestDirectHomeDies(t *testing.T) {
	nodes := startCluster(t, 3, Kind{})
	home := nodes[0]
	c, fresh := attachDirect(t, home.Self()), attachDirect(t, home.Self())
	awaitDirect(t, c, nodes...)
	crash(home)
	for _, c := range []*Client{c, fresh} { // of whom one has no session to the others yet
		for i := range int64(30) {
			reply, err := c.Request(t.Context(), IntID(i))
			if err != nil || reply.Node == home.Self() || i%3 > 0 && (reply.Degraded || reply.Node != nodes[i%3].Self()) {
				t.Fatalf("request(%d) without home = %+v, %v", i, reply, err)
			}
		}
	}
	awaitFailed(t, home.Self(), nodes[1:]...)
	await(t, func() error { // a stand-in is asked at once
		before := passedOn(nodes[1]) + passedOn(nodes[2])
		for i := range int64(60) {
			reply, err := c.Request(t.Context(), IntID(i))
			if err != nil || reply.Degraded {
				return fmt.Errorf("request(%d) = %+v, %v", i, reply, err)
			}
		}
		if n := passedOn(nodes[1]) + passedOn(nodes[2]) - before; n > 0 {
			return fmt.Errorf("%d requests were passed on", n)
		}
		return nil
	})
	if _, err := c.Members(t.Context()); !errors.Is(err, ErrUnreachable) { // which is as home sees it
		t.Errorf("members without home: %v", err)
	}
	nodes[0] = startNode(t, home.Self(), Kind{})
	awaitView(t, nodes...)
	awaitDirect(t, c, nodes...)
}

// TestDirectAlone has a direct client lose the only node: it says so at once, and goes on when that is back.
func TestDirectAlone(t *testing.T) {
	n := startNode(t, "1@"+testHost(), Kind{})
	c := attachDirect(t, n.Self())
	if err := checkDirect(t, c, n); err != nil {
		t.Fatal(err)
	}
	crash(n)
	<-c.session.Load().Done()
	start := time.Now()
	if _, err := c.Request(t.Context(), IntID(1)); !errors.Is(err, ErrUnreachable) || OutcomeOf(err) != NotRun || time.Since(start) > time.Second {
		t.Errorf("request without a node = %v after %v, want %v, not run", err, time.Since(start), ErrUnreachable)
	}
	startNode(t, n.Self(), Kind{})
	await(t, func() error {
		_, err := c.Request(t.Context(), IntID(1))
		return err
	})
}

// TestDirectOnce loses the owner while it runs a call. What asks for a value runs again elsewhere, unless its kind is exclusive; a message
// does not. If what runs again is refused, the call may have run all the same.
func TestDirectOnce(t *testing.T) {
	host := testHost()
	for what, wantRuns := range map[string]int64{"shared": 2, "exclusive": 1, "serial": 1, "gone": 1} {
		var runs atomic.Int64
		started := make(chan struct{}, 2)
		slow := func(ctx context.Context, _ ID) (Value, error) {
			runs.Add(1)
			started <- struct{}{}
			<-ctx.Done()
			return Value{}, ctx.Err()
		}
		quick := func(context.Context, ID) (Value, error) {
			runs.Add(1)
			return IntValue(1), nil
		}
		kinds := func(source Source) map[string]Kind {
			return map[string]Kind{
				"shared": {Source: source}, "gone": {Source: source}, "exclusive": {Source: source, Exclusive: true},
				"serial": {Serial: func(context.Context, ID) (Server, error) { return sourceServer(source), nil }},
			}
		}
		nodes := []*Node{startNode(t, "1@"+host, Kind{}), startNode(t, "2@"+host, Kind{})}
		for i, source := range []Source{quick, slow} {
			if err := nodes[i].SetKinds(kinds(source)); err != nil {
				t.Fatal(err)
			}
		}
		nodes[1].Connect(t.Context(), nodes[0].Self())
		awaitView(t, nodes...)
		c := attachDirect(t, nodes[0].Self())
		awaitDirect(t, c, nodes...)
		go func() {
			<-started
			if what == "gone" {
				nodes[0].SetKinds(nil)
			}
			crash(nodes[1])
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // in which a stand-in would run it
		var err error
		if family := c.Family(what); what == "serial" {
			_, err = family.Call(ctx, IntID(1), IntValue(1))
		} else {
			_, err = family.Request(ctx, IntID(1))
		}
		cancel()
		if what == "shared" && err != nil || what != "shared" && (err == nil || OutcomeOf(err) != Unknown) {
			t.Errorf("%s: %v, outcome %v", what, err, OutcomeOf(err))
		}
		if what == "gone" && !errors.Is(err, ErrUnknownKind) {
			t.Errorf("%s: %v, want %v", what, err, ErrUnknownKind)
		}
		if n := runs.Load(); n != wantRuns {
			t.Errorf("%s: it ran %d times, want %d", what, n, wantRuns)
		}
		c.Close()
		crash(nodes[1])
		crash(nodes[0])
	}
}

// A sourceServer does for a message what a source does for a value.
type sourceServer Source

func (s sourceServer) Call(ctx context.Context, _ Value) (Value, error) { return s(ctx, ID{}) }

// TestDirectOutOfReach has one node be out of the client's reach, and one not answer it: home asks them, no call waits, and dials are few.
func TestDirectOutOfReach(t *testing.T) {
	nodes := startCluster(t, 3, Kind{})
	checkSessions(t, nodes)
	wrong, err := wire.NewCredentials([]byte("another cookie"), TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", nodes[0].addr.Host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := attachDirect(t, nodes[0].Self())
	s := c.direct.sessions
	s.creds = wrong // with which 2@ refuses it
	s.introduce(s.peer(nodes[2].addr.Name), silent.Addr().String())
	calls, end := 0, time.Now().Add(1500*time.Millisecond)
	for ; time.Now().Before(end); calls++ {
		i := int64(calls) % 30
		start := time.Now()
		reply, err := c.Request(t.Context(), IntID(i))
		if err != nil || reply.Node != nodes[i%3].Self() || reply.Degraded || time.Since(start) > time.Second {
			t.Fatalf("request(%d) = %+v, %v after %v; want an answer of %s", i, reply, err, time.Since(start), nodes[i%3].Self())
		}
	}
	if n := nodes[1].Stats().Refused; n == 0 || n > 8 {
		t.Errorf("%d dials for %d calls", n, calls)
	}
}

// TestDirectRetires closes the session to a node that is not asked any more: it comes back when that is asked again.
func TestDirectRetires(t *testing.T) {
	nodes := startCluster(t, 2, Kind{})
	c := attachDirect(t, nodes[0].Self())
	awaitDirect(t, c, nodes...)
	await(t, func() error {
		c.direct.sessions.retireIdle()
		if n := nodes[1].clients.Load(); n != 0 {
			return fmt.Errorf("%d sessions of an idle client", n)
		}
		return nil
	})
	if n := nodes[0].clients.Load(); n != 1 {
		t.Errorf("%d sessions to home", n)
	}
	stop := requestAll(t, c)
	awaitDirect(t, c, nodes...)
	p := c.direct.sessions.peer(nodes[1].addr.Name)
	c.direct.sessions.retire(p, p.session.Load()) // while it is in use
	awaitDirect(t, c, nodes...)
	stop()
}

// TestDirectParted has a member leave the cluster and stay up alone: the client does not go on asking it. No other ids move, so
// nothing but a look at the view tells.
func TestDirectParted(t *testing.T) {
	nodes := startRouted(t, 3, Rendezvous)
	c := attachDirect(t, nodes[0].Self())
	awaitDirect(t, c, nodes...)
	if err := nodes[0].Disconnect(t.Context(), nodes[1].Self()); err != nil {
		t.Fatal(err)
	}
	awaitView(t, nodes[0], nodes[2])
	await(t, func() error { return checkDirect(t, c, nodes[0], nodes[2]) })
}

// TestDirectTakes tells a direct client views that it cannot be right about: it keeps the one that it has.
func TestDirectTakes(t *testing.T) {
	nodes := startCluster(t, 2, Kind{})
	c := attachDirect(t, nodes[0].Self())
	old := c.direct.view.Load()
	for what, m := range map[string]viewMessage{
		"no member":       {Routing: "modulo"},
		"another epoch":   {Routing: "modulo", Epoch: 1, Members: []wire.Member{{Name: "1@a"}}},
		"unknown routing": {Routing: "by moon", Members: []wire.Member{{Name: "1@a"}}},
		"no name":         {Routing: "modulo", Members: []wire.Member{{Name: "1"}}},
	} {
		if c.direct.take(m) || c.direct.view.Load() != old {
			t.Errorf("%s: it takes %+v", what, m)
		}
	}
}

// An olderNode serves no operation that came later than opRetire.
type olderNode struct{ *Node }

func (n olderNode) ServeOperation(s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	if op > opRetire {
		return nil, wire.UnknownOperation
	}
	return n.Node.ServeOperation(s, op, args)
}

// TestDirectToOlderNode attaches to a node that cannot tell its view: it finds the owners.
func TestDirectToOlderNode(t *testing.T) {
	nodes := startCluster(t, 2, Kind{})
	creds, err := wire.NewCredentials(testCookie, TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := wire.Listen(nodes[0].addr.Host+":0", creds, func(net.Addr, error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan *wire.Session, 1)
	go func() {
		if in, err := l.Accept(); err == nil {
			s, _ := in.Accept(nodes[0].members.hello(), olderNode{nodes[0]})
			served <- s
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	c := attachDirect(t, nodes[0].Self()+":"+port)
	defer func() { (<-served).Close() }()
	for i := range int64(30) {
		if reply, err := c.Request(t.Context(), IntID(i)); err != nil || reply.Node != nodes[i%2].Self() {
			t.Errorf("request(%d) = %+v, %v", i, reply, err)
		}
	}
	if n := nodes[1].clients.Load(); n != 0 || passedOn(nodes[0]) == 0 {
		t.Errorf("%d sessions to the other node, and home has passed on %d requests", n, passedOn(nodes[0]))
	}
}

// TestDirectClose closes a client with calls in flight: they fail at once, and the sources are told.
func TestDirectClose(t *testing.T) {
	var running, canceled sync.WaitGroup
	var hang atomic.Bool
	nodes := startCluster(t, 3, Kind{TTL: time.Millisecond, Source: func(ctx context.Context, _ ID) (Value, error) {
		if hang.Load() {
			running.Done()
			defer canceled.Done()
			<-ctx.Done()
		}
		return IntValue(1), nil
	}})
	c := attachDirect(t, nodes[0].Self())
	awaitDirect(t, c, nodes...)
	time.Sleep(50 * time.Millisecond) // for the workers to expire
	hang.Store(true)
	const calls = 30
	running.Add(calls)
	canceled.Add(calls)
	var wg sync.WaitGroup
	for i := range int64(calls) {
		wg.Go(func() {
			if _, err := c.Request(t.Context(), IntID(1000+i)); !errors.Is(err, ErrClosed) || OutcomeOf(err) != Unknown {
				t.Errorf("request(%d) = %v, want %v, unknown", i, err, ErrClosed)
			}
		})
	}
	running.Wait()
	start := time.Now()
	wg.Go(func() { c.Close() })
	c.Close()
	wg.Wait()
	canceled.Wait()
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := c.Request(t.Context(), IntID(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("request of a client that is closed = %v, want %v", err, ErrClosed)
	}
}
