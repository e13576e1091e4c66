package route

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Place returns the node that acts for an id, as far as this one knows.
func (rt *Router) Place(k worker.Key) *peers.Peer {
	if rt.Kinds.Strict(k.Kind) != nil {
		return rt.strictPlace(k.ID)
	}
	return rt.Members.View().Acting(k.ID)
}

// Stop ends the worker of an id at its place, or on this node if that is out of reach, for an
// actor. It reports whether there was one.
func (rt *Router) Stop(ctx context.Context, k worker.Key, by audit.Actor) (stopped bool, err error) {
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	p := rt.Place(k)
	if !p.Self {
		s, err := rt.pool.Get(ctx, p)
		if err == nil {
			err = s.Do(ctx, protocol.OpStop, k, &stopped)
			if stopped {
				rt.Audit.Note("worker stopped", by, "kind", cmp.Or(k.Kind, worker.DefaultKind), "id", k.ID.String(), "node", p.Text)
			}
			return stopped, err
		}
		if !errors.Is(err, wire.Unreachable) {
			return false, err
		}
	}
	return rt.StopHere(k, by)
}

// StopHere is Stop on this node. It fails if the id of a strict kind waits for a call that does
// not end, here or elsewhere.
func (rt *Router) StopHere(k worker.Key, by audit.Actor) (stopped bool, err error) {
	r := rt.Kinds.Of(k.Kind)
	if r == nil {
		return false, nil
	}
	if stopped = r.Stop(k.ID); stopped {
		rt.Audit.Note("worker stopped", by, "kind", r.Name(), "id", k.ID.String(), "node", rt.Node)
	}
	if r.Strict() {
		return stopped, waits(r, k.ID)
	}
	return stopped, nil
}

// waits returns an error if an id waits for a call that does not end.
func waits(r *registry.Registry, id worker.ID) error {
	switch c := r.Inspect(id).Custody; {
	case c.Stuck:
		return wire.Errorf(wire.DeadlineExceeded, wire.Ran, "the id waits for %s; stop with force gives it up, "+
			"and then only the token protects what the call changes", c.Waits)
	case c.Occupied != "":
		return wire.Errorf(wire.DeadlineExceeded, wire.NotRun, "the id waits for %s; stop with force gives up a call that runs there, "+
			"and then only the token protects what it changes", c.Waits)
	}
	return nil
}

// ForceStop ends the server of an id of a strict kind wherever there is one, for an actor, and
// gives the id up although a call goes on. It asks all members, as the call may be one that
// began under an older view. It returns an entry for each that had a server.
func (rt *Router) ForceStop(ctx context.Context, k worker.Key, by audit.Actor) (all []worker.Stopped, err error) {
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	v, place := rt.Members.View(), rt.Place(k)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards all and err
	for i, p := range v.Peers {
		if p != place && !p.Self && v.Ring.Slot(i).Failed {
			continue
		}
		wg.Go(func() {
			list, e := rt.forceStopAt(ctx, p, p == place, k, by)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, list...)
			if p == place {
				err = e // others may be of an older version, or not have the kind
			}
		})
	}
	wg.Wait()
	if len(all) > 0 { // its place may be one that cannot be reached
		err = nil
	}
	return all, err
}

func (rt *Router) forceStopAt(ctx context.Context, p *peers.Peer, place bool, k worker.Key, by audit.Actor) (list []worker.Stopped, err error) {
	if p.Self {
		return rt.ForceStopHere(k, by)
	}
	if !place {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Second)
		defer cancel()
	}
	s, err := rt.pool.Get(ctx, p)
	if err != nil {
		return nil, err
	}
	err = s.Do(ctx, protocol.OpForceStop, k, protocol.BoundedStopped(&list))
	for _, what := range list {
		rt.noteForced(k, what, by)
	}
	return list, err
}

// ForceStopHere is ForceStop on this node.
func (rt *Router) ForceStopHere(k worker.Key, by audit.Actor) ([]worker.Stopped, error) {
	r := rt.Kinds.Of(k.Kind)
	switch {
	case r == nil:
		return nil, wire.Errorf(wire.UnknownKind, wire.NotRun, "%q", cmp.Or(k.Kind, worker.DefaultKind))
	case !r.Strict():
		return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "kind %s is not strict: force is for an id of a strict kind whose call does not "+
			"end; stop without force", r.Name())
	}
	what, had := r.GiveUp(k.ID)
	if !had {
		return nil, nil
	}
	rt.noteForced(k, what, by)
	return []worker.Stopped{what}, nil
}

func (rt *Router) noteForced(k worker.Key, what worker.Stopped, by audit.Actor) {
	fields := []any{"kind", cmp.Or(k.Kind, worker.DefaultKind), "id", k.ID.String(), "node", what.Node}
	if what.Runs == 0 {
		rt.Audit.Note("worker stopped", by, fields...)
		return
	}
	rt.Audit.Note("id given up by force; what runs goes on, and only its token protects", by,
		append(fields, "after", what.Runs.Round(time.Millisecond), "token", what.Token.String())...)
}
