package registry

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

type echoServer struct{}

func (echoServer) Call(_ context.Context, message worker.Value) (worker.Value, error) {
	return message, nil
}

// await waits until check returns nil, for at most 10 s.
func await(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// percentile returns the value below which a share of the durations lies. It sorts them.
func percentile(took []time.Duration, share float64) time.Duration {
	slices.Sort(took)
	return took[int(share*float64(len(took)-1))]
}

func total(h worker.Histogram) (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// A safeBuffer is a buffer that many goroutines write to.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A watched server notes when two of them run at once. It runs for a while, or until its
// context ends.
type watched struct {
	running, overlap *atomic.Int32
	d                time.Duration
}

func (s watched) Call(ctx context.Context, m worker.Value) (worker.Value, error) {
	if s.running.Add(1) > 1 {
		s.overlap.Add(1)
	}
	defer s.running.Add(-1)
	clock.Sleep(ctx, s.d)
	return m, nil
}

// A serverFunc is a server without state.
type serverFunc func(context.Context, worker.Value) (worker.Value, error)

func (f serverFunc) Call(ctx context.Context, message worker.Value) (worker.Value, error) {
	return f(ctx, message)
}

// outcomeOf returns the outcome that an error carries.
func outcomeOf(err error) worker.Outcome {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return worker.Outcome(e.Outcome)
	}
	return worker.OutcomeUnknown
}

// num returns the integer of an id that is one.
func num(id worker.ID) int64 {
	n, _ := id.Int64()
	return n
}
