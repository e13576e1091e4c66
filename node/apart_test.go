package node

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/route"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestApartTogether connects two nodes that are apart: they stay so until one of them
// meets a node that is not, or goes on alone.
func TestApartTogether(t *testing.T) {
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
			bubble(t, func(t *testing.T) {
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
		})
	}
}

// TestPartedSessions has a member tell a node that has just left of itself, over a
// session from before. The node stays apart, and takes no such session into use.
func TestPartedSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
	})
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
	bubble(t, func(t *testing.T) {
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
	})
}

// TestFormerPeers has a node leave its cluster while calls to its peers go on. It does
// not dial them, because a peer that does not know yet that the node has left would take
// it back.
func TestFormerPeers(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
	})
}
