//go:build unix

package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestKilledOwner kills the owner of an id with kill -9: the id is answered at once in
// its place, and by itself when it is back.
func TestKilledOwner(t *testing.T) {
	t.Parallel()
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

// TestPausedOwner pauses the owner with SIGSTOP: callers wait no longer than 3 s and a
// little, the next ones not at all, and the owner comes back when it goes on.
func TestPausedOwner(t *testing.T) {
	t.Parallel()
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
	if got, want := sh.ask("print(request(3).node)"), "1@"+host; got != want { // for itself, or by now as the fallback
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
