package members

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/distproc/distproc/node/discover"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/dnstest"
)

// withDNS has a node ask a name server of the test's own.
func withDNS(s *dnstest.Server) func(*Config) {
	return func(c *Config) { c.Sources.Resolver = s.Resolver() }
}

// seeds is a file of names.
type seeds struct {
	t    *testing.T
	path string
}

func newSeeds(t *testing.T) seeds { return seeds{t, filepath.Join(t.TempDir(), "seeds")} }

func (s seeds) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s seeds) source() string { return "file:" + s.path }

func joinSource(t *testing.T, n *testNode, names ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := n.Join(ctx, names...); err != nil {
		t.Fatal(err)
	}
}

// TestJoinDNS has nodes find each other by the addresses of one host, at one port: the
// first one finds itself alone, later ones the others, and two clusters that began apart
// become one when both are named.
func TestJoinDNS(t *testing.T) {
	t.Parallel()
	var server dnstest.Server
	var nodes []*testNode
	var ips []netip.Addr
	begin := func() *testNode {
		host := testHost()
		n := start(t, fmt.Sprintf("%d@%s:5000", len(nodes)+1, host), withDNS(&server))
		nodes, ips = append(nodes, n), append(ips, netip.MustParseAddr(host))
		return n
	}
	first := begin()
	server.SetHost("cluster.example", ips...)
	if first.AmongSeeds() {
		t.Error("it is among the seeds before there are any")
	}
	joinSource(t, first, "dns:cluster.example")
	if !first.AmongSeeds() {
		t.Error("it does not know that it is the first one")
	}
	awaitView(t, first)
	second := begin() // which the name servers do not name yet
	joinSource(t, second, "dns:cluster.example")
	awaitView(t, first, second)
	if second.AmongSeeds() {
		t.Error("it is among the seeds that do not name it")
	}
	third := begin()
	server.SetHost("cluster.example", ips...)
	joinSource(t, third, "dns:cluster.example")
	awaitView(t, first, second, third)

	apart := begin()
	server.SetHost("cluster.example", ips[3])
	joinSource(t, apart, "dns:cluster.example")
	awaitView(t, apart)
	server.SetHost("cluster.example", ips...)
	apart.trySources()
	awaitView(t, nodes...)
	asked := server.Asked()
	apart.trySources()
	if server.Asked() == asked {
		t.Error("the source is not asked again")
	}
	for _, n := range nodes {
		if n.log.Lines("level=WARN") > 0 {
			t.Errorf("%s:\n%s", n.Addr.Name, &n.log)
		}
	}
}

// TestSourceHangs has the name server hang while a node joins: it joins by a name, and the
// log says once what is wrong.
func TestSourceHangs(t *testing.T) {
	t.Parallel()
	var server dnstest.Server
	server.SetMode(dnstest.Fails)
	host := testHost()
	a, b := start(t, "1@"+host), start(t, "2@"+host, withDNS(&server))
	joinSource(t, b, "dns:cluster.example", "1@"+host)
	awaitView(t, a, b)
	b.trySources()
	b.trySources()
	if n := b.log.Lines("found no nodes to join, will ask again", "dns:cluster.example", "name server"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &b.log)
	}
}

// TestSourceNamesNobody has a file of names come late, with a line that makes no sense. The
// node joins as soon as it can, says what is wrong once, and again when that changes.
func TestSourceNamesNobody(t *testing.T) {
	t.Parallel()
	host, s := testHost(), newSeeds(t)
	a, b := start(t, "1@"+host), start(t, "2@"+host)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := b.Join(ctx, s.source()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Join = %v", err)
	}
	if n := b.log.Lines("found no nodes to join, will ask again", "no such file"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &b.log)
	}
	s.write("oops\n2@" + host + "\n")
	joinSource(t, b, s.source()) // it is the only one
	awaitView(t, b)
	s.write("oops\n1@" + host + "\n9@" + host + "\n")
	for range 3 {
		b.trySources()
	}
	awaitView(t, a, b)
	if n := b.log.Lines("some nodes to join are left out", "seeds:1: "); n != 1 {
		t.Errorf("said %d times:\n%s", n, &b.log)
	}
	if n := b.log.Lines("cannot join, will try again", "9@"+host, "connection refused"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &b.log)
	}
	s.write("1@" + host + "\n\noh\n")
	b.trySources()
	if n := b.log.Lines("seeds:3: "); n != 1 {
		t.Errorf("said %d times:\n%s", n, &b.log)
	}
}

// TestSourceRefuses has all that a source names refuse a node for good: Join ends. One of a
// source that cannot be reached keeps it going.
func TestSourceRefuses(t *testing.T) {
	t.Parallel()
	host, s := testHost(), newSeeds(t)
	a, b := start(t, "1@"+host), start(t, "2@"+host, withCookie("the cookie of another cluster"))
	s.write("1@" + host + "\n" + a.Addr.HostPort() + "\n2@" + host + "\n")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.Join(ctx, s.source()); !errors.Is(err, wire.WrongCookie) || ctx.Err() != nil {
		t.Errorf("Join = %v", err)
	}
	s.write("1@" + host + "\n9@" + host + "\n")
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := b.Join(ctx, s.source()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Join = %v", err)
	}
}

// TestSourceApart disconnects a node that a source names: neither does it ask its source
// again, nor do others bring it back by theirs.
func TestSourceApart(t *testing.T) {
	t.Parallel()
	host, s := testHost(), newSeeds(t)
	a, b := start(t, "1@"+host), start(t, "2@"+host)
	s.write(a.Addr.HostPort() + "\n" + b.Addr.HostPort() + "\n")
	joinSource(t, b, s.source())
	joinSource(t, a, s.source())
	awaitView(t, a, b)
	if err := a.Remove(t.Context(), a.View().Peer(b.Addr.Name)); err != nil {
		t.Fatal(err)
	}
	awaitView(t, a)
	awaitView(t, b)
	b.trySources()
	a.trySources()
	a.trySources()
	awaitView(t, a)
	awaitView(t, b)
	if len(b.finders) > 0 || a.log.Lines("it was disconnected from a cluster") != 1 {
		t.Errorf("%d sources:\n%s", len(b.finders), &a.log)
	}
	if err := a.ConnectTo(t.Context(), b.Addr.Name.String()); err != nil {
		t.Fatal(err)
	}
	awaitView(t, a, b)
}

// TestSourceMoved has another node get the address that a source names.
func TestSourceMoved(t *testing.T) {
	t.Parallel()
	host, s := testHost(), newSeeds(t)
	a, b := start(t, "1@"+host), start(t, "2@"+host+":5000")
	s.write(b.Addr.HostPort() + "\n")
	joinSource(t, a, s.source())
	awaitView(t, a, b)
	b.Leave()
	b.close()
	awaitView(t, a)
	c := start(t, "3@"+host+":5000")
	a.trySources()
	awaitView(t, a, c)
}

// TestManySources has a Join name the same source again, and one that makes no sense.
func TestManySources(t *testing.T) {
	t.Parallel()
	s := newSeeds(t)
	n := start(t, "1@"+testHost())
	s.write(n.Addr.Name.String() + "\n")
	for range 2 * maxKnown {
		joinSource(t, n, s.source(), s.source())
	}
	if len(n.finders) != 1 {
		t.Errorf("%d sources", len(n.finders))
	}
	if err := n.Join(t.Context(), "dns:", "1@h"); err == nil || len(n.finders) != 1 {
		t.Errorf("Join = %v", err)
	}
	var more []string
	for i := range 2 * maxKnown {
		more = append(more, fmt.Sprintf("file:%s.%d", s.path, i))
	}
	if _, _, err := n.addSources(more); err != nil || len(n.finders) != maxKnown {
		t.Errorf("%d sources are kept, %v", len(n.finders), err)
	}
	if !discover.Is(more[0]) {
		t.Error(more[0])
	}
}
