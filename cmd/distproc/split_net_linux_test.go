package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A splitNet runs nodes of distproc in network namespaces, and reaches them from the one of the clients.
type splitNet struct {
	*namespaceNet
	t      *testing.T
	client http.Client
}

func newSplitNet(t *testing.T) *splitNet {
	if testing.Short() {
		t.Skip("it takes namespaces and seconds")
	}
	n := &splitNet{namespaceNet: newNamespaces(t), t: t}
	n.client.Transport = &http.Transport{DialContext: n.dial, DisableKeepAlives: true}
	return n
}

// dial connects as a client does. A socket belongs to the namespace of the thread that opens it.
func (n *splitNet) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and the thread ends with this goroutine
		f, err := os.Open("/run/netns/" + n.namespace(0))
		if err == nil {
			defer f.Close()
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		var conn net.Conn
		if err == nil {
			conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		}
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// must fails the test if a step of the network does not work.
func (n *splitNet) must(errs ...error) {
	n.t.Helper()
	for _, err := range errs {
		if err != nil {
			n.t.Fatal(err)
		}
	}
}

// cut has two hosts lose what they send to each other, or has the system refuse it if how is "refused".
func (n *splitNet) cut(a, b int, how string) error { return n.link(a, b, how, 1) }

// join undoes cut.
func (n *splitNet) join(a, b int, how string) error { return n.link(a, b, how, -1) }

func (n *splitNet) link(a, b int, how string, by int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := plannedFault{how: how}
	for _, change := range []func() error{n.block(f, a, b, by), n.block(f, b, a, by)} {
		if change == nil {
			continue // there is another reason for it
		}
		if err := change(); err != nil {
			return err
		}
	}
	return nil
}

// url returns where the gateway on host i is.
func (n *splitNet) url(i int) string { return fmt.Sprintf("http://%s:808%d", n.host(i), i) }

// A splitNode is a process of distproc node on a host.
type splitNode struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *lockedLog
	done chan struct{} // closed when the process has ended
}

// start runs a node on host i, with its gateway, and waits until that answers. It ends with the test.
func (n *splitNet) start(i int, name string, args ...string) *splitNode {
	n.t.Helper()
	words := append(n.enter(i), "distproc", "node", "--name", name, "--timing", "local", "--http", fmt.Sprintf("%s:808%d", n.host(i), i), "--http-open")
	words = append(words, args...)
	p := &splitNode{t: n.t, cmd: exec.Command(words[0], words[1:]...), log: &lockedLog{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+n.t.TempDir())
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	n.t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGCONT)
		p.cmd.Process.Kill()
		<-p.done
		if n.t.Failed() {
			n.t.Logf("%s on host %d:\n%s", name, i, p.log)
		}
	})
	await(n.t, func() error {
		_, _, err := n.get(i, "/healthz")
		return err
	})
	return p
}

// get asks the gateway on host i.
func (n *splitNet) get(i int, path string) (code int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url(i)+path, nil)
	if err != nil {
		return 0, "", err
	}
	return askFor(&n.client, req)
}

// A lockedLog is the stderr of a process.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count returns how many lines have all of the words.
func (l *lockedLog) count(words ...string) (n int) {
	for line := range strings.Lines(l.String()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}
