package node

import (
	"fmt"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A bounded is the result of an operation, with at most limit elements.
type bounded[Shape any] struct {
	result any // a pointer
	limit  int
	count  func(Shape) int
}

// Take is part of [wire.Result].
func (b bounded[Shape]) Take(decode func(any) error) error {
	n, err := elements(decode, b.count)
	if err != nil {
		return err
	}
	if n > b.limit {
		return fmt.Errorf("an answer with %d elements, limit %d: let the node run the same version as the others", n, b.limit)
	}
	return decode(b.result)
}

// elements counts the elements of a message in a Shape of it whose elements are small: a byte on
// the wire is an element of a hundred bytes in memory.
func elements[Shape any](decode func(any) error, count func(Shape) int) (int, error) {
	var s Shape
	err := decode(&s)
	return count(s), err
}

// atMost refuses arguments with more than limit elements.
func atMost[Shape any](args func(any) error, limit int, count func(Shape) int) error {
	n, err := elements(args, count)
	if err == nil && n > limit {
		err = wire.Errorf(wire.BadRequest, wire.NotRun, "%d elements, limit %d", n, limit)
	}
	return err
}

// Shapes of the results that are lists.
type (
	workersShape     []struct{ Hits uint64 }
	nodesShape       []struct{ Workers int }
	membersShape     []struct{ State State }
	connectionsShape []struct{ OK bool }
	rollShape        struct{ Held []struct{ Kind string } }
	viewShape        struct {
		Members []struct{ State wire.MemberState }
	}
)

func boundedTell(t *tellMessage) wire.Result {
	return bounded[tellShape]{t, maxTold, func(t tellShape) int { return len(t.List) }}
}

func boundedWorkers(list *[]worker.Info) wire.Result {
	return bounded[workersShape]{list, maxWorkers, func(s workersShape) int { return len(s) }}
}

func boundedNodes(list *[]NodeInfo) wire.Result {
	return bounded[nodesShape]{list, maxTold, func(s nodesShape) int { return len(s) }}
}

func boundedMembers(list *[]Member) wire.Result {
	return bounded[membersShape]{list, maxTold, func(s membersShape) int { return len(s) }}
}

func boundedConnections(list *[]connectionMessage) wire.Result {
	return bounded[connectionsShape]{list, maxTold, func(s connectionsShape) int { return len(s) }}
}

func boundedRoll(r *rollMessage) wire.Result {
	return bounded[rollShape]{r, maxHeld, func(s rollShape) int { return len(s.Held) }}
}

func boundedView(m *viewMessage) wire.Result {
	return bounded[viewShape]{m, maxTold, func(s viewShape) int { return len(s.Members) }}
}
