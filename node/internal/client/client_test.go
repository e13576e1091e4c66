package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/internal/client"
	"github.com/distproc/distproc/node/internal/members"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

var (
	testCookie = []byte("the cookie of all tests")
	hosts      atomic.Int32
)

// startCluster starts nodes of one cluster, which end with the test.
func startCluster(t *testing.T, size int) (nodes []*node.Node) {
	t.Helper()
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d", 1+pid%250, 100+pid/250%150, hosts.Add(1))
	for i := range size {
		n, err := node.Start(node.Config{
			Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie,
			Default: worker.Cache{Load: worker.RandomSource},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close(context.Background()) })
		nodes = append(nodes, n)
		if i > 0 {
			if err := n.Join(t.Context(), nodes[0].Self()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return nodes
}

// configFor is the configuration of a client of a node.
func configFor(t *testing.T, name string) client.Config {
	t.Helper()
	addr, err := protocol.ParseTarget(name)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := wire.NewCredentials(testCookie, wire.TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	return client.Config{Addr: addr, Creds: creds, Logger: slog.New(slog.DiscardHandler)}
}

// attachIdle attaches a client whose view nothing fetches.
func attachIdle(t *testing.T, name string) *client.Client {
	t.Helper()
	c, err := client.AttachIdle(t.Context(), configFor(t, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestOthers has clients choose the node that they move to: they spread over the members.
func TestOthers(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 3)
	config := configFor(t, nodes[1].Self())
	config.Steady = time.Millisecond // its node may not know all members yet
	c, err := client.Attach(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	next := map[string]bool{}
	for end := time.Now().Add(time.Minute); len(next) < 2 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, a := range c.Others() {
			if a.Name.String() == nodes[1].Self() {
				t.Fatal("it would move to its own node")
			}
		}
		if list := c.Others(); len(list) == 2 {
			next[list[0].String()] = true
		}
	}
	if len(next) != 2 {
		t.Errorf("it would move to one of %v", next)
	}
}

// TestSetView tells a client views that it cannot be right about: it keeps the one that it
// has.
func TestSetView(t *testing.T) {
	t.Parallel()
	c := attachIdle(t, startCluster(t, 1)[0].Self())
	old := c.View()
	for what, v := range map[string]protocol.View{
		"no member":       {Routing: "modulo"},
		"another epoch":   {Routing: "modulo", Epoch: 1, Members: []wire.Member{{Name: "1@a"}}},
		"unknown routing": {Routing: "by moon", Members: []wire.Member{{Name: "1@a"}}},
		"no name":         {Routing: "modulo", Members: []wire.Member{{Name: "1"}}},
	} {
		if c.SetView(v) || c.View() != old {
			t.Errorf("%s: it takes %+v", what, v)
		}
	}
}

// TestLate says what a call failed of for which time was up before another node was
// found.
func TestLate(t *testing.T) {
	t.Parallel()
	leaving, lost := &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun, Node: "1@a"}, &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	soon := time.Now().Add(time.Hour)
	for _, test := range []struct {
		ctx   context.Context
		until time.Time
		err   *wire.Error
		want  error
	}{
		{t.Context(), soon, leaving, wire.Leaving},
		{canceled, soon, leaving, wire.Canceled},
		{t.Context(), time.Now(), leaving, wire.DeadlineExceeded},
		{canceled, time.Now(), lost, wire.Unreachable},
	} {
		if err := client.Late(test.ctx, test.until, test.err); !errors.Is(err, test.want) || err.Outcome != wire.NotRun {
			t.Errorf("%v (%v), want %v", err, err.Outcome, test.want)
		}
	}
}

// TestAnotherTakesItsTime has a client whose node leaves, while the other member does not
// answer. The call has failed only when its time is up, and says so.
func TestAnotherTakesItsTime(t *testing.T) {
	t.Parallel()
	n := startCluster(t, 1)[0]
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := attachIdle(t, n.Self())
	home := c.View().Peers[0]
	other := c.Pool().Peer(placement.Name{Node: "2", Host: home.Name.Host})
	c.Pool().SetSlot(other, silent.Addr().String(), 1, true)
	c.PretendView(members.NewView([]*peers.Peer{home, other}, nil, placement.Modulo))

	request := protocol.NewRequest("", worker.IntID(1))
	leaving := &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun, Node: n.Self()}
	until := time.Now().Add(200 * time.Millisecond)
	_, err = c.Retry(t.Context(), &request, leaving, until)
	if early := time.Until(until); early > 0 || !errors.Is(err, wire.DeadlineExceeded) || node.OutcomeOf(err) != worker.OutcomeNotRun {
		t.Errorf("%v, %v before its time was up", err, early)
	}
}

// TestAnotherIsFirstHome has a client that has moved to another node. When that leaves,
// too, it asks the node to which it was attached at first.
func TestAnotherIsFirstHome(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2)
	c := attachIdle(t, nodes[0].Self())
	s, err := wire.Dial(t.Context(), nodes[1].Addr(), c.Creds, protocol.ClientHello(), protocol.Refuser{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c.SetHome(s)
	next := c.Another(t.Context(), []*wire.Session{s}, time.Now().Add(time.Second))
	if next == nil || next.Peer().Name != nodes[0].Self() {
		t.Errorf("the next node is that of %v", next)
	}
}

// TestStay has the home of a client that stays leave: the client asks no other node.
func TestStay(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2)
	config := configFor(t, nodes[1].Self())
	config.Stay = true
	c, err := client.Attach(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	home := c.Home()
	if err := nodes[1].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-home.Done()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var owner string
	if err := c.Do(ctx, protocol.OpOwner, worker.IntID(1), &owner); err == nil {
		t.Errorf("it asks another node, which says that %s owns 1", owner)
	}
	<-ctx.Done() // a client that moves has moved by now
	again, err := node.Start(node.Config{Name: nodes[1].Self(), Cookie: testCookie, Default: worker.Cache{Load: worker.RandomSource}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close(context.Background()) })
	for c.Home() == home {
		time.Sleep(time.Millisecond)
	}
	if got := c.Home().Peer().Name; got != again.Self() {
		t.Errorf("it has moved to %s", got)
	}
}
