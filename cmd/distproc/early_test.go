//go:build unix

package main

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestEarlySignals sends signals to a node and to a shell that have just begun, and still
// wait for the cluster that they are to join: their exit status is the documented one, and
// they do not die by the signal.
func TestEarlySignals(t *testing.T) {
	t.Parallel()
	host := testHost()
	silent, err := net.Listen("tcp", host+":0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for i, c := range []struct {
		command string
		signal  os.Signal
		status  int
	}{{"node", os.Interrupt, 0}, {"node", syscall.SIGTERM, 0}, {"repl", os.Interrupt, 130}, {"repl", syscall.SIGTERM, 0}} {
		name := string(rune('1'+i)) + "@" + host
		args := []string{c.command, "--name", name, "--join", silent.Addr().String()}
		if c.command == "repl" {
			args = append(args, "-e", "sleep(600)")
		}
		p := start(t, args...)
		p.awaitPort(name)
		p.cmd.Process.Signal(c.signal)
		awaitStatus(t, p.cmd, c.status)
	}
}

// awaitStatus waits for the end of a process, and checks its exit status.
func awaitStatus(t *testing.T, cmd *exec.Cmd, want int) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%v: exit status %d (%v), want %d", cmd.Args, got, err, want)
		}
	case <-time.After(patience):
		t.Fatalf("%v still runs", cmd.Args)
	}
}
