package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/distproc/distproc/cmd/distproc/internal/netns"
	"github.com/distproc/distproc/wire/dnstest"
)

// TestAddresses has two hosts with an IPv4 and an IPv6 address each. One node is named
// after its IPv6 address and listens on all, the other after a DNS name that has both
// addresses; they find each other by IPv6 in DNS. All that takes an address takes each of
// them.
func TestAddresses(t *testing.T) {
	t.Parallel()
	n, err := netns.New(2)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("no hosts: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("this machine has no IPv6")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	six := func(i int) string { return fmt.Sprintf("2001:db8::%d", i) }
	for i, device := range []string{"bridge", "eth0", "eth0"} {
		must(n.IP(i, "addr", "add", six(i+10)+"/64", "dev", device, "nodad"))
		must(n.IP(i, "link", "set", "lo", "up"))
		must(n.NameServer(i, netns.Outside))
	}
	var server dnstest.Server
	server.SetHost("both.example", netip.MustParseAddr(n.Host(2)), netip.MustParseAddr(six(12)))
	server.SetHost("six.example", netip.MustParseAddr(six(11)), netip.MustParseAddr(six(12)))
	var socket net.PacketConn
	must(n.In(0, func() (err error) {
		socket, err = net.ListenPacket("udp", netns.Outside+":53")
		return err
	}))
	var serving sync.WaitGroup
	serving.Go(func() { server.ServePacket(socket) })
	t.Cleanup(func() {
		socket.Close()
		serving.Wait()
	})

	hosts := &machines{Net: n, t: t, home: t.TempDir()}
	logs := make([]*lockedText, 3)
	for i, args := range [][]string{
		1: {"--name", "1@[" + six(11) + "]", "--listen", "::", "--join", "dns:six.example"},
		2: {"--name", "2@both.example", "--port", "4371", "--join", "dns:six.example"},
	} {
		if i == 0 {
			continue
		}
		logs[i] = &lockedText{}
		cmd := hosts.command(i, launch{}, append([]string{"node", "--timing", "local"}, args...)...)
		cmd.Stderr = logs[i]
		must(cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
			if t.Failed() {
				t.Logf("%v:\n%s", args, logs[i])
			}
		})
	}
	want := fmt.Sprintf("[\"1@[%s]\", \"2@both.example\"]\n", six(11))
	for _, at := range []string{
		"1@[" + six(11) + "]", "[" + six(11) + "]:4371", n.Host(1) + ":4371",
		"2@both.example:4371", "both.example:4371", "[" + six(12) + "]:4371", n.Host(2) + ":4371",
	} {
		await(t, func() error {
			out, err := hosts.command(0, launch{}, "repl", "--attach", at, "-e", "print(nodes())").CombinedOutput()
			if err != nil || string(out) != want {
				return fmt.Errorf("%s: %s, %w", at, out, err)
			}
			return nil
		})
	}
	for i, said := range map[int]string{1: "advertised=[" + six(11) + "]:4371", 2: "advertised=both.example:4371"} {
		if logs[i].count("listening", "addr=[::]:4371", said) != 1 {
			t.Errorf("node %d does not say %q", i, said)
		}
	}
	out, err := hosts.command(0, launch{}, "bench", "--join", "dns:six.example:4371", "--requests", "200").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "errors      0\n") {
		t.Errorf("bench: %s, %v", out, err)
	}
}
