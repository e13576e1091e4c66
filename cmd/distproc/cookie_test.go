//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// TestCookieChange changes the cookie of three nodes in the documented steps, by SIGHUP and
// by rolling restarts, while clients that stay and clients that come make requests. No
// request fails, no node is taken for failed, and at the end the old cookie is refused.
func TestCookieChange(t *testing.T) {
	t.Parallel()
	for name, restarts := range map[string]bool{"SIGHUP": false, "restarts": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startRotation(t, restarts)
			old := readCookie(t, c.files[0])
			c.clients.Store(&old)
			done := c.load()
			c.step("add", "-")
			next := readCookie(t, c.new)
			c.step("promote")
			c.clients.Store(&next)
			if err := c.stays.SetCookie(next); err != nil {
				t.Fatal(err)
			}
			c.step("retire")
			done()
			for i := range c.nodes {
				if err := c.attach(i, old); !errors.Is(err, node.ErrCookie) {
					t.Errorf("%s and the old cookie: %v, want %v", c.names[i], err, node.ErrCookie)
				}
				if err := c.attach(i, next); err != nil {
					t.Errorf("%s and the new cookie: %v", c.names[i], err)
				}
				if text, err := os.ReadFile(c.files[i]); strings.TrimSpace(string(text)) != string(next) {
					t.Errorf("%s: %q, %v", c.files[i], text, err)
				}
			}
		})
	}
}

// A rotation is three nodes whose cookie changes, each with a file of its own.
type rotation struct {
	t        *testing.T
	restarts bool
	new      string // the file with the new cookie
	names    [3]string
	files    [3]string
	nodes    [3]*process
	stays    *node.Client
	clients  atomic.Pointer[[]byte] // the cookie of clients that come
}

func readCookie(t *testing.T, path string) []byte {
	t.Helper()
	secret, err := node.ReadCookie(path)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// cookieCommandOf runs distproc cookie.
func cookieCommandOf(t *testing.T, input string, args ...string) {
	t.Helper()
	cmd := exec.Command("distproc", append([]string{"cookie"}, args...)...)
	if input != "" {
		f, err := os.Open(input)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.Stdin = f
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s%v", args, out, err)
	}
}

func startRotation(t *testing.T, restarts bool) *rotation {
	dir, host := t.TempDir(), testHost()
	c := &rotation{t: t, restarts: restarts, new: filepath.Join(dir, "new")}
	first := filepath.Join(dir, "1")
	cookieCommandOf(t, "", "new", "--cookie-file", first)
	cookieCommandOf(t, "", "new", "--cookie-file", c.new)
	text, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.nodes {
		c.names[i], c.files[i] = fmt.Sprintf("%d@%s", i+1, host), filepath.Join(dir, fmt.Sprint(i+1))
		if err := os.WriteFile(c.files[i], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.nodes {
		c.start(i)
	}
	c.stays, err = node.Attach(t.Context(), node.ClientConfig{Node: c.names[0], Cookie: readCookie(t, first)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stays.Close() })
	c.await()
	return c
}

func (c *rotation) start(i int) {
	c.t.Helper()
	// A machine that is busy must not make a node look dead.
	c.nodes[i] = startNode(c.t, c.names[i], "--timing", "wan", "--cookie-file", c.files[i], "--join", strings.Join(c.names[:], ","))
}

// await waits until each node has all three in its view, all of them alive.
func (c *rotation) await() {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		infos, err := c.stays.Nodes(c.t.Context())
		whole := err == nil && len(infos) == len(c.nodes)
		for _, info := range infos {
			whole = whole && info.State == node.StateAlive && info.Problem == ""
		}
		if whole {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the three do not become one cluster: %+v, %v", infos, err)
		}
	}
}

// attach makes a request as a client that has just come.
func (c *rotation) attach(i int, secret []byte) error {
	client, err := node.Attach(context.Background(), node.ClientConfig{Node: c.names[i], Cookie: secret, Direct: true})
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Request(context.Background(), worker.IntID(int64(i)))
	return err
}

// load makes requests until its result is called.
func (c *rotation) load() (done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var calls, failed atomic.Int64
	count := func(who string, err error) {
		calls.Add(1)
		if err != nil && failed.Add(1) < 10 {
			c.t.Errorf("%s: %v", who, err)
		}
	}
	for k := range 3 {
		wg.Go(func() {
			for id := int64(k); ctx.Err() == nil; id += 3 {
				_, err := c.stays.Request(context.Background(), worker.IntID(id))
				count("a client that stays", err)
				time.Sleep(5 * time.Millisecond)
			}
		})
		wg.Go(func() {
			for !c.restarts && ctx.Err() == nil { // a node that restarts cannot be attached to
				count("a client that comes", c.attach(k, *c.clients.Load()))
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	return func() {
		c.t.Helper()
		cancel()
		wg.Wait()
		c.t.Logf("%d of %d requests failed", failed.Load(), calls.Load())
		for i, n := range c.nodes {
			c.quiet(i, n)
		}
	}
}

// quiet fails the test if a node has anything to complain of, but that another one has yet
// to start.
func (c *rotation) quiet(i int, n *process) {
	for line := range strings.Lines(n.log.String()) {
		if !strings.Contains(line, "level=INFO") && !strings.Contains(line, "connection refused") {
			c.t.Errorf("%s: %s", c.names[i], line)
		}
	}
}

// step takes a step of the change on all nodes, and waits for it.
func (c *rotation) step(args ...string) {
	c.t.Helper()
	for i, n := range c.nodes {
		input := ""
		if len(args) > 1 {
			input = c.new
		}
		cookieCommandOf(c.t, input, append(args, "--cookie-file", c.files[i])...)
		if !c.restarts {
			if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				c.t.Fatal(err)
			}
			continue
		}
		if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			c.t.Fatal(err)
		}
		if err := n.cmd.Wait(); err != nil {
			c.t.Errorf("%s: %v", c.names[i], err)
		}
		c.quiet(i, n)
		c.start(i)
		c.await()
	}
	if c.restarts {
		return
	}
	steps := map[string]int{"add": 1, "promote": 2, "retire": 3}
	for _, n := range c.nodes {
		n.awaitLog(steps[args[0]], "cookies changed")
	}
	c.await()
}

// awaitLog waits until so many lines of the log have a text.
func (p *process) awaitLog(n int, text string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); p.log.count(text) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("the log has %q %d times, want %d:\n%s", text, p.log.count(text), n, p.log)
		}
	}
}
