package source

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// TestHelper is the body of the processes that other tests start.
func TestHelper(t *testing.T) {
	t.Parallel()
	switch os.Getenv("SOURCE_TEST_HELPER") {
	case "":
		t.Skip("this is the process that other tests start")
	case "node":
		_, err := mustParse(t, os.Getenv("SOURCE_TEST_SPEC"))(t.Context(), mustID(t, "7"))
		t.Fatal("the program has ended: ", err)
	case "init":
		playInit(t)
	case "large":
		beLarge(t)
	}
}

func helper(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestHelper$", "-test.count=1")
	cmd.Env = append(os.Environ(), "SOURCE_TEST_HELPER="+role)
	return cmd
}

// startNode starts a process that runs the program of spec as node testEnv does.
func startNode(t *testing.T, spec string) *os.Process {
	t.Helper()
	cmd := helper(t, "node")
	cmd.Env = append(cmd.Env, "SOURCE_TEST_SPEC="+spec)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process
}

// readPid returns the process that has said its number.
func (l *lifeline) readPid(t *testing.T) int {
	t.Helper()
	line, err := l.next(t)
	pid, atoiErr := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || atoiErr != nil {
		t.Fatal(err, atoiErr)
	}
	return pid
}

func lives(pid int) bool {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return false
	}
	stat, err := p.Stat()
	return err == nil && stat.State != "Z" && stat.State != "X"
}

// A program ends with its node, however that ends.
func TestExecEndsWithNode(t *testing.T) {
	l := newLifeline(t)
	killed := startNode(t, l.in(`exec:sh -c 'trap "" TERM HUP INT; exec 3>"$LIFELINE"; echo ready >&3; exec sleep 60'`))
	if line, err := l.next(t); line != "ready" {
		t.Fatal(line, err)
	}
	_ = killed.Kill()
	if line, err := l.next(t); err != io.EOF {
		t.Error(line, err)
	}
}

// A program lives on while other threads of the node end.
func TestExecOutlivesThreads(t *testing.T) {
	source := mustParse(t, "exec:sleep 0.2")
	var runs, threads sync.WaitGroup
	over := make(chan struct{})
	threads.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond): // so that the runtime polls pipes, even on one processor
			}
			var locked sync.WaitGroup
			for range 16 {
				locked.Go(runtime.LockOSThread) // so the thread ends with the goroutine
			}
			locked.Wait()
		}
	})
	for range 20 {
		runs.Go(func() {
			if _, err := source(t.Context(), mustID(t, "7")); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	close(over)
	threads.Wait()
}

// The first run of a program waits until nothing is left of an earlier process of its
// node.
func TestExecEndsLeftovers(t *testing.T) {
	for _, c := range []struct {
		name, start string // of the process that is left
		env         Env
		node        bool // the earlier process of the node still runs
		stays       bool
	}{
		{"child", "sh", testEnv, false, false},
		{"child without the environment, beside one with it", "sleep 60 & env -i sh", testEnv, false, false},
		{"daemon", "setsid sh", testEnv, false, true},
		{"node that runs", "sh", testEnv, true, true},
		{"another node", "sh", Env{Kind: "price", Node: "22@127.0.0.1"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLifeline(t)
			earlier := startNode(t, l.in(`exec:sh -c 'exec 3>"$LIFELINE"
				`+c.start+` -c "trap \"\" TERM HUP; echo \$\$ >&3; while :; do sleep 1; done" &
				wait'`))
			left := l.readPid(t)
			defer syscall.Kill(left, syscall.SIGKILL)
			if !c.node {
				_ = earlier.Kill()
				_, _ = earlier.Wait()
			}
			source, err := Parse("exec:echo a", c.env)
			if err != nil {
				t.Fatal(err)
			}
			if v, err := source(t.Context(), mustID(t, "7")); err != nil || v.String() != "a" {
				t.Fatal(v, err)
			}
			if got := lives(left); got != c.stays {
				t.Errorf("the process lives: %v, want %v", got, c.stays)
			}
		})
	}
}

// beLarge locks a file, and has so much memory that the system takes its time to end the
// process.
func beLarge(t *testing.T) {
	memory := make([]byte, 512<<20)
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	if !locks(t, os.Getenv("SOURCE_TEST_LOCK")) {
		t.Fatal("the file is locked")
	}
	if err := os.WriteFile(os.Getenv("LIFELINE"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	runtime.KeepAlive(memory)
}

// locks reports whether nobody else has locked a file, which this process locks until it
// ends.
func locks(t *testing.T, file string) bool {
	t.Helper()
	fd, err := syscall.Open(file, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// A leftover that the system is about to end still has its locks. The first run waits for
// that, too.
func TestExecAwaitsTheDying(t *testing.T) {
	l := newLifeline(t)
	lock := filepath.Join(t.TempDir(), "lock")
	t.Setenv("SOURCE_TEST_LOCK", lock)
	earlier := startNode(t, l.in("exec:sh -c 'LIFELINE=$LIFELINE SOURCE_TEST_HELPER=large "+os.Args[0]+" -test.run=^TestHelper$ & wait'"))
	left := l.readPid(t)
	defer syscall.Kill(left, syscall.SIGKILL)
	_ = earlier.Kill()
	_, _ = earlier.Wait()
	if err := endLeftovers(t.Context(), testEnv.Node); err != nil {
		t.Fatal(err)
	}
	if !locks(t, lock) {
		t.Error("the leftover has its lock yet")
	}
}

// A run whose time is over while another one waits for leftovers has not begun.
func TestExecAwaitsEarlier(t *testing.T) {
	t.Parallel()
	p, err := newProgram("echo a", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.clearer.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = p.run(ctx, mustID(t, "7"), nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "echo: not started: ") {
		t.Error(err)
	}
	p.clearer.Release(1)
	if v, err := p.run(t.Context(), mustID(t, "7"), nil); err != nil || v.String() != "a" {
		t.Error(v, err)
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	own, err := ownMark()
	if err != nil {
		t.Fatal(err)
	}
	if !own.lives() {
		t.Error("this process does not live")
	}
	other := own
	other.started++
	if other.lives() {
		t.Error("an earlier process of the same number lives")
	}
	environ := []string{"A=b", "DISTPROC_NODE=2@h", markVariable + "=" + own.String()}
	if m, ok := markIn(environ, "2@h"); !ok || m != own {
		t.Error(m, ok)
	}
	for _, bad := range [][]string{
		nil, {"DISTPROC_NODE=2@h"}, {"DISTPROC_NODE=22@h", environ[2]}, {environ[1], environ[2] + "1x"}, {environ[1], markVariable + "=1.2.3"},
	} {
		if m, ok := markIn(bad, "2@h"); ok {
			t.Error(bad, m)
		}
	}
}

// Reap collects the processes that programs leave behind, and takes no exit status from
// exec.
func TestReap(t *testing.T) {
	t.Parallel()
	if out, err := helper(t, "init").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// playInit makes orphans while programs run, as the first process of a container.
func playInit(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	stop := Reap()
	defer stop()
	source := mustParse(t, "exec:sh -c 'sleep 60 >/dev/null 2>&1 & setsid true >/dev/null 2>&1 & echo hi; exit $1' sh {id}")
	done := make(chan struct{})
	for i := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 10 {
				v, err := source(t.Context(), mustID(t, strconv.Itoa(i)))
				if (i == 0 && (err != nil || v.String() != "hi")) ||
					(i > 0 && (err == nil || err.Error() != "sh: exit status "+strconv.Itoa(i))) {
					t.Errorf("exit %d: %v, %v", i, v, err)
				}
			}
		}()
	}
	for range 4 {
		<-done
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if errors.Is(err, unix.ECHILD) {
			return // there is no child, neither dead nor alive
		}
		if time.Now().After(deadline) {
			t.Fatal("children are left")
		}
	}
}
