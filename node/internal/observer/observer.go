// Package observer answers what a node knows of what happens: on itself, on another member,
// or on all of them.
//
// Events are kept by package events and steps of traces by package tap. What the
// kinds do is counted by the registries; once a second [Observer.Run] reads that, and keeps
// it for 15 minutes (past.go). Of that are the loads (loads.go) and the figures (figures.go).
package observer

import (
	"cmp"
	"context"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/events"
	"github.com/distproc/distproc/node/internal/handoff"
	"github.com/distproc/distproc/node/internal/kinds"
	"github.com/distproc/distproc/node/internal/members"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/internal/route"
	"github.com/distproc/distproc/node/internal/tap"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Config says whose observer it is. No field may be left out.
type Config struct {
	Node     string // NAME@HOST
	Ring     *events.Ring
	Taps     *tap.Board
	Members  *members.Members
	Kinds    *kinds.Set
	Router   *route.Router
	Handoffs *handoff.Queue
	Audit    *audit.Log
}

// An Observer answers for one node. All methods may be called from any number of
// goroutines.
type Observer struct {
	Config
	past   past
	finder registry.Finder
}

// New returns an observer. [Observer.Run] has it know what kinds did.
func New(c Config) *Observer {
	return &Observer{Config: c, past: past{began: time.Now(), kinds: map[string]*history{}}}
}

// askTimeout is how long Loads waits for other nodes.
const askTimeout = time.Second

// Events returns events of this node or of another member.
func (o *Observer) Events(ctx context.Context, q observe.EventQuery) (page observe.Events, err error) {
	p, err := o.member(q.Node)
	if err != nil {
		return page, err
	}
	if p.Self {
		page = o.Ring.Since(q.After, q.Max)
		page.Node = o.Node
		return page, nil
	}
	q.Node = ""
	err = o.ask(ctx, p, protocol.OpEvents, q, protocol.BoundedEvents(&page))
	page.Node = p.Text
	return page, err
}

// member returns the member that a query names; the empty name is this node.
func (o *Observer) member(name string) (*peers.Peer, error) {
	if name == "" {
		return o.Members.View().Self(), nil
	}
	return o.Members.Member(name)
}

func (o *Observer) ask(ctx context.Context, p *peers.Peer, op wire.Op, args any, result wire.Result) error {
	s, err := o.Members.Pool().Get(ctx, p)
	if err != nil {
		return err
	}
	return protocol.Known(op, s.Do(ctx, op, args, result))
}

// Trace returns steps of an id, of the node that acts for it, for an actor.
func (o *Observer) Trace(ctx context.Context, q observe.TraceQuery, by audit.Actor) (page observe.Steps, err error) {
	p := o.Router.Place(q.Key)
	if p.Self {
		return o.traceHere(q, by)
	}
	err = o.ask(ctx, p, protocol.OpTrace, q, protocol.BoundedSteps(&page))
	page.Node = p.Text
	return page, err
}

// traceHere is Trace on this node, whether it acts for the id or not.
func (o *Observer) traceHere(q observe.TraceQuery, by audit.Actor) (page observe.Steps, err error) {
	if o.Kinds.Of(q.Kind) == nil {
		return page, wire.Errorf(wire.UnknownKind, wire.NotRun, "%q, asked of %s", cmp.Or(q.Kind, worker.DefaultKind), o.Node)
	}
	page, begins, err := o.Taps.Poll(q)
	if begins {
		o.Audit.Note("trace begun", by, "kind", cmp.Or(q.Kind, worker.DefaultKind), "id", q.ID.String())
	}
	page.Node = o.Node
	return page, err
}

// Loads returns the loads of a member, or of all members together if name is empty, by kind:
// those with the most requests if there are too many. Members that do not answer within 1 s
// are left out.
func (o *Observer) Loads(ctx context.Context, name string) ([]observe.Load, error) {
	if name != "" {
		p, err := o.Members.Member(name)
		if err != nil {
			return nil, err
		}
		if p.Self {
			return o.loadsHere(), nil
		}
		var list []observe.Load
		err = o.ask(ctx, p, protocol.OpLoads, "", protocol.BoundedLoads(&list))
		return list, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	all := o.Members.View().Peers
	lists := make([][]observe.Load, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		if p.Self {
			lists[i] = o.loadsHere()
			continue
		}
		wg.Go(func() {
			var list []observe.Load
			if o.ask(ctx, p, protocol.OpLoads, "", protocol.BoundedLoads(&list)) == nil {
				lists[i] = list
			}
		})
	}
	wg.Wait()
	return most(sum(slices.Concat(lists...))), nil
}

// Heap returns how many bytes the objects of this process take.
func Heap() uint64 {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	return heap[0].Value.Uint64()
}
