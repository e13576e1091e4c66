//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// startLogging runs a node at level debug whose log goes to stderr, and returns a client
// of it.
func startLogging(t *testing.T, stderr *os.File) (*exec.Cmd, *node.Client) {
	t.Helper()
	name := "1@" + testHost()
	cmd := exec.Command("distproc", "node", "--name", name, "--log-level", "debug")
	cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+t.TempDir())
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	(&process{t: t}).awaitPort(name)
	c, err := node.Attach(t.Context(), node.ClientConfig{Node: name, Cookie: []byte("the cookie of the tests")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return cmd, c
}

// askMany makes many requests, some of them at once.
func askMany(ctx context.Context, t *testing.T, c *node.Client, requests int64) {
	t.Helper()
	const atOnce = 50
	var wg sync.WaitGroup
	var next atomic.Int64
	for range atOnce {
		wg.Go(func() {
			for i := next.Add(1); i <= requests; i = next.Add(1) {
				if _, err := c.Request(ctx, worker.IntID(i)); err != nil {
					t.Errorf("request %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// use makes many requests and ends the node.
func use(t *testing.T, cmd *exec.Cmd, c *node.Client, requests int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	askMany(ctx, t, c, requests)
	if list, err := c.Nodes(ctx); err != nil || len(list) != 1 || list[0].Problem != "" {
		t.Errorf("nodes: %+v, %v", list, err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the node ended: %v", err)
	}
}

// TestStderrGone has nobody read a node's stderr.
func TestStderrGone(t *testing.T) {
	t.Parallel()
	cmd, c := startLogging(t, brokenPipe(t))
	use(t, cmd, c, 100)
}

// TestStderrFull has a node's stderr be a file on a full disk.
func TestStderrFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	cmd, c := startLogging(t, full)
	use(t, cmd, c, 100)
}

// TestStderrStuck does not read a node's stderr until the node has ended. What the pipe
// holds is there.
func TestStderrStuck(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd, c := startLogging(t, w)
	w.Close()
	use(t, cmd, c, 10_000)
	text, err := io.ReadAll(r)
	if lines := strings.Split(string(text), "\n"); err != nil || len(lines) < 100 || !strings.Contains(string(text), "msg=listening") {
		t.Errorf("%d lines, %v, the first one is %s", len(lines), err, lines[0])
	}
}

// TestStderrLate reads a node's stderr after there were more lines than are kept: one
// tells how many are missing.
func TestStderrLate(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd, c := startLogging(t, w)
	w.Close()
	askMany(t.Context(), t, c, 10_000)
	lines := bufio.NewScanner(r)
	n := 0
	for lines.Scan() && !strings.Contains(lines.Text(), `level=WARN msg="log lines lost" count=`) {
		n++
	}
	if n < 1000 || !strings.Contains(lines.Text(), "lost") {
		t.Errorf("%d lines, then %q, %v", n, lines.Text(), lines.Err())
	}
	go io.Copy(io.Discard, r) // ends with the node
	use(t, cmd, c, 1)
}

// runShell runs a shell on a node of its own that writes to stdout and stderr.
func runShell(t *testing.T, stdout, stderr io.Writer, code string) error {
	cmd := exec.Command("distproc", "repl", "--name", "1@"+testHost(), "--log-level", "debug", "-e", code)
	cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+t.TempDir())
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd.Run()
}

// brokenPipe returns a pipe that nobody reads from.
func brokenPipe(t *testing.T) *os.File {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

// TestShellStderrGone has a shell go on without a log.
func TestShellStderrGone(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := runShell(t, &out, brokenPipe(t), "print(len([request(i) for i in range(100)]))")
	if err != nil || out.String() != "100\n" {
		t.Errorf("%v, %q", err, &out)
	}
}

// TestShellStdoutGone has a shell end quietly when nobody reads what it prints.
func TestShellStdoutGone(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	err := runShell(t, brokenPipe(t), &log, "for i in range(10): print(i)")
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGPIPE || strings.Contains(log.String(), "distproc:") {
		t.Errorf("%v, %q", err, &log)
	}
}

// TestShellStdoutFull has a shell print to a full disk: it stops after that statement, and
// fails.
func TestShellStdoutFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for _, code := range []string{"print(1)", "print(1)\nexit()"} {
		var log strings.Builder
		err = runShell(t, full, &log, code)
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != 1 || !strings.Contains(log.String(), "output is lost: write /dev/stdout: no space left on device\n") {
			t.Errorf("%q: %v, %q", code, err, &log)
		}
	}
}
