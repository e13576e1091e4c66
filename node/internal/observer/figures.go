package observer

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/observe"
)

// Figures returns the figures of this node or of another member.
func (o *Observer) Figures(ctx context.Context, q observe.FiguresQuery) (f observe.Figures, err error) {
	p, err := o.member(q.Node)
	if err != nil {
		return f, err
	}
	if p.Self {
		return o.figuresHere(q.After), nil
	}
	err = o.ask(ctx, p, protocol.OpFigures, observe.FiguresQuery{After: q.After}, protocol.BoundedFigures(&f))
	f.Node = p.Text
	return f, err
}

// figuresHere returns the figures of this node.
func (o *Observer) figuresHere(after observe.Mark) observe.Figures {
	return observe.Figures{Node: o.Node, Clock: time.Now(), Bounds: registry.DurationBounds()}
}

// Hottest returns the hottest ids of this node or of another member.
func (o *Observer) Hottest(ctx context.Context, q observe.HotQuery) (h observe.Hot, err error) {
	p, err := o.member(q.Node)
	if err != nil {
		return h, err
	}
	if p.Self {
		return o.hottestHere(), nil
	}
	err = o.ask(ctx, p, protocol.OpHottest, observe.HotQuery{}, protocol.BoundedHot(&h))
	h.Node = p.Text
	return h, err
}

// hottestHere returns the hottest ids of this node.
func (o *Observer) hottestHere() observe.Hot { return observe.Hot{Node: o.Node} }
