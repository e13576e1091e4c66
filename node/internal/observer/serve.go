package observer

import (
	"context"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/wire"
)

// ServeMember answers what another member asks about this node.
func (o *Observer) ServeMember(s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	switch op {
	case protocol.OpEvents:
		return protocol.With(args, func(q observe.EventQuery) (any, error) { return o.Ring.Since(q.After, q.Max), nil })
	case protocol.OpTrace:
		return protocol.With(args, func(q observe.TraceQuery) (any, error) { return o.traceHere(q, audit.ActorOf(s)) })
	case protocol.OpFigures:
		return protocol.With(args, func(q observe.FiguresQuery) (any, error) { return o.figuresHere(q.After), nil })
	case protocol.OpHottest:
		return o.hottestHere(), nil
	default: // OpLoads
		return o.loadsHere(), nil
	}
}

// ServeClient answers what a client asks about the cluster.
func (o *Observer) ServeClient(ctx context.Context, s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	switch op {
	case protocol.OpEvents:
		return protocol.With(args, func(q observe.EventQuery) (any, error) { return o.Events(ctx, q) })
	case protocol.OpTrace:
		return protocol.With(args, func(q observe.TraceQuery) (any, error) { return o.Trace(ctx, q, audit.ActorOf(s)) })
	case protocol.OpFigures:
		return protocol.With(args, func(q observe.FiguresQuery) (any, error) { return o.Figures(ctx, q) })
	case protocol.OpHottest:
		return protocol.With(args, func(q observe.HotQuery) (any, error) { return o.Hottest(ctx, q) })
	default: // OpLoads
		return protocol.With(args, func(name string) (any, error) { return o.Loads(ctx, name) })
	}
}
