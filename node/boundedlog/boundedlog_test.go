package boundedlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeWriter is where lines go: it may be stuck, or fail.
type fakeWriter struct {
	open chan struct{} // nil: never stuck
	mu   sync.Mutex
	err  error        // guarded by mu
	b    bytes.Buffer // guarded by mu
}

func (w *fakeWriter) Write(p []byte) (int, error) {
	if w.open != nil {
		<-w.open
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	return w.b.Write(p)
}

func (w *fakeWriter) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// lines returns what was written, in short.
func (w *fakeWriter) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Split(strings.TrimSpace(w.b.String()), "\n")
}

func newText(w *fakeWriter) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// TestStuck fills the queue of a log whose reader has stopped: nothing waits, and when
// the reader goes on it gets the first lines, the number of the missing ones, and the
// lines from then on.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWriter{open: make(chan struct{})}
		log, flush := New(newText(w))
		for i := range 10_000 {
			log.Info("line", "i", i)
		}
		began := time.Now()
		flush()
		if took := time.Since(began); took != flushTimeout {
			t.Errorf("flush took %v", took)
		}
		close(w.open)
		synctest.Wait()
		log.Info("after")
		flush()
		lines := w.lines()
		n := len(lines)
		if n < maxLines || n > maxLines+3 || lines[0] != "level=INFO msg=line i=0" || lines[n-3] != fmt.Sprintf("level=INFO msg=line i=%d", n-3) ||
			lines[n-2] != fmt.Sprintf(`level=WARN msg="log lines lost" count=%d`, 10_000-(n-2)) || lines[n-1] != "level=INFO msg=after" {
			t.Errorf("%d lines, the last ones are %q", n, lines[max(0, n-4):])
		}
	})
}

// TestBytes queues long lines: their bytes are bounded, too.
func TestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWriter{open: make(chan struct{})}
		log, _ := New(newText(w))
		long := strings.Repeat("x", maxBytes/8)
		log.Info("first") // which is being written
		synctest.Wait()
		for range 3 {
			log.Info("in a text", "text", long)
			log.Info("in an error", "err", errors.New(long))
			log.Info("in a group", slog.Group("g", "text", long))
		}
		close(w.open)
		synctest.Wait()
		if lines := w.lines(); len(lines) != 1+7+1 || lines[8] != `level=WARN msg="log lines lost" count=2` {
			t.Errorf("%d lines, the last one is %.100q", len(lines), lines[len(lines)-1])
		}
	})
}

// TestFailing has the disk be full for a while.
func TestFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w fakeWriter
		log, _ := New(newText(&w))
		say := func(n int) { log.Info("line", "n", n); synctest.Wait() }
		w.fail(errors.New("no space left on device"))
		say(1)
		say(2)
		w.fail(nil)
		say(3)
		say(4)
		want := []string{`level=WARN msg="log lines lost" count=2`, "level=INFO msg=line n=3", "level=INFO msg=line n=4"}
		if got := w.lines(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestPanicking has a handler that panics at one line.
func TestPanicking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w fakeWriter
		log, flush := New(slog.New(panicking{newText(&w).Handler()}))
		log.Info("one")
		log.Info("panic")
		log.Info("two")
		flush()
		want := []string{"level=INFO msg=one", `level=WARN msg="log lines lost" count=1`, "level=INFO msg=two"}
		if got := w.lines(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

type panicking struct{ slog.Handler }

func (p panicking) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "panic" {
		panic("a handler")
	}
	return p.Handler.Handle(ctx, r)
}

// TestOrder compares what goes through the queue, from several loggers, with what does
// not.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w, want fakeWriter
		bounded, flush := New(newText(&w))
		for _, log := range []*slog.Logger{bounded, newText(&want)} {
			value := 1
			other := log.With("a", 1).WithGroup("g").With("b", 2)
			for i := range 100 {
				log.Info("one", "i", i, "late", lazy{&value}, slog.Group("in", "late", lazy{&value}))
				other.Warn("two", "i", i, "err", errors.New("x"))
				log.Debug("not enabled")
				value++
			}
		}
		flush()
		if got, want := fmt.Sprint(w.lines()), fmt.Sprint(want.lines()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

type lazy struct{ value *int }

func (l lazy) LogValue() slog.Value { return slog.IntValue(*l.value) }

// TestNew looks at loggers that need no queue.
func TestNew(t *testing.T) {
	t.Parallel()
	silent, flush := New(nil)
	silent.Error("nobody")
	flush()
	if silent.Enabled(context.Background(), slog.LevelError) {
		t.Error("a silent logger is enabled")
	}
	one, _ := New(newText(&fakeWriter{}))
	one = one.With("a", 1)
	if two, _ := New(one); two != one {
		t.Error("a logger with a queue gets another one")
	}
}

// TestLimit counts the lines that may be written.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimit()
		passed := 0
		for range 1000 {
			if fields, ok := l.Allow(); ok {
				passed++
				if fields != nil {
					t.Errorf("%v", fields)
				}
			}
		}
		time.Sleep(time.Second)
		if fields, ok := l.Allow(); passed != linesPerSecond || !ok || fmt.Sprint(fields) != "[left_out 900]" {
			t.Errorf("%d passed; then %v, %v", passed, ok, fields)
		}
	})
}

// TestRepeats has lines of the same keys, and of many keys.
func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Repeats
		allow := func(key string, want bool, wantFields ...any) {
			t.Helper()
			if fields, ok := r.Allow(key); ok != want || fmt.Sprint(fields) != fmt.Sprintf("%v", wantFields) {
				t.Errorf("%s: %v, %v; want %v, %v", key, ok, fields, want, wantFields)
			}
		}
		allow("a", true)
		allow("a", false)
		allow("b", true, "left_out", 1)
		time.Sleep(repeatAfter)
		allow("a", true)
		for i := range 2 * maxKeys {
			r.Allow(fmt.Sprint(i))
		}
		if len(r.last) != maxKeys {
			t.Errorf("%d keys are kept", len(r.last))
		}
		time.Sleep(repeatAfter)
		allow("c", true, "left_out", maxKeys+1)
	})
}
