// Package netns gives tests and fault runs a small network of hosts in Linux network
// namespaces, whose links can be cut one way or both. Host i has the address 192.0.2.i;
// host 0 is where clients are, with the bridge that joins the others. It needs the
// program ip, and the right to make namespaces.
package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// A Net is a set of hosts. Its methods may be called concurrently.
type Net struct {
	prefix string // of the names of the namespaces
	hosts  int

	mu      sync.Mutex
	blocked map[Link]int // number of cuts of a link; guarded by mu
	down    map[int]int  // number of times that a host is off the bridge; guarded by mu
}

// Outside is the address of host 0.
const Outside = "192.0.2.254"

// A Link is a way from one host to another, in that direction only.
type Link struct{ From, To int }

// Both returns the links between two hosts.
func Both(a, b int) []Link { return []Link{{a, b}, {b, a}} }

var nets atomic.Int32 // made by this process, which its namespaces are named after

// New makes host 0 and hosts 1 to n. Its error is [errors.ErrUnsupported] where
// namespaces are not permitted.
func New(n int) (*Net, error) {
	removeStale()
	net := &Net{
		prefix: fmt.Sprintf("distproc-%d-%d-", os.Getpid(), nets.Add(1)), hosts: n,
		blocked: map[Link]int{}, down: map[int]int{},
	}
	err := Run("ip", "netns", "add", net.namespace(0))
	for _, step := range [][]string{
		{"link", "add", "bridge", "type", "bridge"},
		{"addr", "add", Outside + "/24", "dev", "bridge"},
		{"link", "set", "bridge", "up"},
	} {
		if err == nil {
			err = net.IP(0, step...)
		}
	}
	if err != nil {
		err = fmt.Errorf("network namespaces take root and the program ip: %w: %w", errors.ErrUnsupported, err)
	}
	for i := 1; i <= n && err == nil; i++ {
		err = net.add(i)
	}
	if err != nil {
		net.Close()
		return nil, err
	}
	return net, nil
}

// add makes host i and joins it to the bridge.
func (n *Net) add(i int) error {
	return errors.Join(
		Run("ip", "netns", "add", n.namespace(i)),
		n.IP(0, "link", "add", port(i), "type", "veth", "peer", "name", "eth0", "address", MAC(i), "netns", n.namespace(i)),
		n.IP(0, "link", "set", port(i), "master", "bridge", "up"),
		n.IP(i, "addr", "add", n.Host(i)+"/24", "dev", "eth0"),
		n.IP(i, "link", "set", "eth0", "up"),
		n.IP(i, "link", "set", "lo", "up"),
	)
}

// NameServer has the programs that Enter runs on a host ask a name server, and no other.
func (n *Net) NameServer(i int, address string) error {
	dir := n.settings(i)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(dir+"/resolv.conf", []byte("nameserver "+address+"\n"), 0o600)
}

// settings returns the folder whose files the program ip mounts over those of /etc on host i.
func (n *Net) settings(i int) string { return "/etc/netns/" + n.namespace(i) }

// Close removes the hosts. Processes in them go on, without a network.
func (n *Net) Close() {
	for i := range n.hosts + 1 {
		_ = Run("ip", "netns", "del", n.namespace(i)) // it may not be there
		_ = os.RemoveAll(n.settings(i))
	}
}

// removeStale removes the namespaces of processes that were killed.
func removeStale() {
	entries, _ := os.ReadDir("/run/netns")
	for _, e := range entries {
		var pid, i int
		if n, _ := fmt.Sscanf(e.Name(), "distproc-%d-%d", &pid, &i); n == 2 && !exists(pid) {
			_ = Run("ip", "netns", "del", e.Name()) // another test may remove it, too
			_ = os.RemoveAll("/etc/netns/" + e.Name())
		}
	}
}

func exists(pid int) bool {
	p, err := os.FindProcess(pid)
	return err == nil && !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

func (n *Net) namespace(i int) string { return fmt.Sprintf("%s%d", n.prefix, i) }

func port(i int) string { return fmt.Sprintf("port%d", i) }

// Host returns the address of host i.
func (n *Net) Host(i int) string { return fmt.Sprintf("192.0.2.%d", i) }

// MAC returns the hardware address of host i.
func MAC(i int) string { return fmt.Sprintf("02:00:00:00:00:%02x", i) }

// Enter returns the words to put before a command so that it runs on host i.
func (n *Net) Enter(i int) []string { return []string{"ip", "netns", "exec", n.namespace(i)} }

// IP runs the program ip on host i.
func (n *Net) IP(i int, args ...string) error {
	return Run("ip", append([]string{"-n", n.namespace(i)}, args...)...)
}

// Run runs a command. Its error has what the command printed.
func Run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// Cut has packets on the links get lost. If refused is true, the sender's system says at
// once that there is no route. A link that was cut twice must be mended twice.
func (n *Net) Cut(refused bool, links ...Link) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var steps []func() error
	for _, l := range links {
		if n.blocked[l]++; n.blocked[l] > 1 {
			continue
		}
		steps = append(steps, func() error {
			if refused {
				return n.IP(l.From, "route", "add", "blackhole", n.Host(l.To)+"/32")
			}
			return n.SetNeighbour(l.From, n.Host(l.To), MAC(nobody))
		})
	}
	return AtOnce(steps...)
}

const nobody = 0x99 // number of a host that does not exist

// Mend undoes Cut.
func (n *Net) Mend(links ...Link) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var steps []func() error
	for _, l := range links {
		if n.blocked[l]--; n.blocked[l] > 0 {
			continue
		}
		steps = append(steps, func() error { // whichever it was
			route := n.IP(l.From, "route", "del", "blackhole", n.Host(l.To)+"/32")
			neighbour := n.ForgetNeighbour(l.From, n.Host(l.To))
			if route != nil && neighbour != nil {
				return errors.Join(route, neighbour)
			}
			return nil
		})
	}
	return AtOnce(steps...)
}

// Unplug takes host i off the bridge. A host that was unplugged twice must be plugged in
// twice.
func (n *Net) Unplug(i int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down[i]++; n.down[i] > 1 {
		return nil
	}
	return n.IP(0, "link", "set", port(i), "down")
}

// Plug undoes Unplug.
func (n *Net) Plug(i int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down[i]--; n.down[i] > 0 {
		return nil
	}
	return n.IP(0, "link", "set", port(i), "up")
}

// Slow has the link of host i carry little in both directions, and delay it by up to 4 s. It
// takes the program tc. Fast undoes it.
func (n *Net) Slow(i int) error {
	return n.shape(i, "add", "root", "tbf", "rate", "100kbit", "burst", "5kb", "latency", "4s")
}

// Fast undoes Slow.
func (n *Net) Fast(i int) error { return n.shape(i, "del", "root") }

func (n *Net) shape(i int, what string, how ...string) error {
	at := func(host int, dev string) error {
		return Run("tc", append([]string{"-n", n.namespace(host), "qdisc", what, "dev", dev}, how...)...)
	}
	return errors.Join(at(i, device(i)), at(0, port(i)))
}

// Reset resets all TCP connections of host i.
func (n *Net) Reset(i int) error {
	args := append(n.Enter(i), "ss", "-K", "-H", "-t", "dst 192.0.2.0/24")
	return Run(args[0], args[1:]...)
}

// SetNeighbour fixes the hardware address to which host i sends for an address.
func (n *Net) SetNeighbour(i int, address, mac string) error {
	return n.IP(i, "neigh", "replace", address, "lladdr", mac, "nud", "permanent", "dev", device(i))
}

// ForgetNeighbour undoes SetNeighbour: the host asks who has the address.
func (n *Net) ForgetNeighbour(i int, address string) error {
	return n.IP(i, "neigh", "del", address, "dev", device(i))
}

func device(i int) string {
	if i == 0 {
		return "bridge"
	}
	return "eth0"
}

// AtOnce runs steps concurrently, as each is a program that takes a while.
func AtOnce(steps ...func() error) error {
	errs := make([]error, len(steps))
	var wg sync.WaitGroup
	for i, step := range steps {
		wg.Go(func() { errs[i] = step() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
