package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/handoff"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/node/worker"
)

// TestCloseEndsCalls closes a node whose calls take longer than Close may: the callers
// learn that it closed, and that their calls may have run.
func TestCloseEndsCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var running sync.WaitGroup
		until := func(ctx context.Context) (worker.Value, error) {
			running.Done()
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}
		kinds := map[string]worker.Kind{
			"value": worker.Cache{Exclusive: true, Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) { return until(ctx) }},
			"server": worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) {
				return serverFunc(func(ctx context.Context, _ worker.Value) (worker.Value, error) { return until(ctx) }), nil
			}},
		}
		host := testHost()
		var nodes []*Node
		for i := range 2 {
			n, err := Start(Config{Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, network: memory, Kinds: kinds})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close(context.Background())
			nodes = append(nodes, n)
		}
		if err := nodes[1].Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes...)
		var callers sync.WaitGroup
		for i, from := range nodes {
			id := worker.IntID(int64(2*i + 1)) // of the second node
			running.Add(2)
			for kind, ask := range map[string]func(context.Context, worker.ID) (worker.Reply, error){
				"value": from.Family("value").Request,
				"server": func(ctx context.Context, id worker.ID) (worker.Reply, error) {
					return from.Family("server").Call(ctx, id, worker.Value{})
				},
			} {
				callers.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					if _, err := ask(ctx, id); !errors.Is(err, ErrClosed) || OutcomeOf(err) != worker.OutcomeUnknown {
						t.Errorf("%s asked by %s: %v (%v), want %v, unknown", kind, from.Self(), err, OutcomeOf(err), ErrClosed)
					}
				})
			}
		}
		running.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := nodes[1].Close(ctx); err != nil {
			t.Error(err)
		}
		callers.Wait()
	})
}

// TestCloseWaits gives Close longer than it takes by itself: a call that needs it is
// answered.
func TestCloseWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		running := make(chan struct{})
		n := startNode(t, "1@"+testHost(), worker.Cache{Timeout: time.Minute, Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			close(running)
			clock.Sleep(ctx, drainTimeout+500*time.Millisecond)
			return worker.IntValue(1), ctx.Err()
		}})
		go func() {
			<-running
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			n.Close(ctx)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if reply, err := n.Request(ctx, worker.IntID(1)); err != nil {
			t.Errorf("%+v, %v", reply, err)
		}
	})
}

// TestClosedNode asks a closed node for a value that it has.
func TestClosedNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{TTL: time.Hour})
		if _, err := n.Request(t.Context(), worker.IntID(1)); err != nil {
			t.Fatal(err)
		}
		if err := n.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, ask := range map[string]func() error{
			"Request":    func() error { _, err := n.Request(t.Context(), worker.IntID(1)); return err },
			"Refresh":    func() error { _, err := n.Refresh(t.Context(), worker.IntID(1)); return err },
			"Call":       func() error { _, err := n.Family("").Call(t.Context(), worker.IntID(1), worker.Value{}); return err },
			"Invalidate": func() error { _, err := n.Invalidate(t.Context(), worker.IntID(1)); return err },
		} {
			if err := ask(); !errors.Is(err, ErrClosed) || OutcomeOf(err) != worker.OutcomeNotRun {
				t.Errorf("%s: %v, want %v", name, err, ErrClosed)
			}
		}
	})
}

// TestFlushTellsOfLost gives up a flush of no answers, and one of an answer on its way:
// only that is told.
func TestFlushTellsOfLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, lost := range []bool{false, true} {
			var log testlog.Buffer
			text := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
			n, err := Start(Config{Name: "1@" + testHost(), Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), Logger: slog.New(text)})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if lost {
				n.handoffs.Close()
				n.handoffs = handoff.New(slowPost{})
				n.handoffs.Add([]registry.Answer{{ID: worker.IntID(1), Data: "1", Left: time.Minute}})
				cancel()
			}
			n.flush(ctx)
			cancel()
			n.Close(t.Context()) // which flushes once more, and writes the log out
			if told := strings.Contains(log.String(), "not all answers were handed off"); told != lost {
				t.Errorf("answers are lost: %v, told: %v", lost, told)
			}
		}
	})
}

// A slowPost sends no answer as long as it may.
type slowPost struct{}

func (slowPost) Target(worker.ID) (string, bool) { return "2@h", true }

func (slowPost) Hurries() bool { return false }

func (slowPost) Send(ctx context.Context, _ string, _ []registry.Answer) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		start := time.Now()
		nodes[1].Close(t.Context())
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("an idle node whose peers answer took %v to leave", took)
		}
		awaitView(t, nodes[0], nodes[2])
		reply, err := nodes[0].Request(t.Context(), worker.IntID(1)) // 1 mod 2: the second of two
		if err != nil || reply.Node != nodes[2].Self() || reply.Degraded {
			t.Errorf("request(1) = %+v, %v; want an answer of %s", reply, err, nodes[2].Self())
		}
		if _, err := nodes[1].Request(t.Context(), worker.IntID(0)); !errors.Is(err, ErrClosed) {
			t.Errorf("request of a closed node = %v, want %v", err, ErrClosed)
		}
		back := startNode(t, nodes[1].Self(), worker.Cache{})
		back.Connect(t.Context(), nodes[2].Self())
		awaitView(t, nodes[0], back, nodes[2])
	})
}

// TestLeaveFinishesCalls has a node leave while it runs a call for another one.
func TestLeaveFinishesCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		started, finish := make(chan struct{}, 1), make(chan struct{})
		nodes := startCluster(t, 2, worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) {
			started <- struct{}{}
			<-finish
			return worker.IntValue(1), nil
		}})
		var wg sync.WaitGroup
		wg.Go(func() {
			reply, err := nodes[0].Request(t.Context(), worker.IntID(1))
			if err != nil || reply.Node != nodes[1].Self() || reply.Degraded {
				t.Errorf("request(1) = %+v, %v; want the answer of the node that leaves", reply, err)
			}
		})
		<-started
		wg.Go(func() { nodes[1].Close(t.Context()) })
		awaitView(t, nodes[0])
		close(finish)
		wg.Wait()
	})
}

// TestCloseFinishesRoutedCalls has the node of a client close while another one runs the
// client's call.
func TestCloseFinishesRoutedCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		running := make(chan struct{}, 1)
		nodes := startCluster(t, 2, worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			running <- struct{}{}
			clock.Sleep(ctx, 800*time.Millisecond) // Leave takes less
			return worker.IntValue(1), ctx.Err()
		}})
		checkSessions(t, nodes)
		c, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Request(t.Context(), worker.IntID(1)); err != nil {
				t.Errorf("a call that ran was cut: %v", err)
			}
		})
		<-running
		nodes[0].Close(t.Context())
		wg.Wait()
	})
}

// TestCloseWithDeafSource closes a node whose source does not heed its context: Close
// says so, and returns.
func TestCloseWithDeafSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		running, release := make(chan struct{}), make(chan struct{})
		n := startNode(t, "1@"+testHost(), worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) {
			close(running)
			<-release
			return worker.IntValue(1), nil
		}})
		var wg sync.WaitGroup
		wg.Go(func() { n.Request(t.Context(), worker.IntID(1)) })
		<-running
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := n.Close(ctx); err == nil {
			t.Error("Close tells nothing of a source that runs on")
		}
		close(release)
		wg.Wait()
	})
}
