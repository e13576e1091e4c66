package node

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/handoff"
	"github.com/distproc/distproc/node/internal/members"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestManyArguments has a peer send a list of empty elements, one byte each, that is
// longer than is allowed: it is refused without making them.
func TestManyArguments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		for _, c := range []struct {
			name string
			as   wire.Hello
			op   wire.Op
			args any
		}{
			{"sync", stranger(n, 1), protocol.OpSync, protocol.Sync{List: make([]wire.Member, protocol.MaxListed+1)}},
			{"hand off", stranger(n, 1), protocol.OpHandOff, make([]registry.Answer, handoff.MaxAnswers+1)},
			{"connect", protocol.ClientHello(), protocol.OpConnect, make([]string, protocol.MaxConnect+1)},
		} {
			giveSlot(n, stranger(n, 1))
			s, err := dialAs(t, n, c.as)
			if err != nil {
				t.Fatal(err)
			}
			err = s.Do(t.Context(), c.op, c.args, nil)
			if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != wire.BadRequest || e.Outcome != wire.NotRun {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		var decoded []any
		args := func(to any) error {
			decoded = append(decoded, to)
			if shape, ok := to.(*protocol.SyncShape); ok {
				shape.List = make([]struct{ State wire.MemberState }, protocol.MaxListed+1)
			}
			if shape, ok := to.(*[]registry.AnswerShape); ok {
				*shape = make([]registry.AnswerShape, handoff.MaxAnswers+1)
			}
			return nil
		}
		s, err := dialAs(t, n, stranger(n, 2)) // its peer is n, which is a member
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range []wire.Op{protocol.OpSync, protocol.OpHandOff} {
			decoded = nil
			if _, err := (server{n}).ServeOperation(t.Context(), s, op, args); err == nil || len(decoded) != 1 {
				t.Errorf("operation %d: %v, decoded %T", op, err, decoded)
			}
		}
	})
}

// TestManyElementsAnswered has a member, or the node of a client, answer with twice as
// many empty elements as a list may have. The answer is refused; that nobody makes the
// elements is shown by [TestBounded].
func TestManyElementsAnswered(t *testing.T) {
	realTime(t)
	n := startNode(t, "1@"+testHost(), worker.Cache{})
	hello := stranger(n, 1)
	hello.Addr = n.addr.Host + ":0"
	hello.Addr = listenAs(t, hello, newLiar(2*protocol.MaxListed))
	p, c := memberAndClient(t, n, hello)
	v := n.members.View()
	for name, ask := range map[string]func() error{
		"settle": func() error { return n.members.Sync(t.Context(), v, p) },
		"roll": func() error {
			s, err := n.pool.Dial(t.Context(), p)
			if err != nil {
				return err
			}
			return s.Do(t.Context(), protocol.OpBarrier, v.Ring.Epoch(), protocol.BoundedBarrier(new(protocol.Barrier)))
		},
		"workers": func() error {
			list, err := n.Workers(t.Context())
			if len(list) == 0 {
				err = errors.New("limit")
			}
			return err
		},
		"figures": func() error {
			_, err := n.Figures(t.Context(), observe.FiguresQuery{Node: hello.Name})
			return err
		},
		"hottest":                 func() error { _, err := n.Hottest(t.Context(), observe.HotQuery{Node: hello.Name}); return err },
		"figures of a client":     func() error { _, err := c.Figures(t.Context(), observe.FiguresQuery{}); return err },
		"hottest of a client":     func() error { _, err := c.Hottest(t.Context(), observe.HotQuery{}); return err },
		"members of a client":     func() error { _, err := c.Members(t.Context()); return err },
		"nodes of a client":       func() error { _, err := c.Nodes(t.Context()); return err },
		"workers of a client":     func() error { _, err := c.Workers(t.Context()); return err },
		"connections of a client": func() error { return c.Connect(t.Context(), n.Self())[0].Err },
		"view of a client": func() error {
			return c.reach.Home().Do(t.Context(), protocol.OpView, nil, protocol.BoundedView(new(protocol.View)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := ask(); err == nil || !strings.Contains(err.Error(), "limit") {
				t.Errorf("answer: %v", err)
			}
		})
	}
}

// TestManyClients has more clients attach than a node serves: the surplus is told why,
// and has a place again when another one has gone.
func TestManyClients(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, err := Start(Config{Name: "1@" + testHost(), Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), MaxClients: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { crash(n) })
		attach := func() (*Client, error) {
			return Attach(t.Context(), ClientConfig{Node: n.Self(), Cookie: testCookie, network: memory})
		}
		var clients []*Client
		for range 2 {
			c, err := attach()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			clients = append(clients, c)
		}
		if _, err := attach(); !errors.Is(err, ErrOverloaded) || !strings.Contains(err.Error(), "2 clients") {
			t.Errorf("one client too many: %v", err)
		}
		clients[0].Close()
		await(t, func() error {
			if n.clients.Load() < 2 {
				return nil
			}
			return errors.New("the place of a client that has gone is not free")
		})
		c, err := attach()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

// TestManyStrangers has more nodes connect than a node keeps sessions to that are no
// members.
func TestManyStrangers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		for i := range members.MaxStrangers {
			if _, err := dialAs(t, n, stranger(n, i)); err != nil {
				t.Fatal(err)
			}
		}
		await(t, func() error { // the last one is just being let in
			if got := n.pool.Strangers(); got != members.MaxStrangers {
				return fmt.Errorf("%d strangers, want %d", got, members.MaxStrangers)
			}
			return nil
		})
		if _, err := dialAs(t, n, stranger(n, members.MaxStrangers)); !errors.Is(err, wire.Overloaded) {
			t.Errorf("one stranger too many: %v", err)
		}
		c, err := Attach(t.Context(), ClientConfig{Node: n.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatalf("a client: %v", err)
		}
		c.Close()
	})
}

// TestStrangersLeaveNothing has nodes open sessions that never get a slot: nothing of
// them is kept.
func TestStrangersLeaveNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := startNode(t, "1@"+testHost(), worker.Cache{})
		creds := credentials(t, testCookie)
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
	})
}

// TestHostileGossip has a peer tell nonsense: the members can still be told, and new
// nodes still join.
func TestHostileGossip(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
	})
}

// TestSilentConnections opens more silent connections than may be pending: the log says
// it once.
func TestSilentConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log testlog.Buffer
		n, err := Start(Config{Name: "1@" + testHost(), Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close(t.Context())
		for range 400 {
			c, err := memory.Dial(t.Context(), n.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		await(t, func() error {
			if !strings.Contains(log.String(), "timeout") {
				return errors.New("the silent ones are not dropped")
			}
			return nil
		})
		time.Sleep(100 * time.Millisecond)
		if lines := strings.Count(log.String(), "\n"); lines > 3 {
			t.Errorf("%d lines for one host:\n%s", lines, log.String())
		}
	})
}

// memberAndClient gives the stranger of a hello a slot at n, and returns it as n knows it, and a
// client that is attached to it.
func memberAndClient(t *testing.T, n *Node, hello wire.Hello) (*peers.Peer, *Client) {
	t.Helper()
	giveSlot(n, hello)
	v := n.members.View()
	p := v.Peers[slices.IndexFunc(v.Peers, func(p *peers.Peer) bool { return !p.Self })]
	c, err := Attach(t.Context(), ClientConfig{Node: hello.Name + hello.Addr[strings.LastIndex(hello.Addr, ":"):], Cookie: testCookie, network: memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return p, c
}
