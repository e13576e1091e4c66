package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// childOf returns the process that a process has started.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
		if err != nil {
			t.Skipf("no list of processes: %v", err)
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, task := range tasks {
			more, _ := os.ReadFile(task)
			list = append(list, more...)
		}
		if fields := strings.Fields(string(list)); len(fields) > 0 {
			child, err := strconv.Atoi(fields[0])
			if err != nil {
				t.Fatal(err)
			}
			return child
		}
	}
	t.Fatal("no evaluator")
	return 0
}

// hasEnded reports whether a process is gone, or waits to be collected.
func hasEnded(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}

// awaitRunning waits until keys make signals, so until a statement runs.
func (s *screen) awaitRunning() {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		state, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
		if err != nil {
			s.t.Fatal(err)
		}
		if state.Lflag&unix.ISIG != 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal("nothing runs")
		}
	}
}

// TestLostEvaluator has programs that no shell survives. The member stays up all the
// time, says so in a line, and has a shell again.
func TestLostEvaluator(t *testing.T) {
	t.Parallel()
	name := "1@" + testHost()
	s := startAtTerminal(t, "repl", "--name", name)
	prompt := "distproc(" + name + ")1> "
	s.await(prompt)
	c, err := node.Attach(t.Context(), node.ClientConfig{Node: name, Cookie: []byte("the cookie of the tests"), Stay: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	slowest := make(chan time.Duration, 1)
	go func() {
		var most time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			if _, err := c.Owner(ctx, worker.IntID(7)); err != nil && ctx.Err() == nil {
				t.Errorf("the member is not there: %v", err)
				break
			}
			most = max(most, time.Since(began))
		}
		slowest <- most
	}()
	for _, c := range []struct{ line, keys, want string }{
		{`x = ("x" * (1 << 17)).replace("x", "y" * (1 << 18))`, "", "all the memory"},
		{endless, "\x03", "nterrupted"},
	} {
		s.enter(c.line)
		if c.keys != "" {
			s.awaitRunning()
			fmt.Fprint(s.tty, c.keys)
		}
		s.await("** (", c.want)
		s.await(")1> ")
	}
	cancel()
	t.Logf("the member answered within %v", <-slowest)
}

// TestEditorHasNoLimits opens an editor, which has the limits that the shell was started
// with, not those of the evaluator.
func TestEditorHasNoLimits(t *testing.T) {
	editor := filepath.Join(t.TempDir(), "editor")
	if err := os.WriteFile(editor, []byte("#!/bin/sh\n{ ulimit -v; cat /proc/$$/oom_score_adj; } >\"$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VISUAL", editor)
	var before unix.Rlimit
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if e := unix.Getrlimit(unix.RLIMIT_AS, &before); e != nil || err != nil || before.Cur != unix.RLIM_INFINITY {
		t.Skipf("limits are %v, %v, %v", before, e, err)
	}
	s := startAtTerminal(t, "repl", "--name", "1@"+testHost())
	s.await(")1> ")
	for range 2 { // the evaluator's own are as before
		fmt.Fprint(s.tty, "\x18\x05")
		s.await(")1> unlimited⏎" + strings.TrimSpace(string(score)))
		fmt.Fprint(s.tty, "\x03")
		s.await(")1> ")
	}
	s.enter(`x = ("x" * (1 << 17)).replace("x", "y" * (1 << 18))`)
	s.await("** (", "all the memory")
}

// TestKilledEvaluator kills the evaluator of a shell, and then its member, with kill -9,
// while the evaluator waits and while a step is at work that nothing can stop.
func TestKilledEvaluator(t *testing.T) {
	t.Parallel()
	name := "1@" + testHost()
	cmd := exec.Command("distproc", "repl", "--name", name)
	s := startScreen(t, cmd)
	s.await(")1> ")
	s.enter("x = 1")
	s.await(")2> ")
	child := childOf(t, cmd.Process.Pid)
	syscall.Kill(child, syscall.SIGKILL)
	s.await("** (EvaluatorError) something killed it", "variables are gone", ")1> ")
	s.enter("1 + 41")
	s.await("42", ")2> ")
	s.mu.Lock()
	if n := strings.Count(s.text.String(), "h() lists the commands"); n != 1 {
		t.Errorf("the user is greeted %d times", n)
	}
	s.mu.Unlock()
	endsWith(t, cmd.Process.Pid)
	// The terminal goes on as long as whoever leads its session, so it does not hang up.
	cmd = exec.Command("sh", "-c", "distproc repl --name "+name+"; sleep 1000")
	s = startScreen(t, cmd)
	s.await(")1> ")
	s.enter(endless)
	s.awaitRunning()
	endsWith(t, childOf(t, cmd.Process.Pid))
	syscall.Kill(childOf(t, cmd.Process.Pid), syscall.SIGTERM)
}

// endless is a step of Starlark that takes some hours.
const endless = "[[[[0] * 300] * 300] * 300] * 300 == [[[[0] * 300] * 300] * 300] * 300"

// endsWith kills a member, whose evaluator ends, too.
func endsWith(t *testing.T, member int) {
	t.Helper()
	child := childOf(t, member)
	syscall.Kill(member, syscall.SIGKILL)
	for deadline := time.Now().Add(patience); !hasEnded(child); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the evaluator outlives its member")
		}
	}
}

// TestSignalsToMember sends the process that the user has started what a user's tools may
// send it alone. The evaluator obeys.
func TestSignalsToMember(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("distproc", "repl", "--name", "1@"+testHost())
	s := startScreen(t, cmd)
	s.await(")1> ")
	s.enter("sleep(1000)")
	s.awaitRunning()
	cmd.Process.Signal(os.Interrupt)
	s.await("nterrupted", ")1> ")
	s.enter("6 * 7")
	s.await("42", ")2> ")
	// Ctrl-C goes to both, and counts once.
	s.enter("sleep(1001)")
	s.awaitRunning()
	fmt.Fprint(s.tty, "\x03")
	s.await("nterrupted", ")2> ")
	time.Sleep(3 * bothTime)
	s.enter("6 * 8")
	s.await("48", ")3> ")
	s.mu.Lock()
	text := s.text.String()
	s.mu.Unlock()
	if strings.Contains(text, "Ctrl-C again") {
		t.Errorf("one Ctrl-C counted twice:\n%s", text)
	}
	s.enter("exit(5)")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("%v, want exit status 5", err)
	}
}

// TestLostProgram has a program without a terminal take all memory, in which case it
// fails with one line.
func TestLostProgram(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		`x = ("x" * (1 << 17)).replace("x", "y" * (1 << 18))`: `^distproc: the evaluator has ended: the program took all the memory that an evaluator may have\n$`,
	} {
		cmd := exec.Command("distproc", "repl", "--name", "1@"+testHost(), "-e", code)
		cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !regexp.MustCompile(want).Match(out) {
			t.Errorf("%s: %v, %q, want %q", code, err, out, want)
		}
	}
}

// TestEvaluatorByHand starts an evaluator as a user might.
func TestEvaluatorByHand(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("distproc", "evaluator").CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 || string(out) != "distproc: "+errEvaluator.Error()+"\n" {
		t.Errorf("%v, %q", err, out)
	}
}

// TestSuspend stops a shell as Ctrl-Z does, in a session whose leader is a shell with job
// control, and continues it.
func TestSuspend(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	host := testHost()
	cmd := exec.Command(bash, "--norc", "--noprofile", "-i")
	s := startScreen(t, cmd)
	defer func() { cmd.Process.Signal(syscall.SIGHUP) }() // it ignores SIGTERM
	s.enter("PS1='ready> '")
	s.await("ready> ")
	s.enter("distproc repl --name 1@" + host)
	s.await(")1> ")
	for i, line := range []string{"", "sleep(1000)"} {
		if line != "" {
			s.enter(line)
			s.awaitRunning()
		}
		fmt.Fprint(s.tty, "\x1a")
		s.await("Stopped", "ready> ")
		s.enter(fmt.Sprintf("echo $((%d + 700))", i))
		s.await(strconv.Itoa(i+700), "ready> ")
		s.enter("fg")
		s.await("distproc repl")
		if line == "" {
			s.await(")1> ") // else what is typed next comes before the shell
		}
	}
	fmt.Fprint(s.tty, "\x03")
	s.await("nterrupted", ")1> ")
	s.enter("6 * 7")
	s.await("42", ")2> ")
	s.enter("exit(3)")
	s.await("ready> ")
	s.enter("echo status $?")
	s.await("status 3")
}

// TestLastWords has a process end in several ways. What it wrote to stderr matters only if
// its runtime has given up.
func TestLastWords(t *testing.T) {
	t.Parallel()
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	e := &evaluator{stderr: stderr}
	for _, c := range []struct {
		words, end string
		lost, err  string
	}{
		{"", "exit 0", "", "<nil>"},
		{"", "exit 3", "", "exit status 3"},
		{"Starlark failed to allocate 4GB address space: cannot allocate memory.", "exit 0", "", "<nil>"},
		{"Starlark failed to allocate 4GB address space: cannot allocate memory.", "exit 1", "", "exit status 1"},
		{"runtime: cannot allocate memory\nfatal error: out of memory", "exit 2", "all the memory", "<nil>"},
		{"runtime: goroutine stack exceeds 1000000000-byte limit\nfatal error: stack overflow", "exit 2", "too much stack", "<nil>"},
		{"runtime: failed to create new OS thread\nfatal error: newosproc", "exit 2", "internal error: fatal error: newosproc", "<nil>"},
		{"panic: a defect\n\ngoroutine 1", "exit 2", "internal error: panic: a defect", "<nil>"},
		{"SIGQUIT: quit\nPC=0", "exit 2", "SIGQUIT: quit", "<nil>"},
		{lastWords + "too slow", "exit 1", "too slow", "<nil>"},
		{"", "kill -9 $$", "something killed it", "<nil>"},
		{"", "kill -13 $$", "", errBrokenPipe.Error()},
		{"", "kill -15 $$", "", "exit status 143"},
	} {
		cmd := exec.Command("sh", "-c", c.end)
		_ = cmd.Run() // how it ended is what counts
		lost, err := e.ended(cmd.ProcessState, c.words)
		if !strings.Contains(lost, c.lost) || (lost == "") != (c.lost == "") || fmt.Sprint(err) != c.err {
			t.Errorf("%q, %s: lost %q, %v; want %q, %s", c.words, c.end, lost, err, c.lost, c.err)
		}
	}
}

// TestUpgradedProgram has another program in the place of a member's, and the evaluator
// lost. The next one is of the same program as the member.
func TestUpgradedProgram(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("distproc")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "distproc")
	// A file that this process had open for writing cannot be run while a fork has it, too.
	if err := exec.Command("cp", path, program).Run(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "repl", "--name", "1@"+testHost())
	s := startScreen(t, cmd)
	s.await(")1> ")
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexit 9\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(childOf(t, cmd.Process.Pid), syscall.SIGKILL)
	s.await("** (EvaluatorError) something killed it", ")1> ")
	s.enter("6 * 7")
	s.await("42", ")2> ")
}
