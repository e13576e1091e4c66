package otel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A place is a node with the spans that it has made.
type place struct {
	*node.Node
	spans *tracetest.SpanRecorder
}

func provider() (*sdk.TracerProvider, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	return sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)), spans
}

// startPair starts two nodes of a cluster, each with a tracer of its own, as processes have.
func startPair(t *testing.T, host string, c node.Config) (pair [2]place) {
	t.Helper()
	for i := range pair {
		p, spans := provider()
		c.Name, c.Cookie, c.Timing, c.Tracer = fmt.Sprintf("%d@%s", i+1, host), []byte("a long secret that all nodes share"), node.Local, Tracer(p)
		n, err := node.Start(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close(context.Background()) })
		if pair[i] = (place{n, spans}); i > 0 {
			if err := n.Join(t.Context(), pair[0].Self()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return pair
}

// idOf returns an id of a node.
func idOf(t *testing.T, n *node.Node) worker.ID {
	t.Helper()
	for i := range int64(100) {
		if owner, err := n.Owner(t.Context(), worker.IntID(i)); err == nil && owner == n.Self() {
			return worker.IntID(i)
		}
	}
	t.Fatal("no id")
	return worker.ID{}
}

// await returns the ended spans of a name, of which there must be so many soon.
func await(t *testing.T, spans *tracetest.SpanRecorder, name string, many int) (list []sdk.ReadOnlySpan) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		list = slices.DeleteFunc(spans.Ended(), func(s sdk.ReadOnlySpan) bool { return s.Name() != name })
		if len(list) == many {
			return list
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d spans %q, want %d", len(list), name, many)
		}
	}
}

func attributes(s sdk.ReadOnlySpan) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// child fails unless a span is the child of another, which may be of another process.
func child(t *testing.T, of, s sdk.ReadOnlySpan, remote bool) {
	t.Helper()
	p := s.Parent()
	if p.SpanID() != of.SpanContext().SpanID() || p.TraceID() != of.SpanContext().TraceID() || p.IsRemote() != remote {
		t.Errorf("the parent of %q is %v (remote: %v), want %q, %v", s.Name(), p.SpanID(), p.IsRemote(), of.Name(), of.SpanContext().SpanID())
	}
}

// TestRequest follows a request from the program of one node to the source of another one,
// whose own span is the last of the trace. It has the tracestate and the baggage.
func TestRequest(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	pair := startPair(t, "127.0.79.1", node.Config{Kinds: map[string]worker.Kind{"price": worker.Cache{Load: func(ctx context.Context, id worker.ID) (worker.Value, error) {
		_, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("test").Start(ctx, "own")
		span.End()
		parent, state, bag := worker.TraceContextOf(ctx)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, parent[:2], state, bag, baggage.FromContext(ctx).Member("tenant").Value())
		return worker.BytesValue(id.String()), nil
	}}}})
	id := idOf(t, pair[1].Node)
	bag, err := baggage.Parse("tenant=7")
	if err != nil {
		t.Fatal(err)
	}
	p, spans := provider()
	ctx, program := p.Tracer("test").Start(trace.ContextWithRemoteSpanContext(t.Context(), contextOf("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").WithTraceState(mustState(t, "vendor=x"))), "program")
	for range 2 {
		if _, err := pair[0].Family("price").Request(baggage.ContextWithBaggage(ctx, bag), id); err != nil {
			t.Fatal(err)
		}
	}
	program.End()
	request := await(t, pair[0].spans, "request price", 2)
	wire := await(t, pair[0].spans, "wire price", 2)
	load := await(t, pair[1].spans, "load price", 1)
	own := await(t, pair[1].spans, "own", 1)
	child(t, await(t, spans, "program", 1)[0], request[0], false)
	child(t, request[0], wire[0], false)
	child(t, wire[0], load[0], true)
	child(t, load[0], own[0], false)
	if kinds := []trace.SpanKind{request[0].SpanKind(), wire[0].SpanKind(), load[0].SpanKind()}; !slices.Equal(kinds, []trace.SpanKind{trace.SpanKindInternal, trace.SpanKindClient, trace.SpanKindServer}) {
		t.Errorf("kinds %v", kinds)
	}
	if got := request[1].SpanContext().TraceID().String(); got != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("trace %s", got)
	}
	want := map[string]string{
		"distproc.kind": "price", "distproc.id": id.String(), "distproc.node": pair[1].Self(),
		"distproc.by": pair[1].Self(), "distproc.cached": "true", "distproc.stale": "false", "distproc.degraded": "false",
	}
	if got := attributes(wire[1]); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
	if got := attributes(load[0]); got["distproc.node"] != pair[1].Self() || len(got) != 3 {
		t.Errorf("attributes of the load %v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(seen, []string{"00", "vendor=x", "tenant=7", "7"}) {
		t.Errorf("the source saw %q", seen)
	}
}

func mustState(t *testing.T, text string) trace.TraceState {
	t.Helper()
	s, err := trace.ParseTraceState(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSharedLoad has many requests wait for one load: it is the child of one, and has a link
// to each of the others.
func TestSharedLoad(t *testing.T) {
	t.Parallel()
	const many = 20
	begun, end := make(chan struct{}), make(chan struct{})
	pair := startPair(t, "127.0.79.2", node.Config{Default: worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) {
		close(begun)
		<-end
		return worker.IntValue(1), nil
	}}})
	id := idOf(t, pair[1].Node)
	var wg sync.WaitGroup
	ask := func(n *node.Node) {
		wg.Go(func() {
			if _, err := n.Request(t.Context(), id); err != nil {
				t.Error(err)
			}
		})
	}
	ask(pair[0].Node)
	<-begun
	for i := 1; i < many; i++ {
		ask(pair[i%2].Node)
	}
	for pair[1].Stats().Kinds[0].Waiting < many {
		time.Sleep(time.Millisecond)
	}
	close(end)
	wg.Wait()
	load := await(t, pair[1].spans, "load default", 1)[0]
	want := map[trace.SpanID]bool{}
	for _, s := range await(t, pair[0].spans, "wire default", many/2) {
		want[s.SpanContext().SpanID()] = true
	}
	for _, s := range await(t, pair[1].spans, "request default", many/2) {
		want[s.SpanContext().SpanID()] = true
	}
	delete(want, load.Parent().SpanID())
	if len(want) != many-1 {
		t.Errorf("the parent of the load is none of the requests")
	}
	for _, l := range load.Links() {
		if !want[l.SpanContext.SpanID()] {
			t.Errorf("a link to %v", l.SpanContext)
		}
		delete(want, l.SpanContext.SpanID())
	}
	if len(want) != 0 {
		t.Errorf("no link to %d of %d", len(want), many-1)
	}
}

// An account is a server that wants to know of its end.
type account struct{ ended chan worker.EndReason }

func (account) Call(_ context.Context, m worker.Value) (worker.Value, error) {
	switch m.String() {
	case "fail":
		return worker.Value{}, errors.New("no \x1b[31mmoney\u202e")
	case "panic":
		panic("boom")
	}
	return m, nil
}

func (a account) Terminate(_ context.Context, why worker.EndReason) { a.ended <- why }

// TestCall has a client call a server of another node than its own.
func TestCall(t *testing.T) {
	t.Parallel()
	ended := make(chan worker.EndReason, 10)
	pair := startPair(t, "127.0.79.3", node.Config{Kinds: map[string]worker.Kind{"account": worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) {
		return account{ended}, nil
	}}}})
	p, spans := provider()
	c, err := node.Attach(t.Context(), node.ClientConfig{Node: pair[0].Self(), Cookie: []byte("a long secret that all nodes share"), Tracer: Tracer(p)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := idOf(t, pair[1].Node)
	for _, message := range []string{"deposit", "fail", "panic"} {
		if _, err := c.Family("account").Call(t.Context(), id, worker.BytesValue(message)); (err == nil) != (message == "deposit") {
			t.Errorf("%s: %v", message, err)
		}
	}
	request := await(t, spans, "request account", 3)
	routed := await(t, pair[0].spans, "request account", 3)
	wire := await(t, pair[0].spans, "wire account", 3)
	call := await(t, pair[1].spans, "call account", 3)
	for i := range call {
		child(t, request[i], routed[i], true)
		child(t, routed[i], wire[i], false)
		child(t, wire[i], call[i], true)
		if want := []codes.Code{codes.Unset, codes.Error, codes.Error}[i]; call[i].Status().Code != want || request[i].Status().Code != want {
			t.Errorf("%d: %v, %v", i, call[i].Status(), request[i].Status())
		}
	}
	if why := call[1].Status().Description; !strings.HasPrefix(why, "no ") || strings.ContainsAny(why, "\x1b\u202e") {
		t.Errorf("error %q", why)
	}
	if got := attributes(request[1])["distproc.outcome"]; got != "ran" {
		t.Errorf("outcome %q", got)
	}
	if why := <-ended; why != worker.EndCrashed {
		t.Errorf("it ended as %v", why)
	}
}

// TestUnsampled has a request that is not sampled: nothing is recorded anywhere.
func TestUnsampled(t *testing.T) {
	t.Parallel()
	pair := startPair(t, "127.0.79.4", node.Config{Default: worker.Cache{Load: worker.RandomSource}})
	ctx := worker.WithTrace(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
	if _, err := pair[0].Request(ctx, idOf(t, pair[1].Node)); err != nil {
		t.Fatal(err)
	}
	if n := len(pair[0].spans.Ended()) + len(pair[1].spans.Ended()); n != 0 {
		t.Errorf("%d spans", n)
	}
}

// TestHostileTexts gives ids that are no UTF-8, or long.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	pair := startPair(t, "127.0.79.5", node.Config{Default: worker.Cache{Load: worker.RandomSource}})
	for _, text := range []string{"\xff\x00\x1b]0;x\a", strings.Repeat("é", 128), "\u202e<script>"} {
		id, err := worker.ParseID(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair[0].Request(worker.WithTraceContext(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "=,=", "%%%"), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range await(t, pair[0].spans, "request default", 3) {
		for _, a := range s.Attributes() {
			if v := a.Value.String(); a.Value.Type() == attribute.STRING && (strings.ContainsAny(v, "\x00\x1b\u202e") || !utf8.ValidString(v) || len(v) > maxText) {
				t.Errorf("%s: %q", a.Key, v)
			}
		}
	}
}
