package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// standStill makes it look as if the process of n had stood still.
func standStill(n *Node) {
	n.clock.StandStill(2 * time.Second)
}

// TestStandstillRaisesBarrier has one of two nodes stand still, and the other one has a
// server of its id by now: it waits for that.
func TestStandstillRaisesBarrier(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var made atomic.Int32
		why, release := make(chan worker.EndReason, 10), make(chan struct{})
		kind := map[string]worker.Kind{"lock": worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) {
			made.Add(1)
			return holding{ending{why}, release}, nil
		}}}
		nodes := startCluster(t, 2, worker.Cache{})
		owner, other := nodes[0], nodes[1]
		other.kinds.Host = hastyHost{other.kinds.Host}
		for _, n := range nodes {
			if err := n.SetKinds(kind); err != nil {
				t.Fatal(err)
			}
		}
		registry := other.kinds.Of("lock")
		call := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			_, err := owner.Family("lock").Call(ctx, worker.IntID(0), worker.Value{})
			return err
		}
		if err := call(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		await(t, func() error { // its view may still change, which ends the server
			if _, _, err := registry.Await(t.Context(), worker.IntID(0), worker.Value{}); err != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond)
			if !registry.Has(worker.IntID(0)) {
				return errors.New("the server has ended")
			}
			return nil
		})
		for len(why) > 0 {
			<-why
		}
		other.members.PretendFailed() // nobody, but its view has changed since it told of its servers
		before := made.Load()
		var holds sync.WaitGroup
		holds.Go(func() { registry.Await(t.Context(), worker.IntID(0), worker.BytesValue("hold")) })
		synctest.Wait()
		standStill(owner)
		if err := call(300 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || OutcomeOf(err) != worker.OutcomeNotRun {
			t.Errorf("while the other node has a server: %v, %v", err, OutcomeOf(err))
		}
		ended := func(want worker.EndReason) {
			t.Helper()
			select {
			case got := <-why:
				if got != want {
					t.Errorf("the server ended: %v, want %v", got, want)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("the server has not ended: %v", want)
			}
		}
		ended(worker.EndMoved)
		close(release)
		ended(worker.EndMoved) // it has been asked for
		holds.Wait()
		if err := call(5 * time.Second); err != nil {
			t.Error(err)
		}
		if n := made.Load() - before; n != 1 {
			t.Errorf("%d more servers were made, want 1", n)
		}
	})
}

// A holding server may hold on to a message.
type holding struct {
	ending
	release chan struct{}
}

func (h holding) Call(ctx context.Context, message worker.Value) (worker.Value, error) {
	if message.String() == "hold" {
		<-h.release
	}
	return h.ending.Call(ctx, message)
}

// A hastyHost has servers start although another node may have one, as if that had
// failed.
type hastyHost struct{ registry.Host }

func (hastyHost) Claim(context.Context, worker.Key) *wire.Error { return nil }

// TestStandstillAlone has a node without others stand still: nobody can have taken its
// place.
func TestStandstillAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		why := make(chan worker.EndReason, 10)
		n := startNode(t, "1@"+testHost(), worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) { return ending{why}, nil }})
		for range 3 {
			if _, err := n.Family("").Call(t.Context(), worker.IntID(0), worker.Value{}); err != nil {
				t.Fatal(err)
			}
			standStill(n)
		}
		if len(why) > 0 {
			t.Errorf("the server ended: %v", <-why)
		}
	})
}

// TestSuspendedClocks has the machine be suspended: the clocks of workers go on by that.
func TestSuspendedClocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		n.clock.Suspend(time.Hour)
		if workers := n.kinds.Of("").Now(); workers < time.Hour {
			t.Errorf("the clock of the workers is at %v, want more than 1h", workers)
		}
	})
}
