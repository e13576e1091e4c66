package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/distproc/distproc/node/placement"
)

// TestMain puts this binary into the PATH as distproc.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"distproc": main, "distproc-fault": faultNode})
}

// patience is how long a test waits for what must come.
const patience = time.Minute

var hosts atomic.Int32

// testHost returns a loopback address of this test's own, so that nodes can have their usual ports.
func testHost() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid%250, pid/250%250, hosts.Add(1))
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOST", testHost())
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("DISTPROC_COOKIE", "the cookie of the tests")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"listening": listening, "hangup": hangup, "retry": retry, "status": status,
		},
	})
}

// listening waits until something listens on each address.
func listening(ts *testscript.TestScript, neg bool, addrs []string) {
	for _, addr := range addrs {
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
				break
			}
			if time.Now().After(deadline) {
				ts.Fatalf("nothing listens: %v", err)
			}
		}
	}
}

// hangup sends SIGHUP to a command in the background.
func hangup(ts *testscript.TestScript, neg bool, args []string) {
	for _, cmd := range ts.BackgroundCmds() {
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			ts.Fatalf("hangup: %v", err)
		}
	}
}

// retry runs a command until it prints what its last argument says.
func retry(ts *testscript.TestScript, neg bool, args []string) {
	want := args[len(args)-1] + "\n"
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		cmd := exec.Command(args[0], args[1:len(args)-1]...)
		cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "DISTPROC_COOKIE="+ts.Getenv("DISTPROC_COOKIE"))
		out, err := cmd.Output()
		if string(out) == want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q, %v; want %q", out, err, want)
		}
	}
}

// status makes a request, METHOD URL, with headers, NAME VALUE, and checks the status of the answer.
func status(ts *testscript.TestScript, neg bool, args []string) {
	req, err := http.NewRequest(args[1], args[2], nil)
	ts.Check(err)
	for header := range slices.Chunk(args[3:], 2) {
		if header[0] == "Host" {
			req.Host = header[1]
		}
		req.Header.Set(header[0], header[1])
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		ts.Fatalf("%s %s: %s %s, want %s", args[1], args[2], got, body, args[0])
	}
}

// A process is a distproc that runs beside the test.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Scanner // of stdout
	log  *strings.Builder
	done chan error
}

// start runs distproc and ends it with the test.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command("distproc", args...), log: &strings.Builder{}, done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+t.TempDir())
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
	p := start(t, append([]string{"node", "--name", name}, args...)...)
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

// TestKilledOwner kills the owner of an id with kill -9: the id is answered at once in its place, and
// by itself when it is back.
func TestKilledOwner(t *testing.T) {
	host := testHost()
	owner := startNode(t, "2@"+host)
	sh := start(t, "repl", "--name", "1@"+host)
	sh.ask("print(connect('2@" + host + "')[0][1])")
	name := "request(1).node"
	if got := sh.ask(name); got != `"2@`+host+`"` {
		t.Fatalf("%s = %s", name, got)
	}
	owner.cmd.Process.Kill()
	owner.cmd.Wait()
	begin := time.Now()
	if got := sh.ask("r = request(1); print(r.node, r.degraded)"); got != fmt.Sprintf("1@%s True", host) {
		t.Errorf("after kill -9: %s", got)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("the first call after kill -9 took %v", took)
	}
	sh.awaitAnswer("print(nodes())", fmt.Sprintf("[%q]", "1@"+host))
	startNode(t, "2@"+host)
	sh.awaitAnswer("r = request(1); print(r.node, r.degraded)", fmt.Sprintf("2@%s False", host))
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

// TestPausedOwner pauses the owner with SIGSTOP: callers wait no longer than 3 s and a little, the next ones not at all,
// and the owner comes back when it goes on.
func TestPausedOwner(t *testing.T) {
	host := testHost()
	owner := startNode(t, "2@"+host)
	sh := start(t, "repl", "--name", "1@"+host)
	sh.ask("print(connect('2@" + host + "')[0][1])")
	owner.pause()
	degraded := fmt.Sprintf("1@%s True", host)
	begin := time.Now()
	if got := sh.ask("r = request(1); print(r.node, r.degraded)"); got != degraded {
		t.Errorf("the call that meets the pause: %s, want %s", got, degraded)
	}
	first := time.Since(begin)
	begin = time.Now()
	if got, want := sh.ask("print(request(3).node)"), "1@"+host; got != want { // for itself, or by now as the stand-in
		t.Errorf("the next call: %s, want %s", got, want)
	}
	next := time.Since(begin)
	t.Logf("first call %v, next call %v", first, next)
	if first > 4500*time.Millisecond || next > time.Second {
		t.Errorf("the first call took %v, the next one %v; want 3 s at most, and no wait", first, next)
	}
	if err := owner.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	sh.awaitAnswer("r = request(1); print(r.node, r.degraded)", fmt.Sprintf("2@%s False", host))
}

// TestGarbage feeds a node bytes that are no peer's, and silence: it logs a line, and serves.
func TestGarbage(t *testing.T) {
	host := testHost()
	n := startNode(t, "2@"+host)
	for i := range 400 {
		conn, err := net.Dial("tcp", host+":4372")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			fmt.Fprint(conn, "GET / HTTP/1.1\r\n\r\n")
		}
	}
	sh := start(t, "repl", "--attach", "2@"+host)
	if got := sh.ask("request(1).node"); got != `"2@`+host+`"` {
		t.Errorf("request among garbage: %s", got)
	}
	n.cmd.Process.Signal(syscall.SIGTERM)
	if err := n.cmd.Wait(); err != nil {
		t.Errorf("node: %v", err)
	}
	if log := n.log.String(); strings.Count(log, "connection refused") > 3 || strings.Contains(log, "goroutine") {
		t.Errorf("the log is flooded:\n%s", log)
	}
}

// TestTransitive joins each node to the next one only.
func TestTransitive(t *testing.T) {
	host := testHost()
	for i := range 4 {
		args := []string{}
		if i > 0 {
			args = append(args, "--join", fmt.Sprintf("%d@%s", i, host))
		}
		startNode(t, fmt.Sprintf("%d@%s", i+1, host), args...)
	}
	sh := start(t, "repl", "--attach", "4@"+host)
	sh.awaitAnswer("print([n[0] for n in nodes()])", `["1", "2", "3", "4"]`)
	sh.awaitAnswer("print([request(i).node[0] for i in range(6)])", `["1", "2", "3", "4", "1", "2"]`)
}

func TestCookieFile(t *testing.T) {
	host := testHost()
	home := t.TempDir()
	cmd := exec.Command("distproc", "repl", "--name", "1@"+host, "-e", "print(node())")
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "1@"+host+"\n" {
		t.Fatalf("%s%v", out, err)
	}
	info, err := os.Stat(filepath.Join(home, ".config", "distproc", "cookie"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("cookie file: %v, %v", info, err)
	}
}
