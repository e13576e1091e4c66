package node

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestOutcomeWhenTheCallerCloses has the caller's node close while the owner runs the
// call: it may have run.
func TestOutcomeWhenTheCallerCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		running := make(chan struct{}, 1)
		nodes := startCluster(t, 2, worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			running <- struct{}{}
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := nodes[0].Request(t.Context(), worker.IntID(1))
			if err == nil || OutcomeOf(err) != worker.OutcomeUnknown {
				t.Errorf("request = %v, outcome %v; want unknown", err, OutcomeOf(err))
			}
		})
		<-running
		nodes[0].Close(t.Context())
		wg.Wait()
	})
}

// TestDefaultTimeout makes a call wait for a first dial and then for a slow source: it
// has 5 s for both.
func TestDefaultTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		silent, err := memory.Listen(host + ":4372")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		a := startNode(t, "1@"+host, worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}})
		a.members.Learn(a.members.View(), []wire.Member{{Name: "2@" + host, Addr: host + ":4372", Incarnation: 1}})
		start := time.Now()
		_, err = a.Request(context.Background(), worker.IntID(1))
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > worker.DefaultTimeout+time.Second {
			t.Errorf("request = %v after %v, want %v after 5 s", err, took, context.DeadlineExceeded)
		}
	})
}
