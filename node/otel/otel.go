// Package otel makes spans of OpenTelemetry of what a node or a client of distproc does.
//
// One line turns it on: the field Tracer of [node.Config] or [node.ClientConfig] takes what
// [Tracer] returns. Without it nothing is made, and nothing takes longer.
//
// The spans of one request are
//
//	request price   where a program makes it, as a child of the span in its context
//	wire price      on that node, for each other node that it asks
//	load price      on the node that owns the id, for a run of its source
//	call account    the same, for a message that a server answers
//
// Requests for one id share a load. It is a child of the first one's span, and has a link to
// each of the others that waited for it, at most 128. A value that is there already has no
// load. Nodes pass on the traceparent, the tracestate and the baggage as the W3C's Trace
// Context and Baggage say, so that spans of a source's own are children of the load; see
// [worker.WithTraceContext] for the limits.
//
// Attributes of the spans are distproc.kind, distproc.id and distproc.node; when they end
// distproc.by, distproc.via, distproc.cached, distproc.stale and distproc.degraded as in
// [worker.Reply], and distproc.outcome of one that failed: "ran", "not run" or "unknown".
package otel

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

const (
	scope   = "github.com/distproc/distproc/node/otel"
	maxText = 256 // bytes of an attribute or the text of an error
)

// Tracer returns a tracer whose spans are the provider's. It may be shared by nodes and
// clients. The provider decides which spans are sampled, and where they go.
func Tracer(provider trace.TracerProvider) observe.Tracer { return tracer{provider.Tracer(scope)} }

type tracer struct{ trace.Tracer }

// Start begins a span: of [observe.Tracer].
func (t tracer) Start(ctx context.Context, s observe.Span) (context.Context, func(observe.SpanEnd)) {
	ctx = incoming(ctx)
	parent := trace.SpanContextFromContext(ctx)
	ctx, span := t.Tracer.Start(ctx, s.Op.String()+" "+s.Kind, trace.WithSpanKind(kindOf(s.Op, parent.IsRemote())), trace.WithAttributes(
		attribute.String("distproc.kind", s.Kind),
		attribute.String("distproc.id", text.Line(s.ID.String(), maxText)),
		attribute.String("distproc.node", text.Line(s.Node, maxText)),
	))
	return outgoing(ctx), func(e observe.SpanEnd) {
		defer span.End()
		if !span.IsRecording() {
			return
		}
		for _, waited := range e.Waited {
			other := contextOf(waited)
			if other.IsValid() && other.SpanID() != parent.SpanID() {
				span.AddLink(trace.Link{SpanContext: other})
			}
		}
		if e.Err != nil {
			why := text.Line(e.Err.Error(), maxText)
			span.SetStatus(codes.Error, why)
			span.SetAttributes(attribute.String("distproc.outcome", node.OutcomeOf(e.Err).String()))
			return
		}
		if s.Op == observe.OpRequest || s.Op == observe.OpWire {
			span.SetAttributes(replyOf(e.Reply)...)
		}
	}
}

// kindOf returns the kind of a span: of two that a wire connects, one is the client's and one
// the server's.
func kindOf(op observe.Op, remote bool) trace.SpanKind {
	switch {
	case op == observe.OpWire:
		return trace.SpanKindClient
	case op != observe.OpRequest && remote:
		return trace.SpanKindServer
	}
	return trace.SpanKindInternal
}

func replyOf(r worker.Reply) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("distproc.by", text.Line(r.Node, maxText)), attribute.Bool("distproc.cached", r.Cached),
		attribute.Bool("distproc.stale", r.Stale), attribute.Bool("distproc.degraded", r.Degraded),
	}
	if r.Via != "" {
		list = append(list, attribute.String("distproc.via", text.Line(r.Via, maxText)))
	}
	return list
}

var (
	parents = propagation.TraceContext{}
	state   = "tracestate"
	parent  = "traceparent"
)

// incoming returns a context whose parent is the span that it has or else the trace that came
// with the request, with its baggage.
func incoming(ctx context.Context) context.Context {
	p, s, b := worker.TraceContextOf(ctx)
	if !trace.SpanContextFromContext(ctx).IsValid() && p != "" {
		ctx = parents.Extract(ctx, propagation.MapCarrier{parent: p, state: s})
	}
	if b != "" && baggage.FromContext(ctx).Len() == 0 {
		if list, err := baggage.Parse(b); err == nil {
			ctx = baggage.ContextWithBaggage(ctx, list)
		}
	}
	return ctx
}

// outgoing returns a context whose trace, for what the span causes, names the span.
func outgoing(ctx context.Context) context.Context {
	carrier := propagation.MapCarrier{}
	parents.Inject(ctx, carrier)
	return worker.WithTraceContext(ctx, carrier[parent], carrier[state], baggage.FromContext(ctx).String())
}

// contextOf returns the span that a traceparent names.
func contextOf(traceparent string) trace.SpanContext {
	ctx := parents.Extract(context.Background(), propagation.MapCarrier{parent: strings.TrimSpace(traceparent)})
	return trace.SpanContextFromContext(ctx)
}
