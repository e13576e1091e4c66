package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
)

func TestClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		c, err := Attach(t.Context(), ClientConfig{Node: nodes[1].Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		awaitView(t, nodes...) // it is no member
		for i := range int64(9) {
			want := nodes[i%3].Self()
			reply, err := c.Request(t.Context(), worker.IntID(i))
			if err != nil || reply.Node != want {
				t.Errorf("request(%d) = %+v, %v; want an answer of %s", i, reply, err, want)
			}
			if owner, err := c.Owner(t.Context(), worker.IntID(i)); err != nil || owner != want {
				t.Errorf("owner(%d) = %s, %v; want %s", i, owner, err, want)
			}
		}
		members, err := c.Members(t.Context())
		if err != nil || len(members) != 3 || members[2].Name != nodes[2].Self() {
			t.Errorf("members = %+v, %v", members, err)
		}
		workers, err := c.Workers(t.Context())
		if err != nil || len(workers) != 9 || workers[0].Node != nodes[0].Self() || workers[3].ID != worker.IntID(1) {
			t.Errorf("workers = %+v, %v", workers, err)
		}
		results := c.Connect(t.Context(), nodes[0].Self(), "nonsense", "8@"+nodes[0].addr.Host)
		if len(results) != 3 || results[0].Err != nil || results[1].Err == nil || !errors.Is(results[2].Err, ErrUnreachable) {
			t.Errorf("connect = %+v", results)
		}
		if results := c.Connect(t.Context()); len(results) != knownNames || results[1].Err != nil {
			t.Errorf("connect of the known names = %+v", results)
		}
		if _, err := Attach(t.Context(), ClientConfig{Node: nodes[1].Self(), Cookie: []byte("the cookie of another cluster"), network: memory}); !errors.Is(err, ErrCookie) {
			t.Errorf("attach with a wrong cookie = %v, want %v", err, ErrCookie)
		}
	})
}

func constant(context.Context, worker.ID) (worker.Value, error) {
	return worker.BytesValue("constant"), nil
}

// TestManyWorkers has more workers than are listed: the lists count the others.
func TestManyWorkers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{Load: constant, TTL: time.Hour})
		c, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		most := len(nodes) * protocol.MaxWorkers
		for i, step := range []int{most, most + 1, most + 1000} {
			for id := range step {
				if _, err := nodes[id%2].Request(t.Context(), worker.IntID(int64(id))); err != nil {
					t.Fatal(err)
				}
			}
			for what, test := range map[string]struct {
				list  func(context.Context) ([]worker.Info, error)
				count int
			}{"node": {nodes[1].Workers, most}, "client": {c.Workers, protocol.MaxWorkers}} {
				list, err := test.list(t.Context())
				leftOut := 0
				for _, w := range list {
					leftOut += w.LeftOut
				}
				if err != nil || len(list) != test.count || leftOut != step-test.count {
					t.Errorf("%d, %s: %d listed, %d left out, %v; want %d of %d", i, what, len(list), leftOut, err, test.count, step)
				}
			}
		}
	})
}

// TestClientMoves takes the client's node away: the client goes on at another one, and
// returns when the node is a member again.
func TestClientMoves(t *testing.T) {
	for _, how := range []string{"leaves", "crashes"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				nodes := startCluster(t, 3, worker.Cache{})
				c, err := Attach(t.Context(), ClientConfig{Node: nodes[1].Self(), Cookie: testCookie, network: memory})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if how == "leaves" {
					nodes[1].Close(t.Context())
				} else {
					crash(nodes[1])
				}
				check := func(what string) {
					t.Helper()
					if _, err := c.Request(t.Context(), worker.IntID(1)); err != nil {
						t.Errorf("%s: request: %v", what, err)
					}
					if _, err := c.Members(t.Context()); err != nil && OutcomeOf(err) != worker.OutcomeUnknown {
						t.Errorf("%s: members: %v", what, err)
					}
				}
				check("at once")
				await(t, func() error {
					if c.Self() == nodes[1].Self() {
						return errors.New("the client has not moved")
					}
					return nil
				})
				check("elsewhere")
				again := startNode(t, nodes[1].Self(), worker.Cache{})
				if how == "leaves" { // one that crashed has kept its slot, and is a member at once
					time.Sleep(2 * time.Second) // in which it looks once
					if c.Self() == again.Self() {
						t.Error("the client is back at a node that is no member")
					}
				}
				if err := again.Join(t.Context(), nodes[0].Self()); err != nil {
					t.Fatal(err)
				}
				awaitView(t, nodes[0], again, nodes[2])
				await(t, func() error {
					if c.Self() != again.Self() {
						return errors.New("the client is not back")
					}
					return nil
				})
				check("back")
			})
		})
	}
}

// TestClientAlone loses the only node there is: calls fail, until it is back.
func TestClientAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		c, err := Attach(t.Context(), ClientConfig{Node: n.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if kinds := c.Kinds(); !c.Attached() || !slices.Equal(kinds, n.Kinds()) || !slices.Equal(kinds, []string{worker.DefaultKind}) {
			t.Errorf("attached %v, kinds %v", c.Attached(), kinds)
		}
		crash(n)
		<-c.reach.Home().Done()
		if c.Attached() {
			t.Error("attached to a node that has gone")
		}
		if _, err := c.Request(t.Context(), worker.IntID(1)); !errors.Is(err, ErrUnreachable) || OutcomeOf(err) != worker.OutcomeNotRun {
			t.Errorf("request without any node = %v, want %v, not run", err, ErrUnreachable)
		}
		startNode(t, n.Self(), worker.Cache{})
		await(t, func() error {
			_, err := c.Request(t.Context(), worker.IntID(1))
			return err
		})
		if !c.Attached() {
			t.Error("not attached to a node that answers")
		}
	})
}

// TestInspect looks at a cluster from a member and through a client: both tell the same.
func TestInspect(t *testing.T) {
	realTime(t) // as it measures round trips
	nodes := startCluster(t, 3, worker.Cache{Load: counter()})
	checkSessions(t, nodes)
	client, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie, network: memory})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	type inspector interface {
		Request(context.Context, worker.ID) (worker.Reply, error)
		RequestVia(context.Context, string, worker.ID) (worker.Reply, error)
		Refresh(context.Context, worker.ID) (worker.Reply, error)
		Stop(context.Context, worker.ID) (bool, error)
		Why(context.Context, worker.ID) (Explanation, error)
		Nodes(context.Context) ([]NodeInfo, error)
		Ping(context.Context, string) (time.Duration, error)
	}
	ctx := t.Context()
	for i, from := range []inspector{nodes[0], client} {
		id := worker.IntID(int64(3*i + 1)) // of the second node
		owner := nodes[1].Self()
		if e, err := from.Why(ctx, id); err != nil || e.Live || e.Owner != owner || e.Asked != owner || e.Index != 1 || e.Members != 3 ||
			e.Fallback == "" || e.Fallback == owner || e.State != StateAlive || e.Rule != fmt.Sprintf("%s mod 3 = 1", id) {
			t.Errorf("%T: why(%s) = %+v, %v", from, id, e, err)
		}
		first, err := from.Request(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := from.RequestVia(ctx, nodes[2].Self(), id); err != nil || r.Value != first.Value || !r.Cached || r.Node != owner {
			t.Errorf("%T: via %s: %+v, %v", from, nodes[2].Self(), r, err)
		}
		if r, err := from.Refresh(ctx, id); err != nil || r.Value == first.Value || r.Cached || r.Node != owner {
			t.Errorf("%T: refresh: %+v, %v; the value was %s", from, r, err, first.Value)
		}
		from.Request(ctx, id)
		if e, err := from.Why(ctx, id); err != nil || !e.Live || e.Worker.ID != id || e.Worker.Hits != 1 || e.Worker.Node != owner || e.Worker.TTL <= 0 {
			t.Errorf("%T: why(%s) = %+v, %v", from, id, e, err)
		}
		if stopped, err := from.Stop(ctx, id); err != nil || !stopped {
			t.Errorf("%T: stop = %v, %v", from, stopped, err)
		}
		if stopped, err := from.Stop(ctx, id); err != nil || stopped {
			t.Errorf("%T: stop of a worker that is gone = %v, %v", from, stopped, err)
		}
		infos, err := from.Nodes(ctx)
		if err != nil || len(infos) != 3 || infos[1].Name != owner || infos[1].Requests == 0 || infos[1].RTT <= 0 || infos[1].Problem != "" || infos[0].RTT != 0 {
			t.Errorf("%T: nodes = %+v, %v", from, infos, err)
		}
		if rtt, err := from.Ping(ctx, owner); err != nil || rtt <= 0 {
			t.Errorf("%T: ping = %v, %v", from, rtt, err)
		}
		if _, err := from.Ping(ctx, "9@nowhere"); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%T: ping of a stranger = %v", from, err)
		}
		if _, err := from.RequestVia(ctx, "nonsense", id); err == nil {
			t.Errorf("%T: a request via nonsense has an answer", from)
		}
	}
	crash(nodes[1])
	await(t, func() error {
		e, err := nodes[0].Why(ctx, worker.IntID(1))
		if err != nil || e.State != StateFailed || e.Asked == nodes[1].Self() {
			return fmt.Errorf("why(1) after the crash of its owner = %+v, %v", e, err)
		}
		return nil
	})
	infos, err := nodes[0].Nodes(ctx)
	if err != nil || infos[1].State != StateFailed || infos[1].Problem == "" {
		t.Errorf("nodes = %+v, %v", infos, err)
	}
}

func TestDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		checkSessions(t, nodes)
		if err := nodes[0].Disconnect(t.Context(), nodes[1].Self()); err != nil {
			t.Fatal(err)
		}
		if err := nodes[0].Disconnect(t.Context(), nodes[0].Self()); err == nil {
			t.Error("a node can disconnect itself")
		}
		connect(t, nodes[0], nodes[1].Self())
		awaitView(t, nodes...)
	})
}

// TestClientCancels has a client give up a call that its node has passed on.
func TestClientCancels(t *testing.T) {
	bubble(t, func(t *testing.T) {
		started, canceled := make(chan struct{}), make(chan struct{})
		nodes := startCluster(t, 2, worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			close(started)
			<-ctx.Done()
			close(canceled)
			return worker.Value{}, ctx.Err()
		}})
		c, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-started
			c.Close()
		}()
		c.Request(t.Context(), worker.IntID(1))
		<-canceled
	})
}

// TestNoBusyPoll has the connections of a node and of a client do without polling.
func TestNoBusyPoll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, no := range []bool{false, true} {
			n, err := Start(Config{Name: "1@" + testHost(), Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), NoBusyPoll: no})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { n.Close(context.Background()) })
			c, err := Attach(t.Context(), ClientConfig{Node: n.Self(), Cookie: testCookie, network: memory, NoBusyPoll: no})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if n.creds.NoBusyPoll != no || c.reach.Creds.NoBusyPoll != no {
				t.Errorf("NoBusyPoll %t: node %t, client %t", no, n.creds.NoBusyPoll, c.reach.Creds.NoBusyPoll)
			}
		}
	})
}

// TestShapes checks that an element of a list that a node answers with is small until the
// elements are counted.
func TestShapes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, size := range []uintptr{unsafe.Sizeof(memberShape{}), unsafe.Sizeof(nodeShape{})} {
			if size > 16 {
				t.Errorf("%d bytes", size)
			}
		}
	})
}
