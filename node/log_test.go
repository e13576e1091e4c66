package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
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
	stuck := stuckHandler{make(chan struct{})}
	t.Cleanup(func() { close(stuck.open) })
	for name, handler := range map[string]slog.Handler{"stuck": stuck, "failing": failingHandler{stuck}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- useCluster(ctx, t, slog.New(handler)) }()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-ctx.Done():
				t.Error("the nodes do nothing any more")
			}
		})
	}
}

// useCluster uses two nodes and a client in all ways that write lines.
func useCluster(ctx context.Context, t *testing.T, log *slog.Logger) error {
	host := testHost()
	var nodes []*Node
	for i := range 2 {
		n, err := Start(Config{Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, Default: orRandom(worker.Kind{}), Logger: log})
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
	client, err := Attach(ctx, ClientConfig{Node: a.Self(), Cookie: testCookie, Logger: log})
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

// TestPanicIsLogged has sources and servers end otherwise than they should: each has a
// line with its stack.
func TestPanicIsLogged(t *testing.T) {
	var text safeBuffer
	log, flush := boundedlog.New(slog.New(slog.NewTextHandler(&text, nil)))
	divide := func(context.Context, worker.ID) (worker.Value, error) { panic("division by tenant") }
	leave := func(context.Context, worker.ID) (worker.Value, error) { runtime.Goexit(); return worker.Value{}, nil }
	for name, kind := range map[string]worker.Kind{
		"panics": {Source: divide},
		"inline": {Source: divide, Inline: true},
		"leaves": {Source: leave},
		"factory": {Serial: func(ctx context.Context, id worker.ID) (worker.Server, error) {
			_, err := divide(ctx, id)
			return nil, err
		}},
		"server": {Serial: func(context.Context, worker.ID) (worker.Server, error) { return panickingServer{}, nil }},
	} {
		r := newRegistry(name, kind, "1@a", &room{size: 10}, new(values), log)
		if _, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.now()); !errors.Is(err, wire.Panicked) {
			t.Errorf("%s: %v", name, err)
		}
		r.close(t.Context())
		flush()
		line := ""
		for l := range strings.Lines(text.String()) {
			if strings.Contains(l, `level=ERROR msg="worker panicked" kind=`+name+` id=7 panic=`) {
				line = l
			}
		}
		if !strings.Contains(line, "log_test.go:") {
			t.Errorf("%s: the line is %q of\n%s", name, line, &text)
		}
	}
}

type panickingServer struct{}

func (panickingServer) Call(context.Context, worker.Value) (worker.Value, error) { panic("a message") }
