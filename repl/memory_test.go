package repl

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.starlark.net/starlark"
)

// TestQuit has steps that nothing can stop, and that take more and more memory: the shell
// gives them up, and says why.
func TestQuit(t *testing.T) {
	for _, c := range []struct {
		what   string
		bytes  int // that the step takes
		cancel bool
		after  time.Duration
		status ExitStatus
		errs   string
	}{
		{"a step that is interrupted", 0, true, grace, 130, "-e:1:1: interrupted\n"},
		{"a step that takes some memory", 3 << 19, false, memoryGrace, 1, "-e:1:1: stopped: the program took more than 1 MiB of memory\n"},
		{"a step that takes much memory", 64 << 20, false, 0, 1, "-e:1:1: stopped: the program took more than 1 MiB of memory\n"},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var errs bytes.Buffer
				quit := make(chan error, 1)
				sh := New(Config{Cluster: &fakeCluster{}, Err: &errs, Quit: func(err error) {
					select {
					case quit <- err:
					default: // in a process it is called once
					}
				}})
				var began time.Time
				sh.maxGrowth = 1 << 20
				runtime.GC() // what it collects must not hide the growth
				sh.globals["step"] = starlark.NewBuiltin("step", func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
					began = time.Now()
					taken := make([]byte, c.bytes)
					if c.cancel {
						cancel()
					}
					err := <-quit
					if took := time.Since(began); took < c.after || took > c.after+10*watchEvery {
						t.Errorf("given up after %v, want %v", took, c.after)
					}
					if err != c.status {
						t.Errorf("%v, want %v", err, c.status)
					}
					if got, _, _ := strings.Cut(errs.String(), "\n"); got+"\n" != c.errs {
						t.Errorf("%q, want %q", got, c.errs)
					}
					runtime.KeepAlive(taken)
					return starlark.None, nil
				})
				p, err := parseProgram("-e", strings.NewReader("x = step()"))
				if err != nil {
					t.Fatal(err)
				}
				_ = sh.exec(ctx, p)
			})
		})
	}
}
