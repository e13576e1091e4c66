//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
)

// A process is a distproc that runs beside the test.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Scanner // of stdout
	log  *lockedText    // its stderr
	done chan error
}

// start runs distproc and ends it with the test.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startIn(t, "", args...)
}

// startIn runs distproc in a folder, which its programs work in.
func startIn(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return startAs(t, "distproc", dir, testEnviron(t), args...)
}

// startWith runs distproc in an environment.
func startWith(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return startAs(t, "distproc", "", env, args...)
}

// startProgram is startIn for another program, such as a distproc of another version.
func startProgram(t *testing.T, program, dir string, args ...string) *process {
	t.Helper()
	return startAs(t, program, dir, testEnviron(t), args...)
}

func testEnviron(t *testing.T) []string {
	return append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+t.TempDir())
}

func startAs(t *testing.T, program, dir string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), log: &lockedText{}, done: make(chan error, 1)}
	p.cmd.Dir, p.cmd.Env = dir, env
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out, p.cmd.Stderr = in, bufio.NewScanner(out), p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGCONT)
		p.cmd.Process.Kill()
		in.Close()
		p.cmd.Wait()
		if t.Failed() {
			t.Logf("distproc %s:\n%s", strings.Join(args, " "), p.log)
		}
	})
	return p
}

// startNode runs a node and waits until it listens.
func startNode(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startNodeIn(t, "", name, args...)
}

// startNodeIn is startNode in a folder.
func startNodeIn(t *testing.T, dir, name string, args ...string) *process {
	t.Helper()
	p := startIn(t, dir, append([]string{"node", "--name", name}, args...)...)
	p.awaitPort(name)
	return p
}

func (p *process) awaitPort(name string) {
	p.t.Helper()
	addr, err := placement.ParseAddr(name)
	if err != nil {
		p.t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr.HostPort())
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s does not listen: %v", name, err)
		}
	}
}

// ask writes a line to a shell and returns the line that it answers.
func (p *process) ask(line string) string {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("no answer to %s: %v\n%s", line, p.out.Err(), p.log)
	}
	return p.out.Text()
}

// awaitAnswer asks until the answer is the wanted one.
func (p *process) awaitAnswer(line, want string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		got := p.ask(line)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s answers %s, want %s", line, got, want)
		}
	}
}

// pause stops the process, and waits until it has.
func (p *process) pause() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		p.t.Fatalf("SIGSTOP: status %#x, %v", status, err)
	}
}

// A lockedText is what a process has written so far.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count returns how many lines have all of the words.
func (l *lockedText) count(words ...string) (n int) {
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
