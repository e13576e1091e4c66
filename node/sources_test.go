package node

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/worker"
)

// TestErrorsOfTheOwner has sources fail on another node.
func TestErrorsOfTheOwner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
			if id == worker.IntID(1) {
				return worker.Value{}, errors.New("no such tenant")
			}
			panic("oh")
		}})
		_, err := nodes[0].Request(t.Context(), worker.IntID(1))
		if !errors.Is(err, ErrWorker) || OutcomeOf(err) != worker.OutcomeRan || !strings.Contains(err.Error(), nodes[1].Self()) {
			t.Errorf("request(1) = %v, outcome %v; want %v of %s, ran", err, OutcomeOf(err), ErrWorker, nodes[1].Self())
		}
		if _, err = nodes[0].Request(t.Context(), worker.IntID(3)); !errors.Is(err, ErrPanic) {
			t.Errorf("request(3) = %v, want %v", err, ErrPanic)
		}
	})
}

// TestCancelReachesTheSource has a caller give up: the source on the owner is cancelled.
func TestCancelReachesTheSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		started, canceled := make(chan struct{}), make(chan struct{})
		nodes := startCluster(t, 2, worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			close(started)
			<-ctx.Done()
			close(canceled)
			return worker.Value{}, ctx.Err()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-started
			cancel()
		}()
		_, err := nodes[0].Request(ctx, worker.IntID(1))
		if !errors.Is(err, context.Canceled) || OutcomeOf(err) != worker.OutcomeUnknown {
			t.Errorf("request = %v, outcome %v; want canceled, unknown", err, OutcomeOf(err))
		}
		<-canceled
	})
}

// TestExclusive loses the owner while it runs a call: of an exclusive kind it is not run
// again.
func TestExclusive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, exclusive := range []bool{false, true} {
			var nodes []*Node
			source := func(_ context.Context, id worker.ID) (worker.Value, error) { return worker.IntValue(1), nil }
			started := make(chan struct{}, 1)
			slow := func(ctx context.Context, id worker.ID) (worker.Value, error) {
				started <- struct{}{}
				<-ctx.Done()
				return worker.Value{}, ctx.Err()
			}
			host := testHost()
			nodes = append(nodes, startNode(t, "1@"+host, worker.Cache{Load: source, Exclusive: exclusive}))
			nodes = append(nodes, startNode(t, "2@"+host, worker.Cache{Load: slow, Exclusive: exclusive}))
			nodes[0].Connect(t.Context(), nodes[1].Self())
			awaitView(t, nodes...)
			go func() {
				<-started
				crash(nodes[1])
			}()
			reply, err := nodes[0].Request(t.Context(), worker.IntID(1))
			if exclusive && (err == nil || OutcomeOf(err) != worker.OutcomeUnknown) {
				t.Errorf("exclusive: %+v, %v; want an error with outcome unknown", reply, err)
			}
			if !exclusive && (err != nil || !reply.Degraded) {
				t.Errorf("not exclusive: %+v, %v; want a degraded answer", reply, err)
			}
		}
	})
}
