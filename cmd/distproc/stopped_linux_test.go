package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/distproc/distproc/node"
)

// modes returns the modes of the screen's terminal.
func (s *screen) modes() unix.Termios {
	s.t.Helper()
	state, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *state
}

// stopOutput has the terminal stop as after Ctrl-S.
func (s *screen) stopOutput() {
	s.t.Helper()
	n, err := unix.IoctlGetInt(int(s.tty.Fd()), unix.TIOCGPTN)
	if err != nil {
		s.t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer tty.Close()
	if err := unix.IoctlSetInt(int(tty.Fd()), unix.TCXONC, unix.TCOOFF); err != nil {
		s.t.Fatal(err)
	}
}

// startChatty runs a member at a terminal that logs all that others ask of it, and calls
// stop. Then it has the member log more than its pipe to the evaluator holds.
func startChatty(t *testing.T, stop func(s *screen, evaluator int)) (s *screen, cmd *exec.Cmd, evaluator int, before unix.Termios) {
	t.Helper()
	name := "1@" + testHost()
	cmd = exec.Command("distproc", "repl", "--name", name, "--log-level", "debug")
	s = startScreen(t, cmd)
	before = s.modes()
	s.await(")1> ")
	evaluator = childOf(t, cmd.Process.Pid)
	t.Cleanup(func() { syscall.Kill(evaluator, syscall.SIGKILL) })
	stop(s, evaluator)
	c, err := node.Attach(t.Context(), node.ClientConfig{Node: name, Cookie: []byte("the cookie of the tests")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	askMany(t.Context(), t, c, 3000)
	return s, cmd, evaluator, before
}

func awaitEnd(t *testing.T, what string, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); !hasEnded(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s goes on", what)
		}
	}
}

// TestStoppedEvaluator has a member log more than a stopped evaluator reads. Signals end
// both nevertheless, and the terminal is as it was.
func TestStoppedEvaluator(t *testing.T) {
	t.Parallel()
	s, cmd, evaluator, before := startChatty(t, func(_ *screen, evaluator int) { syscall.Kill(evaluator, syscall.SIGSTOP) })
	cmd.Process.Signal(os.Interrupt)
	cmd.Process.Signal(syscall.SIGTERM)
	awaitEnd(t, "the member", cmd.Process.Pid)
	awaitEnd(t, "the evaluator", evaluator)
	if after := s.modes(); after != before {
		t.Errorf("the terminal has the modes %+v, before %+v", after, before)
	}
}

// TestStoppedTerminal stops a terminal's output while there is much to be shown above the
// prompt. The evaluator ends with its member nevertheless.
func TestStoppedTerminal(t *testing.T) {
	t.Parallel()
	s, cmd, evaluator, before := startChatty(t, func(s *screen, _ int) { s.stopOutput() })
	cmd.Process.Kill()
	awaitEnd(t, "the evaluator", evaluator)
	if after := s.modes(); after != before {
		t.Errorf("the terminal has the modes %+v, before %+v", after, before)
	}
}
