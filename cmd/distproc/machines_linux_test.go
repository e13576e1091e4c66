package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/distproc/distproc/cmd/distproc/internal/balancer"
	"github.com/distproc/distproc/cmd/distproc/internal/netns"
	"github.com/distproc/distproc/wire/dnstest"
)

// machines are hosts on each of which a node runs behind a forwarder, as in a container
// whose port is published:
//
//   - The node listens on innerHost, which all machines have for themselves, so nobody
//     else can dial it.
//   - Others reach it at the public address of the machine, and at another port, where a
//     forwarder takes connections.
//   - The machine dials others from an address on which nothing listens.
//   - All ask a name server of the test, which knows the public addresses as clusterHost.
//
// A test starts nodes with run, puts load on them with begin, and rolls them one by one.
type machines struct {
	*netns.Net
	t      *testing.T
	size   int
	dns    dnstest.Server
	web    string // host of this process at which the gateways are, too: see httpAddr
	home   string // HOME of all commands
	client launch // how those that are no nodes run; DISTPROC_COOKIE has the cookie of all machines
	states []string
	nodes  []*machineNode // by number; nodes[0] is nil
}

const (
	innerHost   = "10.0.0.2"
	innerPort   = 4371
	publicPort  = 5001
	clusterHost = "cluster.example"
)

// A launch says which program runs on a machine, and how.
type launch struct {
	program string   // its path; this test's distproc
	args    []string // besides those that every node of machines has
	env     []string
}

// A machineNode is a node that runs on a machine.
type machineNode struct {
	cmd  *exec.Cmd
	log  *lockedText
	done chan error // has the result of the process
}

// newMachines makes machines 1 to size, and removes them with the test.
func newMachines(t *testing.T, size int) *machines {
	t.Helper()
	n, err := netns.New(2 * size) // machine i is host i, and its public address that of host size+i
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("no machines: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	m := &machines{Net: n, t: t, size: size, web: testHost(), home: t.TempDir(), states: make([]string, size+1), nodes: make([]*machineNode, size+1)}
	var public []netip.Addr
	for i := 1; i <= size; i++ {
		m.states[i] = t.TempDir()
		m.must(n.IP(i, "addr", "add", innerHost+"/32", "dev", "lo"))
		m.must(n.NameServer(i, netns.Outside))
		m.forward(m.listen(size+i, m.public(i)), i, fmt.Sprintf("%s:%d", innerHost, innerPort))
		web, err := net.Listen("tcp", m.httpAddr(i))
		m.must(err)
		m.forward(web, i, innerHost+":8080")
		public = append(public, netip.MustParseAddr(n.Host(size+i)))
	}
	m.dns.SetHost(clusterHost, public...)
	m.must(errors.Join(n.NameServer(0, netns.Outside), n.IP(0, "link", "set", "lo", "up")))
	var socket net.PacketConn
	m.must(n.In(0, func() (err error) {
		socket, err = net.ListenPacket("udp", netns.Outside+":53")
		return err
	}))
	var serving sync.WaitGroup
	serving.Go(func() { m.dns.ServePacket(socket) })
	t.Cleanup(func() {
		socket.Close()
		serving.Wait()
	})
	return m
}

// public returns where others reach the node of machine i, host:port.
func (m *machines) public(i int) string {
	return net.JoinHostPort(m.Host(m.size+i), strconv.Itoa(publicPort))
}

// name returns the name of the node of machine i. Nothing listens at its HOST.
func (m *machines) name(i int) string { return fmt.Sprintf("%d@%s", i, m.Host(i)) }

// httpAddr returns where this process reaches the gateway of machine i, host:port.
func (m *machines) httpAddr(i int) string { return fmt.Sprintf("%s:%d", m.web, 8080+i) }

func (m *machines) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// listen listens on a host.
func (m *machines) listen(host int, addr string) (l net.Listener) {
	m.t.Helper()
	m.must(m.In(host, func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	}))
	return l
}

// forward passes on what arrives at a listener to an address on a host, until the test
// ends.
func (m *machines) forward(l net.Listener, host int, to string) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	m.t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
	})
	pass := func(out, in net.Conn) {
		_, _ = io.Copy(out, in) // either side may have ended it
		if tcp, ok := out.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer in.Close()
				out, err := m.DialFrom(ctx, host, "tcp", to)
				if err != nil {
					return // as the proxy of Docker does
				}
				defer out.Close()
				defer context.AfterFunc(ctx, func() { in.Close(); out.Close() })()
				var both sync.WaitGroup
				both.Go(func() { pass(out, in) })
				both.Go(func() { pass(in, out) })
				both.Wait()
			})
		}
	})
}

// command returns a command that runs on a host, as programs of an operator do.
func (m *machines) command(host int, l launch, args ...string) *exec.Cmd {
	program := l.program
	if program == "" {
		program = "distproc"
	}
	words := append(append(m.Enter(host), program), args...)
	cmd := exec.Command(words[0], append(words[1:], l.args...)...)
	cmd.Env = append(append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+m.home), l.env...)
	return cmd
}

// run starts the node of machine i, and waits until it is ready.
func (m *machines) run(i int, l launch) {
	m.t.Helper()
	p := &machineNode{log: &lockedText{}, done: make(chan error, 1)}
	p.cmd = m.command(i, l, "node", "--name", m.name(i), "--listen", fmt.Sprintf("%s:%d", innerHost, innerPort), "--advertise", m.public(i),
		"--join", fmt.Sprintf("dns:%s:%d", clusterHost, publicPort), "--timing", "local", "--http", innerHost+":8080", "--http-open")
	p.cmd.Env = append(p.cmd.Env, "XDG_STATE_HOME="+m.states[i])
	p.cmd.Stderr = p.log
	m.must(p.cmd.Start())
	m.nodes[i] = p
	go func() { p.done <- p.cmd.Wait() }()
	m.t.Cleanup(func() {
		if m.nodes[i] == p {
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if m.t.Failed() {
			m.t.Logf("%s:\n%s", m.name(i), p.log)
		}
	})
	await(m.t, func() error {
		code, body, err := m.get(i, "/readyz")
		if err == nil && code != http.StatusOK {
			err = errors.New(body)
		}
		return err
	})
}

// get asks the gateway of machine i.
func (m *machines) get(i int, path string) (code int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.httpAddr(i)+path, nil)
	if err != nil {
		return 0, "", err
	}
	return askFor(http.DefaultClient, req)
}

// agree waits until each node sees all of them alive, where they are published.
func (m *machines) agree() {
	m.t.Helper()
	for i := 1; i <= m.size; i++ {
		await(m.t, func() error {
			_, body, err := m.get(i, "/v1/nodes")
			if got := strings.Count(body, `"alive"`); err != nil || got != m.size {
				return fmt.Errorf("machine %d sees %d nodes alive: %v", i, got, err)
			}
			for k := 1; k <= m.size; k++ {
				if !strings.Contains(body, m.public(k)) {
					return fmt.Errorf("machine %d does not show %s: %s", i, m.public(k), body)
				}
			}
			return nil
		})
	}
}

// stop has the node of machine i end by SIGTERM, and checks that it does so without a
// failure.
func (m *machines) stop(i int) {
	m.t.Helper()
	p := m.nodes[i]
	m.must(p.cmd.Process.Signal(syscall.SIGTERM))
	if err := <-p.done; err != nil {
		m.t.Errorf("%s: %v", m.name(i), err)
	}
	m.nodes[i] = nil
}

// roll replaces the node of machine i by another program, or the same with other flags, as
// a rolling restart does: it waits until all nodes agree, and the balancer of the load
// sends requests to it again.
func (m *machines) roll(i int, l launch, under *machineLoad) {
	m.t.Helper()
	m.stop(i)
	m.run(i, l)
	m.agree()
	await(m.t, func() error {
		if !under.balancer.Ready(i - 1) {
			return fmt.Errorf("%s is ready, and the balancer does not know", m.name(i))
		}
		return nil
	})
}

// A machineLoad is distproc bench and HTTP clients that ask machines until they are told to
// end.
type machineLoad struct {
	m        *machines
	balancer *balancer.Balancer
	stop     context.CancelFunc
	wg       sync.WaitGroup
	calls    atomic.Int64
	failed   atomic.Int64
	bench    *exec.Cmd
	out, log bytes.Buffer // of bench
}

// begin puts load on all machines.
func (m *machines) begin() *machineLoad {
	m.t.Helper()
	var addrs []string
	for i := 1; i <= m.size; i++ {
		addrs = append(addrs, m.httpAddr(i))
	}
	l := &machineLoad{m: m, balancer: balancer.New(addrs)}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	m.t.Cleanup(func() {
		stop()
		l.wg.Wait()
	})
	l.wg.Go(func() { l.balancer.Probe(ctx) })
	for k := range 4 {
		l.wg.Go(func() {
			for i := k; ctx.Err() == nil; i += 4 {
				l.calls.Add(1)
				answer, err := l.balancer.Do(context.Background(), fmt.Sprintf("/v1/value/%d", i%100), "")
				if (err != nil || answer.Status != http.StatusOK) && l.failed.Add(1) < 10 {
					m.t.Errorf("HTTP: %d %s, %v", answer.Status, answer.Body, err)
				}
				time.Sleep(20 * time.Millisecond) // leaves something of the processor to the nodes
			}
		})
	}
	l.bench = m.command(0, m.client, "bench", "--join", fmt.Sprintf("dns:%s:%d", clusterHost, publicPort), "--duration", "10m", "--rate", "200", "--json")
	l.bench.Stdout, l.bench.Stderr = &l.out, &l.log
	m.must(l.bench.Start())
	m.t.Cleanup(func() { _ = l.bench.Process.Kill() }) // it has ended, unless the test has failed
	return l
}

// end ends the load, and fails the test for each kind of request that failed.
func (l *machineLoad) end() {
	t := l.m.t
	t.Helper()
	l.m.must(l.bench.Process.Signal(os.Interrupt))
	err := l.bench.Wait()
	l.stop()
	l.wg.Wait()
	var result struct{ Requests, Errors int }
	lines := strings.Split(strings.TrimSpace(l.out.String()), "\n")
	if e := json.Unmarshal([]byte(lines[len(lines)-1]), &result); e != nil || err != nil || result.Errors > 0 || result.Requests == 0 {
		t.Errorf("bench: %v, %v\n%s\n%s", err, e, &l.out, &l.log)
	}
	if l.failed.Load() > 0 || l.calls.Load() == 0 {
		t.Errorf("%d of %d HTTP requests failed", l.failed.Load(), l.calls.Load())
	}
	t.Logf("bench: %d requests, %d failed; HTTP: %d requests, %d failed", result.Requests, result.Errors, l.calls.Load(), l.failed.Load())
}

// TestMachines forms a cluster of three machines behind forwarders, whose nodes find each
// other by DNS, and replaces all three under load: no call fails. A shell attaches at a
// published port, and sees all of them there. When the name server hangs, a node that is
// restarted finds the members that it knew.
func TestMachines(t *testing.T) {
	t.Parallel()
	m := newMachines(t, 3)
	how := launch{args: []string{"--drain-delay", "400ms"}}
	var starting sync.WaitGroup
	for i := 1; i <= 3; i++ {
		starting.Go(func() { m.run(i, how) })
	}
	starting.Wait()
	m.agree()
	for i := 1; i <= 3; i++ {
		if conn, err := m.DialFrom(t.Context(), 0, "tcp", net.JoinHostPort(m.Host(i), strconv.Itoa(innerPort))); err == nil {
			conn.Close()
			t.Errorf("%s can be dialled at its HOST", m.name(i))
		}
	}
	l := m.begin()
	for i := 1; i <= 3; i++ {
		time.Sleep(200 * time.Millisecond) // of load
		m.roll(i, how, l)
	}
	l.end()
	out, err := m.command(0, launch{}, "repl", "--attach", m.public(2), "-e", "print(nodes())", "-e", "print(runtime_info().addr)").CombinedOutput()
	want := fmt.Sprintf("[%q, %q, %q]\n%s\n", m.name(1), m.name(2), m.name(3), m.public(2))
	if err != nil || string(out) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
	m.dns.SetMode(dnstest.Hangs)
	m.stop(3)
	m.run(3, how)
	m.agree()
	restarted := m.nodes[3].log
	await(t, func() error {
		if restarted.count("found no nodes to join, will ask again", "dns:"+clusterHost, "the name server does not answer") == 0 {
			return errors.New("nobody says that the name server hangs")
		}
		return nil
	})
}

// TestMachinesChangeCookie has three machines change their cookie by SIGHUPs, each with a
// file of its own, and then restarts all of them: no call fails. A client that shows the old
// one is refused at the end.
func TestMachinesChangeCookie(t *testing.T) {
	t.Parallel()
	m := newMachines(t, 3)
	files := make([]string, 5) // of the machines by number, and at the end the client's
	const first, second = "the first cookie of the tests\n", "the second cookie of the tests\n"
	with := func(i int, args ...string) launch {
		return launch{args: append(args, "--cookie-file", files[i]), env: []string{"DISTPROC_COOKIE="}}
	}
	how := func(i int) launch { return with(i, "--drain-delay", "400ms") }
	for i := 1; i < len(files); i++ {
		files[i] = filepath.Join(t.TempDir(), "cookie")
		m.must(os.WriteFile(files[i], []byte(first), 0o600))
	}
	m.client = with(4)
	var starting sync.WaitGroup
	for i := 1; i <= 3; i++ {
		starting.Go(func() { m.run(i, how(i)) })
	}
	starting.Wait()
	m.agree()
	step := func(n int, args ...string) {
		t.Helper()
		for i := 1; i <= 3; i++ {
			cmd := m.command(i, with(i), append([]string{"cookie"}, args...)...)
			cmd.Stdin = strings.NewReader(second)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v: %s", args, err, out)
			}
			m.must(m.nodes[i].cmd.Process.Signal(syscall.SIGHUP))
			await(t, func() error {
				if got := m.nodes[i].log.count("cookies changed"); got != n {
					return fmt.Errorf("%s has changed its cookies %d times, not %d", m.name(i), got, n)
				}
				return nil
			})
		}
	}
	l := m.begin()
	step(1, "add", "-")
	step(2, "promote")
	l.end()
	m.must(os.WriteFile(files[4], []byte(second), 0o600))
	l = m.begin()
	step(3, "retire")
	for i := 1; i <= 3; i++ {
		m.roll(i, how(i), l)
	}
	l.end()
	m.must(os.WriteFile(files[4], []byte(first), 0o600))
	out, err := m.command(0, m.client, "repl", "--attach", m.public(2), "-e", "print(1)").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "wrong cookie") {
		t.Errorf("a client with the first cookie: %v, %s", err, out)
	}
}
