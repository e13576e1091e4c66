package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
)

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

// TestSerialLeavesInTime closes a node while a call takes longer than that may: it is
// cancelled before the others are told.
func TestSerialLeavesInTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var running, overlap atomic.Int32
		nodes := startCluster(t, 2, worker.Serial{Timeout: time.Minute, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return watched{&running, &overlap, 3 * time.Second}, nil
		}})
		done := make(chan error, 2)
		for range 2 { // the second one waits, and goes to the other node
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				_, err := nodes[0].Family("").Call(ctx, worker.IntID(1), worker.Value{})
				done <- err
			}()
			await(t, func() error {
				if running.Load() == 0 {
					return errors.New("nothing runs")
				}
				return nil
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := nodes[1].Close(ctx); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := overlap.Load(); n > 0 {
			t.Errorf("%d times two ran at once", n)
		}
	})
}

// TestKindComesBack takes a kind away and brings it back while something of it runs: what
// runs then waits for that.
func TestKindComesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var running, overlap atomic.Int32
		w := watched{&running, &overlap, 300 * time.Millisecond}
		serial := worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return w, nil }}
		values := worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) { return w.Call(ctx, worker.Value{}) }}
		for name, kinds := range map[string][]worker.Kind{
			"serial": {serial, serial}, "values": {values, values}, "values, then serial": {values, serial}, "serial, then values": {serial, values},
		} {
			n := startNode(t, "1@"+testHost(), worker.Cache{})
			var wg sync.WaitGroup
			for i, k := range kinds {
				if i > 0 && isSerial(k) == isSerial(kinds[i-1]) {
					if err := n.SetKinds(nil); err != nil {
						t.Fatal(err)
					}
				}
				if err := n.SetKinds(map[string]worker.Kind{"a": k}); err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					var err error
					if isSerial(k) {
						_, err = n.Family("a").Call(t.Context(), worker.IntID(7), worker.Value{})
					} else {
						_, err = n.Family("a").Request(t.Context(), worker.IntID(7))
					}
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				})
				time.Sleep(50 * time.Millisecond)
				if running.Load() != 1 {
					t.Errorf("%s: %d run", name, running.Load())
				}
			}
			wg.Wait()
			await(t, func() error {
				if n := len(n.kinds.Removed()); n > 0 {
					return errors.New("a registry is kept")
				}
				return nil
			})
		}
		if n := overlap.Load(); n > 0 {
			t.Errorf("%d times two ran at once", n)
		}
	})
}

func isSerial(kind worker.Kind) bool {
	_, ok := kind.(worker.Serial)
	return ok
}
