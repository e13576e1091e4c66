package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestKindStats follows the counts of a kind on two nodes through what its requests come
// to.
func TestKindStats(t *testing.T) {
	t.Parallel()
	source := func(_ context.Context, id worker.ID) (worker.Value, error) {
		if num(id) < 0 {
			return worker.Value{}, errors.New("no such id")
		}
		time.Sleep(3 * time.Millisecond)
		return worker.IntValue(num(id)), nil
	}
	nodes := startCluster(t, 2, worker.Cache{TTL: time.Hour, Load: source})
	a, b := nodes[0], nodes[1]
	for _, id := range []int64{0, 0, 0, 1, 1, -1, -2, -2} { // the even ones are a's
		_, _ = a.Request(t.Context(), worker.IntID(id))
	}
	check := func(n *Node, want string) {
		t.Helper()
		s := n.Stats().Kinds[0]
		got := fmt.Sprintf("local %d remote %d degraded %d failed %v latency %d loads %d errors %d workers %d expired %d",
			s.Local, s.Remote, s.Degraded, s.Failed, total(s.Latency), total(s.Loads), s.LoadErrs, s.Workers, s.Expired)
		if got != want {
			t.Errorf("%s: %s\nwant %s", n.Self(), got, want)
		}
	}
	check(a, "local 3 remote 2 degraded 0 failed map[source failed:3] latency 8 loads 3 errors 2 workers 1 expired 0")
	client, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: testCookie})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, id := range []int64{0, 4, 1} { // which a has, has not yet, and gets from b
		if _, err := client.Request(t.Context(), worker.IntID(id)); err != nil {
			t.Error(err)
		}
	}
	check(a, "local 5 remote 3 degraded 0 failed map[source failed:3] latency 11 loads 4 errors 2 workers 2 expired 0")
	check(b, "local 0 remote 0 degraded 0 failed map[] latency 0 loads 2 errors 1 workers 1 expired 0")
	s := a.Stats().Kinds[0]
	if s.Latency.Counts[0] < 2 || s.Latency.Sum < 6*time.Millisecond || s.Loads.Sum < 3*time.Millisecond {
		t.Errorf("%+v: want 2 hits that took no time, and two loads of 3 ms", s)
	}
	crash(b)
	if _, err := a.Request(t.Context(), worker.IntID(3)); err != nil {
		t.Fatal(err)
	}
	if s := a.Stats().Kinds[0]; s.Degraded != 1 && s.Local != 6 { // the latter if the crash was seen by then
		t.Errorf("%+v, want a degraded answer", s)
	}
}

func total(h worker.Histogram) (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// TestTrace has a trace go from a client by way of its node to the source, and to the
// server, of another one, and into all logs.
func TestTrace(t *testing.T) {
	t.Parallel()
	host := testHost()
	seen := make(chan string, 10)
	kinds := map[string]worker.Kind{
		"value": worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			seen <- worker.TraceOf(ctx)
			return worker.Value{}, nil
		}},
		"serial": worker.Serial{Open: func(ctx context.Context, _ worker.ID) (worker.Server, error) {
			seen <- worker.TraceOf(ctx)
			return echoServer{}, nil
		}},
	}
	logs := make([]safeBuffer, 2)
	var nodes []*Node
	for i := range 2 {
		n, err := Start(Config{
			Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, Kinds: kinds,
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
	client, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, trace := range []string{
		"00-xyz", "ff" + traceparent[2:], strings.Replace(traceparent, "00f067aa0ba902b7", "0000000000000000", 1),
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", traceparent + "-1", strings.ToUpper(traceparent),
	} {
		if got := worker.TraceOf(worker.WithTrace(t.Context(), trace)); got != "" {
			t.Errorf("%q is a trace", got)
		}
	}
	for trace, want := range map[string]string{traceparent: traceparent, "00-xyz": "", "": ""} {
		ctx := worker.WithTrace(t.Context(), trace)
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
			if got := <-seen; got != want {
				t.Errorf("trace %q came as %q", trace, got)
			}
		}
	}
	for i, what := range []string{"msg=request kind=value", "msg=run kind=value"} {
		nodes[i].flushLog()
		lines := slices.DeleteFunc(strings.Split(logs[i].String(), "\n"), func(line string) bool {
			return !strings.Contains(line, what) || !strings.Contains(line, "trace="+traceparent)
		})
		if len(lines) != 1 {
			t.Errorf("log of node %d: %d lines with %q and the trace", i+1, len(lines), what)
		}
	}
}

// A safeBuffer is a buffer that many goroutines write to.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestTyped has types of Go become values and come back.
func TestTyped(t *testing.T) {
	t.Parallel()
	type price struct{ Cents int }
	roundTrip(t, 7, "7")
	roundTrip(t, int64(-7), "-7")
	roundTrip(t, int32(-7), "-7")
	roundTrip(t, uint32(7), "7")
	roundTrip(t, uint64(1<<63), "9223372036854775808")
	roundTrip(t, "seven", "seven")
	roundTrip(t, worker.BytesValue("seven"), "seven")
	roundTrip(t, price{7}, `{"Cents":7}`)
	roundTrip(t, 1.5, "1.5")
	if v, _ := worker.ValueOf([]byte("\x00")); v.String() != "\x00" {
		t.Errorf("bytes = %q", v)
	}
	if v, _ := worker.ValueOf(price{7}); v.MediaType() != "application/json" {
		t.Errorf("media type = %q", v.MediaType())
	}
	if b, err := worker.As[[]byte](worker.BytesValue("x")); string(b) != "x" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := worker.As[price](worker.BytesValue(strings.Repeat("seven", 100))); err == nil || len(err.Error()) > 200 {
		t.Errorf("As = %v, want a short error", err)
	}
	if _, err := worker.ValueOf(func() {}); err == nil {
		t.Error("a function is a value")
	}
}

func roundTrip[T comparable](t *testing.T, x T, text string) {
	t.Helper()
	v, err := worker.ValueOf(x)
	back, err2 := worker.As[T](v)
	if err != nil || err2 != nil || v.String() != text || back != x {
		t.Errorf("%v became %q, %v and came back as %v, %v", x, v, err, back, err2)
	}
}

// TestTypedKinds asks typed kinds: of a source, of a server, and of those whose answer is
// another type.
func TestTypedKinds(t *testing.T) {
	t.Parallel()
	type price struct{ Cents int }
	n := startNode(t, "1@"+testHost(), worker.Cache{Load: worker.Load(func(_ context.Context, id worker.ID) (price, error) { return price{int(num(id))}, nil })})
	if err := n.SetKinds(map[string]worker.Kind{"serial": worker.Serial{Open: worker.Serve(func(context.Context, worker.ID) (adder, error) { return adder{}, nil })}}); err != nil {
		t.Fatal(err)
	}
	p, reply, err := Get[price](t.Context(), n.Family(""), worker.IntID(7))
	if p.Cents != 7 || reply.Node != n.Self() || err != nil {
		t.Errorf("Get = %v, %v, %v", p, reply, err)
	}
	if _, _, err := Get[int](t.Context(), n.Family(""), worker.IntID(7)); err == nil {
		t.Error("a price is an int")
	}
	sum, err := Call[int](t.Context(), n.Family("serial"), worker.IntID(7), []int{1, 2})
	if sum != 3 || err != nil {
		t.Errorf("Call = %v, %v", sum, err)
	}
	if _, err := Call[int](t.Context(), n.Family("serial"), worker.IntID(7), "no list"); !errors.Is(err, wire.BadRequest) || OutcomeOf(err) != worker.OutcomeNotRun {
		t.Errorf("Call = %v (%v), want a bad request that did not run", err, OutcomeOf(err))
	}
	if _, err := n.Family("serial").Call(t.Context(), worker.IntID(7), worker.BytesValue(strings.Repeat(" ", wire.MaxValue+1))); !errors.Is(err, wire.BadRequest) {
		t.Errorf("Call with a large message = %v", err)
	}
	if _, err := Call[int](t.Context(), n.Family(""), worker.IntID(7), 1); err == nil || !strings.Contains(err.Error(), "takes no calls") {
		t.Errorf("Call = %v", err)
	}
	if _, err := n.Family("serial").Request(t.Context(), worker.IntID(7)); err == nil || !strings.Contains(err.Error(), "it takes calls") {
		t.Errorf("Request = %v", err)
	}
	if _, err := Call[int](t.Context(), n.Family("serial"), worker.IntID(7), func() {}); OutcomeOf(err) != worker.OutcomeNotRun || err == nil {
		t.Errorf("Call with a function = %v (%v)", err, OutcomeOf(err))
	}
	if _, err := Call[[]string](t.Context(), n.Family("serial"), worker.IntID(7), []int{1}); OutcomeOf(err) != worker.OutcomeRan {
		t.Errorf("Call with another answer = %v (%v)", err, OutcomeOf(err))
	}
	for name, outcome := range map[string]worker.Outcome{"": worker.OutcomeNotRun, "none": worker.OutcomeNotRun} {
		if _, err := n.Family(name).Call(t.Context(), worker.IntID(7), worker.Value{}); OutcomeOf(err) != outcome {
			t.Errorf("Call of %q: %v (%v)", name, err, OutcomeOf(err))
		}
	}
	if got := slices.Sorted(maps.Keys(n.kinds.Definitions())); !slices.Equal(got, []string{"default", "serial"}) {
		t.Errorf("kinds %v", got)
	}
}

type adder struct{}

func (adder) Call(_ context.Context, list []int) (sum int, err error) {
	for _, n := range list {
		sum += n
	}
	return sum, nil
}
