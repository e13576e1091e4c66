package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestReadyIsShared has many ask at once whether a request works: one request shows it to
// all.
func TestReadyIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		g := New(Config{Cluster: newFake(), Ready: func(context.Context) error {
			asked.Add(1)
			time.Sleep(time.Second)
			return nil
		}})
		for want := range int32(2) {
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if res := get(t, g, "/readyz"); res.status != 200 {
						t.Errorf("%d %s", res.status, res.body)
					}
				})
			}
			wg.Wait()
			if n := asked.Load(); n != want+1 {
				t.Errorf("asked %d times, want %d", n, want+1)
			}
		}
	})
}

// TestReadyTakesLong has the request that shows it hang.
func TestReadyTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{Cluster: newFake(), Ready: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		began := time.Now()
		if res := get(t, g, "/readyz"); res.status != 503 || time.Since(began) != readyTimeout {
			t.Errorf("%d %s after %v", res.status, res.body, time.Since(began))
		}
	})
}

// TestReadyPanics has the check panic: the log has its stack, not only that of the
// request.
func TestReadyPanics(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	g := New(Config{
		Cluster: newFake(), Ready: func(context.Context) error { panic("a secret") },
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if p := wantProblem(t, get(t, g, "/readyz"), 500, "internal-error"); strings.Contains(p.Detail, "secret") {
		t.Errorf("%+v", p)
	}
	g.flush()
	line, _, _ := strings.Cut(log.String(), "\n")
	if !strings.Contains(line, `msg="readiness check panicked" panic="a secret"`) || !strings.Contains(line, "health_test.go:") {
		t.Errorf("log: %s", &log)
	}
}
