package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// attachSteady is attachDirect for a client that fetches its view so often without a
// reason.
func attachSteady(t *testing.T, home string, steady time.Duration) *Client {
	t.Helper()
	c, err := Attach(t.Context(), ClientConfig{Node: home, Cookie: testCookie, network: memory, Direct: true, steady: steady})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// startRouted starts a cluster with that routing, which has a serial kind, too.
func startRouted(t *testing.T, size int, routing placement.Routing) (nodes []*Node) {
	t.Helper()
	host := testHost()
	for i := range size {
		n, err := Start(Config{
			Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, network: memory, Routing: routing, Default: orRandom(worker.Cache{TTL: time.Hour}),
			Kinds: map[string]worker.Kind{"serial": worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}},
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
	bubble(t, func(t *testing.T) {
		for _, routing := range []placement.Routing{placement.Modulo, placement.Rendezvous} {
			nodes := startRouted(t, 4, routing)
			c := attachDirect(t, nodes[1].Self())
			awaitDirect(t, c, nodes...)
			if err := checkDirect(t, c, nodes...); err != nil { // once it is so, it stays so
				t.Errorf("%s: %v", routing, err)
			}
			before := passedOn(nodes[1])
			for i := range int64(8) {
				want, _ := nodes[0].Owner(t.Context(), worker.IntID(i))
				if reply, err := c.Refresh(t.Context(), worker.IntID(i)); err != nil || reply.Node != want || reply.Cached {
					t.Errorf("%s: refresh(%d) = %+v, %v; want a new answer of %s", routing, i, reply, err, want)
				}
				reply, err := c.Family("serial").Call(t.Context(), worker.IntID(i), worker.BytesValue("hello"))
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
	})
}

// TestDirectRetires closes the session to a node that is not asked any more: it comes
// back when that is asked again.
func TestDirectRetires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		c := attachDirect(t, nodes[0].Self())
		awaitDirect(t, c, nodes...)
		await(t, func() error {
			c.reach.Pool().RetireIdle()
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
		p := c.reach.Pool().Peer(nodes[1].addr.Name)
		c.reach.Pool().Retire(p, p.Session()) // while it is in use
		awaitDirect(t, c, nodes...)
		stop()
	})
}

// TestDirectParted has a member leave the cluster and stay up alone: the client does not
// go on asking it. No other ids move, so nothing but a look at the view tells.
func TestDirectParted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startRouted(t, 3, placement.Rendezvous)
		c := attachSteady(t, nodes[0].Self(), 0)
		awaitDirect(t, c, nodes...)
		if err := nodes[0].Disconnect(t.Context(), nodes[1].Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes[0], nodes[2])
		await(t, func() error { return checkDirect(t, c, nodes[0], nodes[2]) })
	})
}

// An olderNode serves no operation that came later than protocol.OpRetire.
type olderNode struct{ server }

func (n olderNode) ServeOperation(ctx context.Context, s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	if op > protocol.OpRetire {
		return nil, wire.UnknownOperation
	}
	return n.server.ServeOperation(ctx, s, op, args)
}

// TestDirectToOlderNode attaches to a node that cannot tell its view: it finds the
// owners.
func TestDirectToOlderNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		creds := credentials(t, testCookie)
		l, err := wire.Listen(nodes[0].addr.Host+":0", creds, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		served := make(chan *wire.Session, 1)
		go func() {
			if in, err := l.Accept(); err == nil {
				s, _ := in.Accept(nodes[0].members.Hello(), olderNode{server{nodes[0]}})
				served <- s
			}
		}()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		c := attachDirect(t, nodes[0].Self()+":"+port)
		defer func() { (<-served).Close() }()
		for i := range int64(30) {
			if reply, err := c.Request(t.Context(), worker.IntID(i)); err != nil || reply.Node != nodes[i%2].Self() {
				t.Errorf("request(%d) = %+v, %v", i, reply, err)
			}
		}
		if n := nodes[1].clients.Load(); n != 0 || passedOn(nodes[0]) == 0 {
			t.Errorf("%d sessions to the other node, and home has passed on %d requests", n, passedOn(nodes[0]))
		}
	})
}

// TestDirectClose closes a client with calls in flight: they fail at once, and the
// sources are told.
func TestDirectClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var running, canceled sync.WaitGroup
		var hang atomic.Bool
		nodes := startCluster(t, 3, worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			if hang.Load() {
				running.Done()
				defer canceled.Done()
				<-ctx.Done()
			}
			return worker.IntValue(1), nil
		}})
		c := attachDirect(t, nodes[0].Self())
		awaitDirect(t, c, nodes...)
		hang.Store(true)
		const calls = 30
		running.Add(calls)
		canceled.Add(calls)
		var wg sync.WaitGroup
		for i := range int64(calls) {
			wg.Go(func() {
				if _, err := c.Request(t.Context(), worker.IntID(1000+i)); !errors.Is(err, ErrClosed) || OutcomeOf(err) != worker.OutcomeUnknown {
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
		if _, err := c.Request(t.Context(), worker.IntID(1)); !errors.Is(err, ErrClosed) {
			t.Errorf("request of a client that is closed = %v, want %v", err, ErrClosed)
		}
	})
}
