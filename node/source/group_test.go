//go:build unix

package source

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestExecCancelKillsGroup(t *testing.T) {
	t.Parallel()
	l := newLifeline(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	source := mustParse(t, l.in(`exec:sh -c '
		trap "" TERM INT HUP
		exec 3>"$LIFELINE"
		sh -c "echo ready >&3; sleep 60" &
		wait; sleep 60'`))
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
	t.Parallel()
	for _, c := range []struct{ name, redirect, value, err string }{
		{"quiet", ">/dev/null 2>&1", "hi", ""},
		{"holds the output", "", "", "sh: it left a process in the background that holds its input or output"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLifeline(t)
			spec := l.in(`exec:sh -c 'exec 3>"$LIFELINE"; sleep 60 ` + c.redirect + ` & echo hi'`)
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
	t.Parallel()
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	l := newLifeline(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	source := mustParse(t, l.in(`exec:sh -c 'exec 3>"$LIFELINE"; setsid sh -c "echo \$\$ >&3; exec sleep 60" & wait'`))
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
	case <-time.After(time.Minute):
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
