package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/distproc/distproc/cmd/distproc/internal/netns"
)

// A splitNet runs nodes of distproc in network namespaces, and reaches them from the one
// of the clients.
type splitNet struct {
	*netns.Net
	t      *testing.T
	client http.Client
	dir    string // that programs work in
}

// newSplitNet makes hosts 0 to size, and removes them with the test.
func newSplitNet(t *testing.T, size int) *splitNet {
	if !*long {
		t.Skip("it takes namespaces and many seconds; -long runs it")
	}
	net, err := netns.New(size)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("no partitions: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(net.Close)
	n := &splitNet{Net: net, t: t}
	n.client.Transport = &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}
	return n
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

// cut has two hosts lose what they send to each other, or has the system refuse it if how
// is "refused".
func (n *splitNet) cut(a, b int, how string) error {
	return n.Cut(how == "refused", netns.Both(a, b)...)
}

// join undoes cut.
func (n *splitNet) join(a, b int) error { return n.Mend(netns.Both(a, b)...) }

// url returns where the gateway on host i is.
func (n *splitNet) url(i int) string { return fmt.Sprintf("http://%s:808%d", n.Host(i), i) }

// A splitNode is a process of distproc node on a host.
type splitNode struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *lockedText
	done chan struct{} // closed when the process has ended
}

// start runs a node on host i, with its gateway, and waits until that answers. It ends
// with the test.
func (n *splitNet) start(i int, name string, args ...string) *splitNode {
	n.t.Helper()
	words := append(n.Enter(i), "distproc", "node", "--name", name, "--timing", "local", "--http", fmt.Sprintf("%s:808%d", n.Host(i), i), "--http-open")
	words = append(words, args...)
	p := &splitNode{t: n.t, cmd: exec.Command(words[0], words[1:]...), log: &lockedText{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+n.t.TempDir())
	p.cmd.Stderr, p.cmd.Dir = p.log, n.dir
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
