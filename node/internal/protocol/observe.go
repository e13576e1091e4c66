package protocol

import (
	"github.com/distproc/distproc/node/internal/events"
	"github.com/distproc/distproc/node/internal/tap"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

// Answers about what happens on another node are bounded, and their texts made printable
// again, because that node may not have done so.

type (
	pageShape struct{ List []struct{ Seq uint64 } }
	loadShape struct{ Failed uint64 }
)

func (s pageShape) count() int { return len(s.List) }

// A cleaned is a result whose texts are made printable once it is decoded.
type cleaned struct {
	wire.Result
	clean func()
}

func (c cleaned) Take(decode func(any) error) error {
	err := c.Result.Take(decode)
	if err == nil {
		c.clean()
	}
	return err
}

// BoundedEvents takes a result into e.
func BoundedEvents(e *observe.Events) wire.Result {
	return cleaned{bounded[pageShape]{e, observe.MaxPage, pageShape.count}, func() {
		e.Node = text.Line(e.Node, maxNodeName)
		for i := range e.List {
			events.Clean(&e.List[i])
		}
	}}
}

// BoundedSteps takes a result into s.
func BoundedSteps(s *observe.Steps) wire.Result {
	return cleaned{bounded[pageShape]{s, observe.MaxPage, pageShape.count}, func() {
		s.Node = text.Line(s.Node, maxNodeName)
		for i := range s.List {
			tap.Clean(&s.List[i])
		}
	}}
}

// BoundedLoads takes a result into a list.
func BoundedLoads(list *[]observe.Load) wire.Result {
	return cleaned{BoundedList[loadShape](list, observe.MaxKinds), func() {
		for i := range *list {
			l := &(*list)[i]
			l.Kind = text.Line(l.Kind, maxNodeName)
			l.PerSecond = l.PerSecond[max(0, len(l.PerSecond)-observe.Seconds):]
			if len(l.Latency.Counts) > maxBuckets || len(l.Latency.Bounds) > maxBuckets {
				l.Latency.Counts, l.Latency.Bounds = nil, nil
			}
		}
	}}
}

const (
	maxNodeName = 400 // bytes
	maxBuckets  = 100
)
