package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A stuckHandler is that of a log whose reader has stopped.
type stuckHandler struct{ open chan struct{} }

func (stuckHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h stuckHandler) Handle(context.Context, slog.Record) error {
	<-h.open
	return nil
}

func (h stuckHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h stuckHandler) WithGroup(string) slog.Handler { return h }

// A failingHandler is that of a log on a full disk.
type failingHandler struct{ stuckHandler }

func (failingHandler) Handle(context.Context, slog.Record) error {
	return errors.New("no space left on device")
}

// TestLogIsNoSinglePointOfFailure has nodes with logs that are stuck, or fail: they join,
// answer, see each other go, and close.
func TestLogIsNoSinglePointOfFailure(t *testing.T) {
	for _, name := range []string{"stuck", "failing"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				stuck := stuckHandler{make(chan struct{})}
				defer close(stuck.open)
				var handler slog.Handler = stuck
				if name == "failing" {
					handler = failingHandler{stuck}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := useCluster(ctx, t, slog.New(handler)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// useCluster uses two nodes and a client in all ways that write lines.
func useCluster(ctx context.Context, t *testing.T, log *slog.Logger) error {
	host := testHost()
	var nodes []*Node
	for i := range 2 {
		n, err := Start(Config{Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), Logger: log})
		if err != nil {
			return err
		}
		defer crash(n)
		nodes = append(nodes, n)
	}
	a, b := nodes[0], nodes[1]
	if err := b.Join(ctx, a.Self()); err != nil {
		return err
	}
	awaitView(t, a, b)
	client, err := Attach(ctx, ClientConfig{Node: a.Self(), Cookie: testCookie, network: memory, Logger: log})
	if err != nil {
		return err
	}
	for i := range int64(3000) { // more than a queue holds
		if _, err := client.Request(ctx, worker.IntID(i)); err != nil {
			return err
		}
		if _, err := b.Request(ctx, worker.IntID(i)); err != nil {
			return err
		}
	}
	if _, err := client.Stop(ctx, worker.IntID(0)); err != nil {
		return err
	}
	if infos, err := a.Nodes(ctx); err != nil || len(infos) != 2 || infos[1].Problem != "" {
		return fmt.Errorf("nodes: %+v, %w", infos, err)
	}
	if err := a.Ready(ctx); err != nil {
		return err
	}
	began := time.Now()
	err = errors.Join(b.Close(ctx), client.Close(), a.Close(ctx))
	if took := time.Since(began); took > 30*time.Second {
		return fmt.Errorf("to close took %v", took)
	}
	return err
}
