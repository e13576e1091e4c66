package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/internal/kinds"
	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/node/worker"
)

// TestReady asks nodes whether they are ready: two that are, though their source is not,
// and one that has lost its port, and left.
func TestReady(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broken := func(context.Context, worker.ID) (worker.Value, error) { panic("no source is asked") }
		nodes := startCluster(t, 2, worker.Cache{Load: broken})
		for _, n := range nodes {
			if err := n.Ready(t.Context()); err != nil {
				t.Errorf("%s: %v", n.Self(), err)
			}
			await(t, func() error {
				if live, _, _ := n.kinds.Of(kinds.Ready).Count(); live != 0 {
					return fmt.Errorf("%d workers are left", live)
				}
				return nil
			})
			if s := n.Stats(); len(s.Kinds) != 1 || s.Kinds[0].Local != 0 {
				t.Errorf("%+v: it counts", s)
			}
		}
		n := nodes[0]
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if n.Ready(ended) == nil {
			t.Error("ready although nobody waits")
		}
		if err := n.Alive(t.Context()); err != nil {
			t.Errorf("not alive: %v", err)
		}
		n.listener.Close()
		if err := n.Alive(t.Context()); !errors.Is(err, ErrUnreachable) {
			t.Errorf("alive without a port: %v", err)
		}
		if err := n.Ready(t.Context()); !errors.Is(err, ErrUnreachable) {
			t.Errorf("without a port: %v", err)
		}
		if err := nodes[1].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := nodes[1].Ready(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// TestReadyWhileIDsMove has the id that a node asks itself for become another node's before it
// answers, as when nodes come and go: it is ready all the same.
func TestReadyWhileIDsMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		ids := []int64{1, 1, 0} // of which the first node has 0
		err := nodes[0].ready(t.Context(), func() (id int64, ok bool) {
			id, ids = ids[0], ids[1:]
			return id, true
		})
		if err != nil || len(ids) > 0 {
			t.Errorf("%v, before it asked for %v", err, ids)
		}
	})
}

// TestReadyNeedsWorkers has a node that cannot start a worker: it is not ready.
func TestReadyNeedsWorkers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		ctx, cancel := context.WithCancel(t.Context())
		n.kinds.Of(kinds.Ready).SetKind(worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			cancel() // the one who asks gives up while the worker starts
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}})
		if err := n.Ready(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that it was given up", err)
		}
	})
}

// TestReadyIsNoClient asks a node whether it is ready: the log does not tell of that.
func TestReadyIsNoClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log testlog.Buffer
		n, err := Start(Config{Name: "1@" + testHost(), Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(n.Ready(t.Context()), n.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); strings.Contains(got, "client") {
			t.Errorf("log: %s", got)
		}
	})
}
