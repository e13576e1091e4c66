package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A turnstile is a source, and a factory, whose runs go on until it is opened. It counts
// runs, and those at a time.
type turnstile struct {
	runs, running, most atomic.Int32
	open                chan struct{}
}

func (s *turnstile) source(context.Context, worker.ID) (worker.Value, error) {
	return s.Call(context.Background(), worker.Value{})
}

func (s *turnstile) factory(context.Context, worker.ID) (worker.Server, error) { return s, nil }

func (s *turnstile) Call(context.Context, worker.Value) (worker.Value, error) {
	s.runs.Add(1)
	s.most.Store(max(s.most.Load(), s.running.Add(1)))
	defer s.running.Add(-1)
	<-s.open
	return worker.IntValue(1), nil
}

// TestKindRemovedTwice removes and adds a kind again and again while its first run goes
// on. No other run of the id begins before that one has ended, not even one whose time is
// up, and the node says that it has the server.
func TestKindRemovedTwice(t *testing.T) {
	realTime(t)
	for name, serial := range map[string]bool{"cache": false, "serial": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := &turnstile{open: make(chan struct{})}
			kind := func(timeout time.Duration) map[string]worker.Kind {
				if serial {
					return map[string]worker.Kind{"x": worker.Serial{Timeout: timeout, Open: first.factory}}
				}
				return map[string]worker.Kind{"x": worker.Cache{Timeout: timeout, Load: first.source}}
			}
			n := startNode(t, "1@"+testHost(), worker.Cache{})
			set := func(k map[string]worker.Kind) {
				t.Helper()
				if err := n.SetKinds(k); err != nil {
					t.Fatal(err)
				}
			}
			ask := func(d time.Duration) error {
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				if serial {
					_, err := n.Family("x").Call(ctx, worker.IntID(7), worker.Value{})
					return err
				}
				_, err := n.Family("x").Request(ctx, worker.IntID(7))
				return err
			}
			set(kind(time.Minute))
			var wg sync.WaitGroup
			wg.Go(func() { _ = ask(time.Minute) })
			await(t, func() error {
				if first.running.Load() == 0 {
					return errors.New("no run")
				}
				return nil
			})
			for range 3 {
				set(nil)
				set(kind(50 * time.Millisecond))
				if err := ask(5 * time.Second); !errors.Is(err, context.DeadlineExceeded) || OutcomeOf(err) != worker.OutcomeNotRun {
					t.Errorf("while the first run goes on: %v, %v", err, OutcomeOf(err))
				}
			}
			if runs := first.runs.Load(); runs != 1 {
				t.Errorf("%d runs, want the first one alone", runs)
			}
			if serial && !n.claims.Holds(worker.Key{Kind: "x", ID: worker.IntID(7)}) {
				t.Error("the node denies that it has a server")
			}
			close(first.open)
			wg.Wait()
			if err := ask(10 * time.Second); err != nil {
				t.Error(err)
			}
			if most := first.most.Load(); most != 1 {
				t.Errorf("%d runs at a time", most)
			}
			await(t, func() error {
				if old := n.kinds.Removed(); len(old) > 0 {
					return fmt.Errorf("%d registries are kept", len(old))
				}
				return nil
			})
		})
	}
}
