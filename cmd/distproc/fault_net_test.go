package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A faultNet is where the nodes of a run are, and what can break between them.
type faultNet interface {
	host(i int) string    // of node i
	enter(i int) []string // the words before a command that runs where node i does; 0 is where clients do
	strike(f plannedFault) error
	heal(f plannedFault) error
}

// A loopbackNet has all nodes at one address. Only resets can happen to it.
type loopbackNet struct {
	address string
	resets  bool // ss can do it
}

func (l loopbackNet) host(int) string         { return l.address }
func (l loopbackNet) enter(int) []string      { return nil }
func (l loopbackNet) heal(plannedFault) error { return nil }

func (l loopbackNet) strike(f plannedFault) error {
	if !l.resets {
		return nil
	}
	return command("ss", resetArgs(l.address, f.nodes[0])...)
}

// resetArgs makes ss reset all TCP connections of node i.
func resetArgs(host string, i int) []string {
	filter := fmt.Sprintf("( src %s and sport = :%d ) or ( dst %[1]s and dport = :%[2]d )", host, 4370+i)
	return []string{"-K", "-H", "-t", filter}
}

// canReset reports whether ss -K works here: it takes privileges, and a kernel with INET_DIAG_DESTROY.
func canReset(t *testing.T) bool {
	l, err := net.Listen("tcp", testHost()+":4371")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	host, _, _ := net.SplitHostPort(l.Addr().String())
	if err := command("ss", resetArgs(host, 1)...); err == nil {
		if _, err = c.Write([]byte{1}); err != nil {
			return true
		}
	}
	t.Log("no resets of connections: ss -K has no effect here")
	return false
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// A namespaceNet has each node in a network namespace of its own, at 192.0.2.1 and so on, and the clients in
// another one, with the bridge that connects them.
type namespaceNet struct {
	prefix string

	mu      sync.Mutex
	blocked map[[2]int]int // by how many faults what the first says does not reach the second; guarded by mu
	down    map[int]int    // by how many faults a link is; guarded by mu
}

// newNamespaces makes the namespaces, and removes them with the test. It skips the test where that is not
// permitted.
func newNamespaces(t *testing.T) *namespaceNet {
	n := &namespaceNet{prefix: fmt.Sprintf("distproc-%d-", os.Getpid()), blocked: map[[2]int]int{}, down: map[int]int{}}
	removeStale()
	t.Cleanup(func() {
		for i := range faultNodes + 1 {
			command("ip", "netns", "del", n.namespace(i))
		}
	})
	if err := command("ip", "netns", "add", n.namespace(0)); err != nil {
		t.Skipf("no partitions: %v", err)
	}
	steps := [][]string{
		{"link", "add", "bridge", "type", "bridge"},
		{"addr", "add", "192.0.2.254/24", "dev", "bridge"},
		{"link", "set", "bridge", "up"},
	}
	for _, step := range steps {
		if err := n.ip(0, step...); err != nil {
			t.Skipf("no partitions: %v", err)
		}
	}
	for i := 1; i <= faultNodes; i++ {
		if err := n.add(i); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// removeStale removes the namespaces of tests that were killed.
func removeStale() {
	entries, _ := os.ReadDir("/run/netns")
	for _, e := range entries {
		var pid, i int
		if n, _ := fmt.Sscanf(e.Name(), "distproc-%d-%d", &pid, &i); n == 2 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			command("ip", "netns", "del", e.Name())
		}
	}
}

// add makes node i's namespace and connects it to the bridge.
func (n *namespaceNet) add(i int) error {
	return errors.Join(
		command("ip", "netns", "add", n.namespace(i)),
		n.ip(0, "link", "add", port(i), "type", "veth", "peer", "name", "eth0", "netns", n.namespace(i)),
		n.ip(0, "link", "set", port(i), "master", "bridge", "up"),
		n.ip(i, "addr", "add", n.host(i)+"/24", "dev", "eth0"),
		n.ip(i, "link", "set", "eth0", "up"),
		n.ip(i, "link", "set", "lo", "up"),
	)
}

func port(i int) string { return fmt.Sprintf("port%d", i) }

func (n *namespaceNet) namespace(i int) string { return fmt.Sprintf("%s%d", n.prefix, i) }

func (n *namespaceNet) ip(i int, args ...string) error {
	return command("ip", append([]string{"-n", n.namespace(i)}, args...)...)
}

func (n *namespaceNet) host(i int) string { return fmt.Sprintf("192.0.2.%d", i) }

func (n *namespaceNet) enter(i int) []string { return []string{"ip", "netns", "exec", n.namespace(i)} }

func (n *namespaceNet) strike(f plannedFault) error { return n.change(f, 1) }

func (n *namespaceNet) heal(f plannedFault) error { return n.change(f, -1) }

// change adds 1 to, or -1 from, the faults of the links concerned.
func (n *namespaceNet) change(f plannedFault, by int) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch i := f.nodes[0]; f.kind {
	case faultReset:
		if by > 0 {
			args := append(n.enter(i), "ss", "-K", "-H", "-t", "dst 192.0.2.0/24")
			err = command(args[0], args[1:]...)
		}
	case faultCut:
		n.down[i] += by
		switch {
		case by > 0 && n.down[i] == 1:
			err = n.ip(0, "link", "set", port(i), "down")
		case by < 0 && n.down[i] == 0:
			err = n.ip(0, "link", "set", port(i), "up")
		}
	case faultSplit:
		for _, a := range f.nodes {
			for b := 1; b <= faultNodes; b++ {
				if b != f.nodes[0] && b != f.nodes[1] {
					err = errors.Join(err, n.block(f, a, b, by), n.block(f, b, a, by))
				}
			}
		}
	case faultMute, faultDeaf:
		for j := 1; j <= faultNodes; j++ {
			switch {
			case j == i:
			case f.kind == faultMute:
				err = errors.Join(err, n.block(f, i, j, by))
			default:
				err = errors.Join(err, n.block(f, j, i, by))
			}
		}
	}
	return err
}

// block lets no packet from a reach b, or lets them again: the route is gone, or they go to a station that does
// not exist.
func (n *namespaceNet) block(f plannedFault, a, b, by int) error {
	link := [2]int{a, b}
	n.blocked[link] += by
	switch {
	case by > 0 && n.blocked[link] == 1 && f.how == "refused":
		return n.ip(a, "route", "add", "blackhole", n.host(b)+"/32")
	case by > 0 && n.blocked[link] == 1:
		return n.ip(a, "neigh", "replace", n.host(b), "lladdr", "02:00:00:00:00:99", "nud", "permanent", "dev", "eth0")
	case n.blocked[link] > 0:
		return nil
	}
	// Whichever it was.
	route := n.ip(a, "route", "del", "blackhole", n.host(b)+"/32")
	neigh := n.ip(a, "neigh", "del", n.host(b), "dev", "eth0")
	if route != nil && neigh != nil {
		return errors.Join(route, neigh)
	}
	return nil
}
