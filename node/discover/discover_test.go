package discover

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/wire/dnstest"
)

func addrs(list ...string) (ips []netip.Addr) {
	for _, s := range list {
		ips = append(ips, netip.MustParseAddr(s))
	}
	return ips
}

func parse(t *testing.T, s string, server *dnstest.Server) *Source {
	t.Helper()
	o := Options{Port: 4371, Command: source.Command}
	if server != nil {
		o.Resolver = server.Resolver()
	}
	source, err := Parse(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// check asks a source, and compares what it finds and says.
func check(t *testing.T, s *Source, want []string, why string) {
	t.Helper()
	got, err := s.Find(t.Context())
	text := ""
	if err != nil {
		text = err.Error()
	}
	if !slices.Equal(got, want) || text != why {
		t.Errorf("%s finds %q, %q; want %q, %q", s, got, text, want, why)
	}
}

func TestDNS(t *testing.T) {
	t.Parallel()
	var server dnstest.Server
	server.SetHost("cluster.example", addrs("10.0.0.2", "10.0.0.1", "2001:db8::1", "10.0.0.1")...)
	server.SetAlias("alias.example", "cluster.example")
	three := []string{"10.0.0.1:4371", "10.0.0.2:4371", "[2001:db8::1]:4371"}
	s := parse(t, "dns:cluster.example", &server)
	check(t, s, three, "")
	check(t, parse(t, "dns:CLUSTER.example.", &server), three, "")
	check(t, parse(t, "dns:alias.example", &server), three, "")
	check(t, parse(t, "dns:cluster.example:80", &server), []string{"10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80"}, "")
	server.SetHost("cluster.example", addrs("10.0.0.3")...)
	check(t, s, []string{"10.0.0.3:4371"}, "")
	server.SetHost("cluster.example")
	check(t, s, nil, "no such host")
	if s, err := Parse("dns:cluster.example", Options{}); err == nil || !strings.Contains(err.Error(), "write dns:HOST:PORT") {
		t.Errorf("without a port: %v, %v", s, err)
	}
}

func TestSRV(t *testing.T) {
	t.Parallel()
	var server dnstest.Server
	const name = "_distproc._tcp.example.com"
	server.SetSRV(name, net.SRV{Target: "A.example.com.", Port: 4371}, net.SRV{Target: "b.example.com.", Port: 30002, Priority: 1})
	s := parse(t, "srv:"+name, &server)
	check(t, s, []string{"a.example.com:4371", "b.example.com:30002"}, "")
	server.SetSRV(name, net.SRV{Target: "a.example.com.", Port: 4371}, net.SRV{Target: "b.example.com.", Port: 0}, net.SRV{Target: ".", Port: 1},
		net.SRV{Target: "a\\b.example.com.", Port: 5})
	check(t, s, []string{"a.example.com:4371"}, "some of its records have no host or no port; they are left out")
	server.SetSRV(name)
	check(t, s, nil, "no such host")
}

// TestLies has a name server hang, fail, answer with rubbish, with aliases in a circle, and
// with thousands of addresses: it costs at most the time-out, and the error is the same each
// time.
func TestLies(t *testing.T) {
	t.Parallel()
	var server dnstest.Server
	server.SetHost("cluster.example", addrs("10.0.0.1")...)
	server.SetAlias("a.example", "b.example")
	server.SetAlias("b.example", "a.example")
	var many []netip.Addr
	for i := range 4000 { // as many as fit into a message
		many = append(many, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	server.SetHost("many.example", many...)
	for _, c := range []struct {
		mode      dnstest.Mode
		host, why string
	}{
		{dnstest.Hangs, "cluster.example", "the name server does not answer"},
		{dnstest.Fails, "cluster.example", "the name server cannot be asked, or has no answer now"},
		{dnstest.Babbles, "cluster.example", "cannot unmarshal DNS message"},
		{dnstest.Answers, "a.example", "no such host"},
	} {
		server.SetMode(c.mode)
		s := parse(t, "dns:"+c.host+".", &server)
		s.timeout = 200 * time.Millisecond
		for range 3 {
			check(t, s, nil, c.why)
		}
	}
	server.SetMode(dnstest.Answers)
	check(t, parse(t, "dns:cluster.example", &server), []string{"10.0.0.1:4371"}, "")
	s := parse(t, "dns:many.example", &server)
	first, err := s.Find(t.Context())
	again, _ := s.Find(t.Context())
	if len(first) != MaxFound || err == nil || !strings.Contains(err.Error(), "more than 256 nodes") {
		t.Errorf("of 4000 addresses %d are returned, %v", len(first), err)
	}
	if slices.Equal(first, again) {
		t.Error("it is always the same ones")
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "names")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := parse(t, "file:"+path, nil)
	check(t, s, nil, "open "+path+": no such file or directory")
	write("\ufeff# seeds\n1@10.0.0.1\r\n\n  2@h:80 # the second\n10.0.0.3:4371\n#4@h\n[::1]:80")
	check(t, s, []string{"10.0.0.3:4371", "1@10.0.0.1", "2@h:80", "[::1]:80"}, "")
	write("1@h\n2@h 3@h\n")
	check(t, s, []string{"1@h"}, path+`:2: node name "2@h 3@h": HOST is an IP address, an [IPv6] address or a DNS name; write NAME@HOST, such as 1@127.0.0.1`)
	write("\x00\x1b[31m\n1@h\ndns:cluster.example\n")
	if got, err := s.Find(t.Context()); !slices.Equal(got, []string{"1@h"}) || err == nil || !strings.HasSuffix(err.Error(), "; 1 more line makes no sense, too") ||
		strings.ContainsAny(err.Error(), "\x00\x1b\n") {
		t.Errorf("%q, %v", got, err)
	}
	write(strings.Repeat("x\n", 1000))
	if _, err := s.Find(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "; 999 more lines make no sense, too") || len(err.Error()) > 400 {
		t.Error(err)
	}
	write("# nobody yet\n")
	check(t, s, nil, "it names no node")
	write(strings.Repeat("#", maxText+1))
	if _, err := s.Find(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Error(err)
	}
	var b strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&b, "%d@h\n", i)
	}
	write(b.String())
	if got, err := s.Find(t.Context()); len(got) != MaxFound || err == nil {
		t.Errorf("%d of 10,000 names, %v", len(got), err)
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("it needs a shell of Unix")
	}
	check(t, parse(t, `exec:printf '1@h\n# x\n2@h, 3@h\n'`, nil), []string{"1@h"},
		`its output:3: node name "2@h, 3@h": HOST is an IP address, an [IPv6] address or a DNS name; write NAME@HOST, such as 1@127.0.0.1`)
	check(t, parse(t, `exec:sh -c 'echo no such zone >&2; exit 3'`, nil), nil, "sh: exit status 3: no such zone")
	check(t, parse(t, `exec:true`, nil), nil, "it names no node")
	if got, err := parse(t, "exec:cat /dev/zero", nil).Find(t.Context()); err == nil || !strings.Contains(err.Error(), "it printed more than") {
		t.Errorf("%q, %v", got, err)
	}
	if s, err := Parse("exec:true", Options{}); err == nil {
		t.Errorf("%s runs a program, although none is permitted", s)
	}
	slow := parse(t, "exec:sleep 600", nil)
	slow.timeout = 300 * time.Millisecond
	check(t, slow, nil, "killed: it did not end within 300ms")
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"dns:", "dns::80", "dns:h:0", "dns:a b", "dns:10.0.0.1", "dns:[::1]:80", "dns:" + strings.Repeat("x", 1000), "dns:..",
		"srv:", "srv:a b", "srv:_distproc._tcp.h:80", "file:", "file:a\x00b", "exec:", "exec:no-such-program-72", "exec:echo {id}", "etcd:x", "1@h", "",
	} {
		src, err := Parse(s, Options{Port: 4371, Command: source.Command})
		if err == nil || len(err.Error()) > 300 || strings.ContainsAny(err.Error(), "\x00\n") {
			t.Errorf("Parse(%.20q) = %v, %v", s, src, err)
		}
	}
	for s, want := range map[string]bool{"dns:h": true, "srv:": true, "file:x": true, "exec:a b": true, "1@h": false, "h:80": false, "[::1]:80": false, "": false, "DNS:h": false} {
		if Is(s) != want {
			t.Errorf("Is(%q) = %v", s, !want)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("1@h\n#x\nh:80\n")
	f.Add("\ufeff1@[::1]:5 # x\r\n\x00")
	f.Fuzz(func(t *testing.T, s string) {
		targets, err := readLines("names", s)
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%q: %v", s, err)
		}
		again, err := readLines("names", strings.Join(targets, "\n"))
		if err != nil || !slices.Equal(again, targets) {
			t.Errorf("%q: %q is read as %q, %v", s, targets, again, err)
		}
	})
}
