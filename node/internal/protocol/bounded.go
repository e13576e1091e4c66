package protocol

import (
	"fmt"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A byte of a message can stand for an element of a hundred bytes in memory. So the
// elements of a list are counted before the list is made: the message is decoded into a
// shape of it, which has one small field of each element.

// A bounded is the result of an operation, with at most limit elements.
type bounded[Shape any] struct {
	result any // a pointer
	limit  int
	count  func(Shape) int
}

// Take is part of [wire.Result].
func (b bounded[Shape]) Take(decode func(any) error) error {
	return checked{b.result, []func(func(any) error) error{within(b.limit, b.count)}}.Take(decode)
}

// A checked is the result of an operation that several shapes bound, one after the other.
type checked struct {
	result any // a pointer
	checks []func(decode func(any) error) error
}

// Take is part of [wire.Result].
func (c checked) Take(decode func(any) error) error {
	for _, check := range c.checks {
		if err := check(decode); err != nil {
			return err
		}
	}
	return decode(c.result)
}

// within returns a check that an answer has at most limit elements.
func within[Shape any](limit int, count func(Shape) int) func(decode func(any) error) error {
	return func(decode func(any) error) error {
		n, err := elements(decode, count)
		if err == nil && n > limit {
			err = fmt.Errorf("an answer with %d elements, limit %d: let the node run the same version as the others", n, limit)
		}
		return err
	}
}

func elements[Shape any](decode func(any) error, count func(Shape) int) (int, error) {
	var s Shape
	err := decode(&s)
	return count(s), err
}

// AtMost returns an error if the arguments of an operation have more than limit elements.
// Count counts them in a shape of the arguments.
func AtMost[Shape any](args func(any) error, limit int, count func(Shape) int) error {
	n, err := elements(args, count)
	if err == nil && n > limit {
		err = wire.Errorf(wire.BadRequest, wire.NotRun, "%d elements, limit %d", n, limit)
	}
	return err
}

// A SyncShape is the shape of a Sync.
type SyncShape struct {
	List []struct{ State wire.MemberState }
}

// Count returns the number of elements.
func (s SyncShape) Count() int { return len(s.List) }

type (
	workersShape     struct{ Hits uint64 }
	stoppedShape     struct{ Runs int64 }
	connectionsShape struct{ OK bool }
	barrierShape     struct{ Held []struct{ Kind string } }
	viewShape        struct {
		Members []struct{ State wire.MemberState }
	}
)

// BoundedList takes a result of at most limit elements into a list. Shape is a struct
// with one small field of an element.
func BoundedList[Shape, Element any](list *[]Element, limit int) wire.Result {
	return bounded[[]Shape]{list, limit, func(s []Shape) int { return len(s) }}
}

// BoundedSync takes a result into s.
func BoundedSync(s *Sync) wire.Result { return bounded[SyncShape]{s, MaxListed, SyncShape.Count} }

// BoundedBarrier takes a result into b.
func BoundedBarrier(b *Barrier) wire.Result {
	return bounded[barrierShape]{b, MaxHeld, func(s barrierShape) int { return len(s.Held) }}
}

// BoundedView takes a result into v.
func BoundedView(v *View) wire.Result {
	return bounded[viewShape]{v, MaxListed, func(s viewShape) int { return len(s.Members) }}
}

// BoundedWorkers takes a result into a list.
func BoundedWorkers(list *[]worker.Info) wire.Result {
	return BoundedList[workersShape](list, MaxWorkers)
}

// BoundedStopped takes a result into a list.
func BoundedStopped(list *[]worker.Stopped) wire.Result {
	return BoundedList[stoppedShape](list, MaxListed)
}

// BoundedConnections takes a result into a list.
func BoundedConnections(list *[]Connection) wire.Result {
	return BoundedList[connectionsShape](list, MaxListed)
}
