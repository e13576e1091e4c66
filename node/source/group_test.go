//go:build unix

package source

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A lifeline is a FIFO that a script holds open as its descriptor 3, and with it all
// processes that it starts. They may say something in it; its end is the end of the last
// of them. (A pid would tell less: a zombie has one, too.)
type lifeline struct {
	lines chan string // closed at the end
}

func newLifeline(t *testing.T) *lifeline {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LIFELINE", path)
	l := &lifeline{lines: make(chan string, 10)}
	go func() {
		defer close(l.lines)
		f, err := os.Open(path) // waits for the script
		if err != nil {
			return
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			l.lines <- s.Text()
		}
	}()
	return l
}

// next returns the next line, or [io.EOF] when all is over.
func (l *lifeline) next(t *testing.T) (string, error) {
	t.Helper()
	select {
	case line, ok := <-l.lines:
		if !ok {
			return "", io.EOF
		}
		return line, nil
	case <-time.After(time.Minute):
		t.Fatal("the processes neither say something nor end")
		return "", nil
	}
}

func TestExecCancelKillsGroup(t *testing.T) {
	l := newLifeline(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	source := mustParse(t, `exec:sh -c '
		trap "" TERM INT HUP
		exec 3>"$LIFELINE"
		sh -c "echo ready >&3; sleep 60" &
		wait; sleep 60'`)
	done := make(chan error, 1)
	go func() { _, err := source(ctx, mustID(t, "7")); done <- err }()
	if line, err := l.next(t); line != "ready" {
		t.Fatal(line, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || err.Error() != "sh: killed: context canceled" {
		t.Error(err)
	}
	if line, err := l.next(t); err != io.EOF {
		t.Error(line, err)
	}
}

func TestExecEndKillsBackground(t *testing.T) {
	for _, c := range []struct{ name, redirect, value, err string }{
		{"quiet", ">/dev/null 2>&1", "hi", ""},
		{"holds the output", "", "", "sh: it left a process in the background that holds its input or output"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLifeline(t)
			spec := `exec:sh -c 'exec 3>"$LIFELINE"; sleep 60 ` + c.redirect + ` & echo hi'`
			if c.err != "" {
				checkFails(t, spec, "7", c.err)
			} else {
				checkValue(t, spec, "7", c.value)
			}
			if line, err := l.next(t); err != io.EOF {
				t.Error(line, err)
			}
		})
	}
}

// A process that has left the group lives on, but does not hold up the run.
func TestExecCancelDespiteDaemon(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	l := newLifeline(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	source := mustParse(t, `exec:sh -c 'exec 3>"$LIFELINE"; setsid sh -c "echo \$\$ >&3; exec sleep 60" & wait'`)
	done := make(chan error, 1)
	go func() { _, err := source(ctx, mustID(t, "7")); done <- err }()
	line, err := l.next(t)
	daemon, atoiErr := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || atoiErr != nil {
		t.Fatal(err, atoiErr)
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the run goes on")
	}
	if err := syscall.Kill(-daemon, syscall.SIGKILL); err != nil {
		t.Error("it is gone:", err)
	}
	for err == nil {
		_, err = l.next(t)
	}
}

// TestAwaitGone has processes that were killed take long to end: a program of the same id
// must not start beside them.
func TestAwaitGone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		ends, reaps time.Duration // when the last one becomes a zombie, and when it is gone
		want        time.Duration // at most groupLook earlier than awaitGone returns
	}{
		{"soon", 0, 5 * time.Millisecond, 5 * time.Millisecond},
		{"late", time.Second, time.Second, time.Second},
		{"as zombies", 0, time.Hour, groupDelay},
		{"late, as zombies", time.Second, time.Hour, time.Second},
		{"never", time.Hour, time.Hour, groupMost},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				after := func(d time.Duration) func() bool { return func() bool { return time.Since(began) >= d } }
				awaitGone(after(test.reaps), after(test.ends))
				if took := time.Since(began); took < test.want || took > test.want+groupLook {
					t.Errorf("it took %v, want %v", took, test.want)
				}
			})
		})
	}
}
