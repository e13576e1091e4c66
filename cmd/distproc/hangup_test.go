//go:build unix

package main

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// A hangupTest is a node with the kind "old" in its file, in a session of its own, at a
// terminal or without one.
type hangupTest struct {
	*process
	file string
	tty  *os.File // the far end of its terminal, or nil
}

// startHangup runs a command of a node. The word CONFIG in its arguments stands for the
// file.
func startHangup(t *testing.T, terminal bool, command ...string) *hangupTest {
	t.Helper()
	h := &hangupTest{file: filepath.Join(t.TempDir(), "kinds.toml")}
	h.write(t, "[kind.old]\nsource = 'random'\n")
	for i, arg := range command {
		command[i] = strings.ReplaceAll(arg, "CONFIG", h.file)
	}
	h.process = &process{t: t, cmd: exec.Command(command[0], command[1:]...), log: &lockedText{}, done: make(chan error, 1)}
	h.cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+t.TempDir(), "TERM=xterm", "NO_COLOR=1")
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	h.cmd.Stdout, h.cmd.Stderr = h.log, h.log
	if terminal {
		master, tty, err := pty.Open()
		if err != nil {
			t.Skipf("no terminal to be had: %v", err)
		}
		h.tty = pollable(t, master)
		t.Cleanup(func() { h.tty.Close() })
		h.cmd.SysProcAttr.Setctty = true
		h.cmd.Stdin, h.cmd.Stdout, h.cmd.Stderr = tty, tty, tty
		go io.Copy(h.log, h.tty) // until the terminal hangs up
		defer tty.Close()
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { h.done <- h.cmd.Wait(); close(h.done) }()
	t.Cleanup(func() { h.cmd.Process.Kill(); <-h.done })
	return h
}

// pollable returns the file so that Close ends a Read of it.
func pollable(t *testing.T, f *os.File) *os.File {
	t.Helper()
	defer f.Close()
	// A process that another test starts just now must not get it: the terminal would
	// stay.
	syscall.ForkLock.RLock()
	fd, err := syscall.Dup(int(f.Fd()))
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}

func (h *hangupTest) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(h.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hangUp sends SIGHUP, or closes the terminal.
func (h *hangupTest) hangUp(gone bool) {
	h.t.Helper()
	var err error
	if gone {
		err = h.tty.Close()
	} else {
		err = h.cmd.Process.Signal(syscall.SIGHUP)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hangupTest) awaitLog(text string) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(h.log.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("%q does not come; there is:\n%s", text, h.log)
		}
	}
}

func (h *hangupTest) awaitEnd() {
	h.t.Helper()
	select {
	case err := <-h.done:
		if err != nil {
			h.t.Errorf("it ends with %v:\n%s", err, h.log)
		}
	case <-time.After(patience):
		h.t.Fatalf("it does not end:\n%s", h.log)
	}
}

// TestHangup has SIGHUP read --config again, and end a node only if its terminal is gone.
func TestHangup(t *testing.T) {
	t.Parallel()
	// The tests may run under nohup. A process does not inherit that a signal is ignored
	// from one that receives it.
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(received) })
	node := func(args ...string) []string {
		return append([]string{"distproc", "node", "--name", "1@" + testHost()}, args...)
	}
	shell := func(args ...string) []string {
		return append([]string{"distproc", "repl", "--name", "1@" + testHost(), "--log-level", "info"}, args...)
	}
	const config, nothing = "--config=CONFIG", "nothing to read again: no --config"
	for name, c := range map[string]struct {
		command  []string
		terminal bool
		want     string // in the log, after SIGHUP
	}{
		"node without terminal":         {node(), false, nothing},
		"node with config":              {node(config), false, "names=[new]"},
		"node at terminal":              {node(), true, nothing},
		"node with config at terminal":  {node(config), true, "names=[new]"},
		"shell with config at terminal": {shell(config), true, "names=[new]"},
		"shell at terminal":             {shell(), true, nothing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHangup(t, c.terminal, c.command...)
			h.awaitLog("listening")
			h.write(t, "[kind.new]\nsource = 'random'\n")
			h.hangUp(false)
			h.awaitLog(c.want)
			if c.want != nothing {
				h.awaitLog("kinds=[old]") // it is gone
			}
			if c.terminal {
				h.hangUp(true)
			} else {
				h.cmd.Process.Signal(syscall.SIGTERM)
			}
			h.awaitEnd()
		})
	}
}

// TestHangupUnderNohup closes the terminal of a node under nohup, which goes on.
func TestHangupUnderNohup(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no sh")
	}
	log := filepath.Join(t.TempDir(), "log")
	h := startHangup(t, true, "sh", "-c", `trap "" HUP; exec distproc node --name "$0" --config CONFIG >"$1" 2>&1 </dev/null`, "1@"+testHost(), log)
	await := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			data, _ := os.ReadFile(log)
			if strings.Contains(string(data), text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%q does not come; there is:\n%s", text, data)
			}
		}
	}
	await("listening")
	h.write(t, "[kind.new]\nsource = 'random'\n")
	h.hangUp(true)
	h.hangUp(false)
	await("names=[new]")
	h.cmd.Process.Signal(syscall.SIGTERM)
	h.awaitEnd()
}
