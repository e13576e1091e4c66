package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/node/internal/trace"
	"github.com/distproc/distproc/node/worker"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// traceOf returns the parts of a trace.
func traceOf(ctx context.Context) string {
	parent, state, baggage := worker.TraceContextOf(ctx)
	return parent + " " + state + " " + baggage
}

// TestTrace has a trace go from a client by way of its node to the source, and to the
// server, of another one, and into all logs.
func TestTrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		seen := make(chan string, 10)
		kinds := map[string]worker.Kind{
			"value": worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
				seen <- traceOf(ctx)
				return worker.Value{}, nil
			}},
			"serial": worker.Serial{Open: func(ctx context.Context, _ worker.ID) (worker.Server, error) {
				seen <- traceOf(ctx)
				return echoServer{}, nil
			}},
		}
		logs := make([]testlog.Buffer, 2)
		var nodes []*Node
		for i := range 2 {
			n, err := Start(Config{
				Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, network: memory, Kinds: kinds,
				Logger: slog.New(slog.NewTextHandler(&logs[i], &slog.HandlerOptions{Level: slog.LevelDebug})),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { crash(n) })
			nodes = append(nodes, n)
		}
		if err := nodes[1].Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes...)
		client, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for _, text := range []string{
			"00-xyz", "ff" + traceparent[2:], strings.Replace(traceparent, "00f067aa0ba902b7", "0000000000000000", 1),
			"00-00000000000000000000000000000000-00f067aa0ba902b7-01", traceparent + "-1", strings.ToUpper(traceparent),
		} {
			if got := worker.TraceOf(worker.WithTrace(t.Context(), text)); got != "" {
				t.Errorf("%q is a trace", got)
			}
		}
		state, bag := "vendor="+strings.Repeat("x", trace.MaxState-7), "tenant="+strings.Repeat("7", trace.MaxBaggage-7)
		for _, c := range []struct{ parent, state, bag, want string }{
			{"", "", "", "  "},
			{"00-xyz", "a=b", "c=d", "  "},
			{traceparent, "", "", traceparent + "  "},
			{traceparent, state, "", traceparent + " " + state + " "},
			{traceparent, "", bag, traceparent + "  " + bag},
			{traceparent, state, bag, traceparent + " " + state + " " + bag},
			{traceparent, state + "x", bag + "7", traceparent + "  "},
			{traceparent, "a=\n", "b=\x7f", traceparent + "  "},
		} {
			ctx := worker.WithTraceContext(t.Context(), c.parent, c.state, c.bag)
			if _, err := client.Family("value").Refresh(ctx, worker.IntID(1)); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Family("serial").Call(ctx, worker.IntID(1), worker.Value{}); err != nil {
				t.Fatal(err)
			}
			if _, err := nodes[0].Family("serial").Stop(ctx, worker.IntID(1)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if got := <-seen; got != c.want {
					t.Errorf("trace %q came as %q", c, got)
				}
			}
		}
		for i, what := range []string{"msg=request kind=value", "msg=run kind=value"} {
			nodes[i].flushLog()
			lines := slices.DeleteFunc(strings.Split(logs[i].String(), "\n"), func(line string) bool {
				return !strings.Contains(line, what) || !strings.Contains(line+" ", "trace="+traceparent+" ")
			})
			if len(lines) != 6 {
				t.Errorf("log of node %d: %d lines with %q and the trace", i+1, len(lines), what)
			}
		}
	})
}
