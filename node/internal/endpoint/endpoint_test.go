package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestParse has operators say where a node listens, and where others dial it.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		name              string
		port              int
		listen, advertise string

		wantListen, wantDial string
	}{
		{"1@10.0.0.1", 0, "", "", "10.0.0.1:4371", "10.0.0.1:4371"},
		{"1@10.0.0.1:5000", 0, "", "", "10.0.0.1:5000", "10.0.0.1:5000"},
		{"1@10.0.0.1:5000", 6000, "", "", "10.0.0.1:6000", "10.0.0.1:6000"},
		{"1@203.0.113.5", 0, "0.0.0.0", "", "0.0.0.0:4371", "203.0.113.5:4371"},
		{"1@203.0.113.5", 0, "172.17.0.2:7000", "", "172.17.0.2:7000", "203.0.113.5:4371"},
		{"1@203.0.113.5", 6000, "172.17.0.2:6000", "", "172.17.0.2:6000", "203.0.113.5:6000"},
		{"1@172.17.0.2", 0, "", "203.0.113.5:30001", "172.17.0.2:4371", "203.0.113.5:30001"},
		{"1@172.17.0.2", 0, "", "lb.example", "172.17.0.2:4371", "lb.example:4371"},
		{"1@172.17.0.2", 0, ":7000", "LB.example:80", ":7000", "lb.example:80"},
		{"1@[::1]", 0, "", "", "[::1]:4371", "[::1]:4371"},
		{"1@[2001:db8::1]", 0, "::", "2001:db8::2", "[::]:4371", "[2001:db8::2]:4371"},
		{"1@[2001:db8::1]", 0, "[::]:7000", "[2001:db8::2]:80", "[::]:7000", "[2001:db8::2]:80"},
		{"1@[2001:db8::1]", 0, "fe80::1%eth0", "", "[fe80::1%eth0]:4371", "[2001:db8::1]:4371"},
		{"1@h", 0, "127.0.0.1", "h", "127.0.0.1:4371", "h:4371"},
	} {
		e, err := Parse(c.name, c.port, c.listen, c.advertise)
		if err != nil || e.Listen != c.wantListen || e.Addr.HostPort() != c.wantDial {
			t.Errorf("%+v: %+v, %v", c, e, err)
		}
	}
}

// TestParseErrors checks that a mistake is answered by one line that names the flag.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		name              string
		port              int
		listen, advertise string
		want              string
	}{
		{"1", 0, "", "", "NAME@HOST"},
		{"1@h", -1, "", "", "from 1 to 65535"},
		{"1@h", 1 << 16, "", "", "from 1 to 65535"},
		{"1@0.0.0.0", 0, "", "", "pass --listen 0.0.0.0"},
		{"1@[::]", 0, "", "", "pass --listen ::"},
		{"1@h", 0, "localhost", "", "--listen: \"localhost\": ADDR is an IP address"},
		{"1@h", 0, "0.0.0.0:0", "", "PORT is a number"},
		{"1@h", 0, ":", "", "PORT is a number"},
		{"1@h", 0, "::1:x", "", "--listen: "},
		{"1@h", 0, "[::1", "", "--listen: "},
		{"1@h", 5000, "0.0.0.0:6000", "", "give the port that others dial to --advertise"},
		{"1@h", 0, "", "0.0.0.0", "--advertise: nobody can dial 0.0.0.0"},
		{"1@h", 0, "", "[::]:80", "--advertise: nobody can dial ::"},
		{"1@h", 0, "", ":80", "--advertise: "},
		{"1@h", 0, "", "fe80::1%eth0", "--advertise: "},
		{"1@h", 0, "", "a b\x1b", "--advertise: "},
		{"1@h", 0, "", strings.Repeat("x", 1000), "--advertise: "},
	} {
		e, err := Parse(c.name, c.port, c.listen, c.advertise)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 250 || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%+v: %+v, %v", c, e, err)
		}
	}
}

// TestChoose has HOST be a DNS name with addresses of this machine, or of others.
func TestChoose(t *testing.T) {
	own := []netip.Addr{addr("127.0.0.1"), addr("10.0.0.5"), addr("10.1.0.5"), addr("2001:db8::5")}
	for _, c := range []struct {
		found []string
		want  string
		why   string
	}{
		{[]string{"10.0.0.5"}, "10.0.0.5:4371", ""},
		{[]string{"::ffff:10.0.0.5", "10.9.9.9"}, "10.0.0.5:4371", ""},
		{[]string{"10.0.0.5", "10.1.0.5"}, ":4371", ""},
		{[]string{"10.0.0.5", "2001:db8::5"}, ":4371", ""},
		{[]string{"127.0.1.1", "10.0.0.5"}, "10.0.0.5:4371", ""},
		{[]string{"::1", "127.0.0.1"}, "127.0.0.1:4371", "other machines cannot reach"},
		{[]string{"203.0.113.7"}, ":4371", "no address of this machine"},
	} {
		e, err := Parse("1@h.example", 0, "", "")
		if err != nil {
			t.Fatal(err)
		}
		var found []netip.Addr
		for _, s := range c.found {
			found = append(found, addr(s))
		}
		if why := e.choose(found, own); e.Listen != c.want || !strings.Contains(why, c.why) || (why == "") != (c.why == "") {
			t.Errorf("%v: %s, %q; want %s, %q", c.found, e.Listen, why, c.want, c.why)
		}
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// TestResolve looks up names of this machine, of none, and none at all.
func TestResolve(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ listen, why string }{
		"1@localhost":             {"127.0.0.1:4371", ""},
		"1@no-such-host.invalid":  {":4371", "no-such-host.invalid cannot be looked up here: "},
		"1@203.0.113.1":           {"203.0.113.1:4371", ""},
		"1@[2001:db8::1]:80":      {"[2001:db8::1]:80", ""},
		"1@no-such-host.invalid.": {},
	} {
		e, err := Parse(name, 0, "", "")
		if want.listen == "" {
			if err == nil {
				t.Errorf("%s is a name", name)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if why := e.Resolve(t.Context()); e.Listen != want.listen || !strings.HasPrefix(why, want.why) || (why == "") != (want.why == "") {
			t.Errorf("%s: %s, %q", name, e.Listen, why)
		}
		given, err := Parse(name, 0, "10.0.0.1", "")
		if err != nil {
			t.Fatal(err)
		}
		if why := given.Resolve(t.Context()); why != "" || !strings.HasPrefix(given.Listen, "10.0.0.1:") {
			t.Errorf("%s: listens on %s, %q, although it is told where", name, given.Listen, why)
		}
	}
	over, end := context.WithCancel(t.Context())
	end()
	e, _ := Parse("1@h.example", 0, "", "")
	if why := e.Resolve(over); e.Listen != ":4371" || why == "" {
		t.Errorf("without time: %s, %q", e.Listen, why)
	}
	own, err := addresses()
	if err != nil || !slices.Contains(own, addr("127.0.0.1")) {
		t.Errorf("this machine has %v, %v", own, err)
	}
}

func TestListenError(t *testing.T) {
	failed := func(e syscall.Errno) error {
		return &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", e)}
	}
	for _, c := range []struct {
		name, listen string
		err          error
		want         string
	}{
		{"1@h", "10.0.0.1", failed(syscall.EADDRINUSE), "port 4371 of 10.0.0.1 is taken, perhaps by another 1@h; pass --port for another one"},
		{"1@h", ":80", failed(syscall.EADDRINUSE), "port 80 of this machine is taken, perhaps by another 1@h; pass --port for another one"},
		{"1@10.0.0.1", "", failed(syscall.EADDRNOTAVAIL), "10.0.0.1 is no address of this machine; if others reach the node there, as behind NAT, pass --listen 0.0.0.0"},
		{"1@[2001:db8::1]", "", failed(syscall.EADDRNOTAVAIL), "2001:db8::1 is no address of this machine; if others reach the node there, as behind NAT, pass --listen ::"},
		{"1@h", "10.0.0.1", failed(syscall.EADDRNOTAVAIL), "--listen: 10.0.0.1 is no address of this machine; choose one of its own, or 0.0.0.0 for all"},
		{"1@h", "10.0.0.1:80", failed(syscall.EACCES), "listen on 10.0.0.1:80: bind: permission denied"},
		{"1@h", "10.0.0.1:80", errors.New("so"), "listen on 10.0.0.1:80: so"},
	} {
		e, err := Parse(c.name, 0, c.listen, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(e.ListenError(c.err)); got != c.want {
			t.Errorf("%s: %s", c.want, got)
		}
	}
}
