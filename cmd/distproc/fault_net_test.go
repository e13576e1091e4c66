package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// A faultNet is where the nodes of a run are, and what can break between them.
type faultNet interface {
	host(i int) string    // of node i
	enter(i int) []string // the words before a command that runs where node i does; 0 is where clients do
	strike(f plannedFault) error
	heal(f plannedFault) error
	move(f plannedFault, by int) error // a twin: see there
}

// twinHost is where the second node of a twin is.
const twinHost = faultNodes + 1

// A loopbackNet has all nodes at one address. Only resets can happen to it.
type loopbackNet struct {
	address string
	resets  bool // ss can do it
}

func (l loopbackNet) host(int) string              { return l.address }
func (l loopbackNet) enter(int) []string           { return nil }
func (l loopbackNet) heal(plannedFault) error      { return nil }
func (l loopbackNet) move(plannedFault, int) error { return nil }

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

var nets atomic.Int32 // of this process

// newNamespaces makes the namespaces, and removes them with the test. It skips the test where that is not
// permitted.
func newNamespaces(t *testing.T) *namespaceNet {
	n := &namespaceNet{prefix: fmt.Sprintf("distproc-%d-%d-", os.Getpid(), nets.Add(1)), blocked: map[[2]int]int{}, down: map[int]int{}}
	removeStale()
	t.Cleanup(func() {
		for i := range twinHost + 1 {
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
	for i := 1; i <= twinHost; i++ {
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
		n.ip(0, "link", "add", port(i), "type", "veth", "peer", "name", "eth0", "address", mac(i), "netns", n.namespace(i)),
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
func (n *namespaceNet) change(f plannedFault, by int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var steps steps
	switch i := f.nodes[0]; f.kind {
	case faultReset:
		if by > 0 {
			args := append(n.enter(i), "ss", "-K", "-H", "-t", "dst 192.0.2.0/24")
			steps.add(func() error { return command(args[0], args[1:]...) })
		}
	case faultCut:
		n.down[i] += by
		switch {
		case by > 0 && n.down[i] == 1:
			steps.add(func() error { return n.ip(0, "link", "set", port(i), "down") })
		case by < 0 && n.down[i] == 0:
			steps.add(func() error { return n.ip(0, "link", "set", port(i), "up") })
		}
	case faultTwin:
		n.changeTwin(&steps, f, by)
	default:
		for a := 1; a <= faultNodes; a++ {
			for b := 1; b <= faultNodes; b++ {
				if f.blocks(a, b) {
					steps.add(n.block(f, a, b, by))
				}
			}
		}
	}
	return steps.run()
}

// blocks reports whether nothing of node a reaches node b in a partition.
func (f plannedFault) blocks(a, b int) bool {
	hasA, hasB := slices.Contains(f.nodes, a), slices.Contains(f.nodes, b)
	switch f.kind {
	case faultSplit:
		return hasA != hasB
	case faultPair:
		return a != b && hasA && hasB
	case faultMute:
		return hasA && !hasB
	case faultDeaf:
		return !hasA && hasB
	}
	return false
}

// steps are done at once, as each is a program that takes a while.
type steps []func() error

func (s *steps) add(step func() error) {
	if step != nil {
		*s = append(*s, step)
	}
}

func (s steps) run() error {
	errs := make([]error, len(s))
	var wg sync.WaitGroup
	for i, step := range s {
		wg.Go(func() { errs[i] = step() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// block returns what lets no packet from a reach b, or lets them again: the route is gone, or they go to a station that
// does not exist. It returns nil if there is nothing to do. n.mu is held.
func (n *namespaceNet) block(f plannedFault, a, b, by int) func() error {
	link := [2]int{a, b}
	n.blocked[link] += by
	switch {
	case by > 0 && n.blocked[link] == 1 && f.how == "refused":
		return func() error { return n.ip(a, "route", "add", "blackhole", n.host(b)+"/32") }
	case by > 0 && n.blocked[link] == 1:
		return func() error { return n.neighbour(a, n.host(b), "02:00:00:00:00:99") }
	case n.blocked[link] > 0:
		return nil
	}
	return func() error { // whichever it was
		route := n.ip(a, "route", "del", "blackhole", n.host(b)+"/32")
		neigh := n.ip(a, "neigh", "del", n.host(b), "dev", "eth0")
		if route != nil && neigh != nil {
			return errors.Join(route, neigh)
		}
		return nil
	}
}
