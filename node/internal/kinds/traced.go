package kinds

import (
	"context"

	"github.com/distproc/distproc/node/internal/trace"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// traced returns a kind whose runs have spans.
func (s *Set) traced(name string, kind worker.Kind) worker.Kind {
	if s.Tracer == nil {
		return kind
	}
	begin := func(ctx context.Context, op observe.Op, id worker.ID) (context.Context, func(observe.SpanEnd)) {
		return s.Tracer.Start(ctx, observe.Span{Op: op, Kind: name, ID: id, Call: op == observe.OpCall, Node: s.Node})
	}
	switch k := kind.(type) {
	case worker.Cache:
		if load := k.Load; load != nil {
			k.Load = func(ctx context.Context, id worker.ID) (v worker.Value, err error) {
				in, end := begin(ctx, observe.OpLoad, id)
				err = errPanicked // unless it returns
				defer func() { end(observe.SpanEnd{Err: err, Waited: waited(ctx)}) }()
				v, err = load(in, id)
				return v, err
			}
		}
		return k
	case worker.Serial:
		if open := k.Open; open != nil {
			k.Open = func(ctx context.Context, id worker.ID) (worker.Server, error) {
				server, err := open(ctx, id)
				if server == nil || err != nil {
					return server, err
				}
				of := tracedServer{server, func(ctx context.Context) (context.Context, func(observe.SpanEnd)) {
					return begin(ctx, observe.OpCall, id)
				}}
				if t, ok := server.(worker.Terminator); ok {
					return tracedTerminator{of, t}, nil
				}
				return of, nil
			}
		}
		return k
	}
	return kind
}

// errPanicked is the error of a span whose run has panicked.
var errPanicked = &wire.Error{Code: wire.Panicked, Outcome: wire.Ran}

// waited returns the traces of the requests that wait for a run.
func waited(ctx context.Context) []string {
	if waiters, ok := ctx.Value(trace.WaitersKey{}).(func() []string); ok {
		return waiters()
	}
	return nil
}

// A tracedServer has a span for each message.
type tracedServer struct {
	worker.Server
	begin func(context.Context) (context.Context, func(observe.SpanEnd))
}

func (s tracedServer) Call(ctx context.Context, message worker.Value) (v worker.Value, err error) {
	in, end := s.begin(ctx)
	err = errPanicked // unless it returns
	defer func() { end(observe.SpanEnd{Err: err}) }()
	v, err = s.Server.Call(in, message)
	return v, err
}

// A tracedTerminator is a tracedServer that wants to know of its end.
type tracedTerminator struct {
	tracedServer
	worker.Terminator
}
