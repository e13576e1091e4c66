package route

import (
	"context"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/trace"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Router with a Tracer has an inner one, which makes what it is asked for. So what costs
// time only with a Tracer is here.

// tracedRequest is Request with a span.
func (rt *Router) tracedRequest(ctx context.Context, kind string, id worker.ID, fresh bool, reply *worker.Reply) (err error) {
	ctx, end := rt.begin(ctx, worker.Key{Kind: kind, ID: id}, false)
	defer func() { end(observe.SpanEnd{Reply: *reply, Err: err}) }()
	return rt.inner.Request(ctx, kind, id, fresh, reply)
}

// tracedCall is Call with a span.
func (rt *Router) tracedCall(ctx context.Context, k worker.Key, message worker.Value) (reply worker.Reply, err error) {
	ctx, end := rt.begin(ctx, k, true)
	defer func() { end(observe.SpanEnd{Reply: reply, Err: err}) }()
	return rt.inner.Call(ctx, k, message)
}

func (rt *Router) begin(ctx context.Context, k worker.Key, call bool) (context.Context, func(observe.SpanEnd)) {
	if k.Kind == "" {
		k.Kind = worker.DefaultKind
	}
	return rt.Tracer.Start(ctx, observe.Span{Op: observe.OpRequest, Kind: k.Kind, ID: k.ID, Call: call, Node: rt.Node})
}

// tracedAsk is askOn with a span.
func (rt *Router) tracedAsk(ctx context.Context, peer string, request *wire.Request, ask func() (worker.Reply, error)) (reply worker.Reply, err error) {
	id, _ := protocol.IDOf(request) // it was one
	span := observe.Span{Op: observe.OpWire, Kind: request.Kind, ID: id, Call: request.IsCall, Node: peer}
	if span.Kind == "" {
		span.Kind = worker.DefaultKind
	}
	before := request.Trace
	in, end := rt.Tracer.Start(trace.With(ctx, before), span)
	request.Trace = trace.Of(in)
	defer func() {
		request.Trace = before
		end(observe.SpanEnd{Reply: reply, Err: err})
	}()
	return ask()
}
