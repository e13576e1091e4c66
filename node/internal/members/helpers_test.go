package members

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

var testCookie = []byte("the cookie of all tests")

var hosts atomic.Int32

// testHost returns a loopback address of this test's own, so that nodes can have their
// usual ports.
func testHost() string {
	pid, n := os.Getpid(), int(hosts.Add(1))
	return fmt.Sprintf("127.%d.%d.%d", 1+pid%250, (pid/250+n/250)%250, n%250)
}

// A testNode has members and a port, and no workers.
type testNode struct {
	*Members
	log      testlog.Buffer
	listener *wire.Listener
	wg       sync.WaitGroup
	close    func()
}

// start starts a node. Change changes its configuration.
func start(t *testing.T, name string, change ...func(*Config)) *testNode {
	t.Helper()
	addr, err := placement.ParseAddr(name)
	if err != nil {
		t.Fatal(err)
	}
	if addr.Port == 0 {
		addr.Port = addr.DefaultPort()
	}
	n := &testNode{}
	c := Config{Addr: addr, Serve: n, Timing: gossip.LAN, ReapAfter: time.Hour, Clock: clock.NewProcess(n), Logger: slog.New(slog.NewTextHandler(&n.log, nil))}
	if c.Creds, err = wire.NewCredentials(testCookie, wire.TLSFiles{}); err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&c)
	}
	c.Listen = addr.HostPort()
	if n.listener, err = wire.Listen(c.Listen, c.Creds, nil); err != nil {
		t.Fatal(err)
	}
	if n.Members, err = New(c, n); err != nil {
		t.Fatal(err)
	}
	n.Start()
	n.wg.Go(func() {
		for {
			in, err := n.listener.Accept()
			if err != nil {
				return
			}
			n.wg.Go(func() {
				if in.Hello.Role == wire.RoleClient {
					if s, err := in.Accept(n.Hello(), n); err == nil {
						<-s.Done()
					}
					return
				}
				n.Admit(n.ctx, in)
			})
		}
	})
	n.close = sync.OnceFunc(func() {
		n.listener.Close()
		n.Members.Close()
		n.wg.Wait()
	})
	t.Cleanup(n.close)
	return n
}

// withCookie has a node have another cookie.
func withCookie(cookie string) func(*Config) {
	return func(c *Config) {
		creds, err := wire.NewCredentials([]byte(cookie), wire.TLSFiles{})
		if err != nil {
			panic(err)
		}
		c.Creds = creds
	}
}

// withState has a node remember its members in a folder.
func withState(dir string) func(*Config) { return func(c *Config) { c.StateDir = dir } }

func (n *testNode) ViewChanged()                                    {}
func (n *testNode) Refused(net.Addr, error)                         {}
func (n *testNode) Met(context.Context, *peers.Peer, *wire.Session) {}
func (n *testNode) CallTimeout(string) time.Duration                { return time.Second }
func (n *testNode) Suspended()                                      {}
func (n *testNode) StoodStill() bool                                { return n.Members.StoodStill() }
func (n *testNode) Outranked()                                      { _ = n.detach() }
func (n *testNode) ServeCall(c wire.Call) {
	c.Fail(&wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun})
}

func (n *testNode) detach() error {
	if !n.BeginDetaching() {
		return wire.Closed
	}
	return n.Detach()
}

func (n *testNode) ServeOperation(_ context.Context, s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	switch op {
	case protocol.OpSync:
		return protocol.With(args, func(t protocol.Sync) (any, error) { return n.ServeSync(s, t) })
	case protocol.OpRetire:
		n.Pool().Retired(s)
		return nil, nil
	case protocol.OpDetach:
		return nil, n.detach()
	}
	return nil, wire.UnknownOperation
}

// self returns the node as a member.
func (n *testNode) member() wire.Member {
	h := n.Hello()
	return wire.Member{Name: h.Name, Addr: h.Addr, Incarnation: h.Incarnation}
}

// startPair starts two nodes of one cluster.
func startPair(t *testing.T, change ...func(*Config)) (a, b *testNode) {
	t.Helper()
	host := testHost()
	a, b = start(t, "1@"+host, change...), start(t, "2@"+host, change...)
	join(t, b, a)
	awaitView(t, a, b)
	return a, b
}

func join(t *testing.T, n, to *testNode) {
	t.Helper()
	if err := n.Join(t.Context(), to.Addr.Name.String()); err != nil {
		t.Fatal(err)
	}
}

// awaitView waits until all nodes have these members, and all are alive.
func awaitView(t *testing.T, nodes ...*testNode) {
	t.Helper()
	var want []string
	for _, n := range nodes {
		want = append(want, n.Addr.Name.String())
	}
	for _, n := range nodes {
		await(t, func() error {
			var got []string
			v := n.View()
			for i, p := range v.Peers {
				if !v.Ring.Slot(i).Failed {
					got = append(got, p.Text)
				}
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s sees %v, want %v", n.Addr.Name, got, want)
			}
			return nil
		})
	}
}

// await waits until check returns nil, for at most a minute.
func await(t *testing.T, check func() error) {
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
