package kinds

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/handoff"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Retain drops the workers that keep refuses, servers first: other nodes wait for their
// end, and answers may take long to leave. What shed returns changes when keep may refuse
// what it has not refused before.
func (s *Set) Retain(shed func() uint64, keep func(*registry.Registry, worker.ID) bool) {
	for _, serial := range []bool{true, false} {
		for _, r := range s.All() {
			if r.Serial() != serial {
				continue
			}
			before := shed()
			r.Retain(func(id worker.ID) bool { return keep(r, id) })
			if shed() == before {
				r.Settled(before)
			}
		}
	}
}

// Adopt takes answers over into the workers of their kinds.
func (s *Set) Adopt(list []registry.Answer) {
	list = list[:min(len(list), handoff.MaxAnswers)]
	for len(list) > 0 {
		i := slices.IndexFunc(list, func(a registry.Answer) bool { return a.Kind != list[0].Kind })
		if i < 0 {
			i = len(list)
		}
		if r := s.Of(list[0].Kind); r != nil {
			r.Adopt(list[:i])
		}
		list = list[i:]
	}
}

// Current returns the answers that have not been invalidated since they began. It changes
// the list.
func (s *Set) Current(list []registry.Answer) []registry.Answer {
	return slices.DeleteFunc(list, func(a registry.Answer) bool {
		r := s.Of(a.Kind)
		return r != nil && !r.IsCurrent(a.ID, a.Age)
	})
}

// Quiesce ends all servers, before another node may start its own. Calls have until ctx
// ends. If a server goes on after that, Quiesce fails. Then, or when another node has not
// taken over after all, Resume has calls run again; Release refuses what waits, as the
// ids are another node's.
func (s *Set) Quiesce(ctx context.Context) *wire.Error {
	s.mu.Lock()
	if s.leaving {
		s.mu.Unlock()
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	s.halted = true
	list := append(slices.Clone(s.removed), s.All()...)
	s.mu.Unlock()
	quiesce(ctx, list)
	for _, r := range list {
		if !r.Serial() {
			continue
		}
		if id, ok := r.Serving(); ok {
			return wire.Errorf(wire.DeadlineExceeded, wire.NotRun,
				"a call for id %s of kind %s runs on after its time; disconnect the node again when that has ended", id, r.Name())
		}
	}
	return nil
}

func quiesce(ctx context.Context, list []*registry.Registry) {
	var wg sync.WaitGroup
	for _, r := range list {
		wg.Go(func() { r.Quiesce(ctx) })
	}
	wg.Wait()
}

// Resume has calls run again, those that Quiesce has kept waiting first.
func (s *Set) Resume() { s.endQuiet((*registry.Registry).Resume) }

// Release refuses the calls that Quiesce has kept waiting, and has others run again.
func (s *Set) Release() { s.endQuiet((*registry.Registry).Release) }

func (s *Set) endQuiet(end func(*registry.Registry)) {
	s.mu.Lock()
	s.halted = false
	leaving := s.leaving
	list := append(slices.Clone(s.removed), s.All()...)
	s.mu.Unlock()
	if leaving {
		return // those of a node that closes stay quiet
	}
	for _, r := range list {
		end(r)
	}
}

// Leave hands off what is cached, keeps the kinds from changing, and ends all servers.
// Calls have until ctx ends; what is cached has half of that time, and what is left then
// is lost.
func (s *Set) Leave(ctx context.Context) {
	s.mu.Lock()
	s.leaving = true
	removed := slices.Clone(s.removed)
	s.mu.Unlock()
	list := s.own()
	half, cancel := context.WithTimeout(ctx, clock.Left(ctx)/2)
	for _, r := range list {
		r.Leave(half)
	}
	cancel()
	quiesce(ctx, append(removed, list...))
}

// own returns the registries of all kinds, that of a default kind which there is not
// included.
func (s *Set) own() []*registry.Registry {
	list := s.All()
	if !slices.Contains(list, s.standard) {
		list = append(list, s.standard)
	}
	return list
}

// Close ends all workers. Those that run have until ctx ends. It fails if a source does
// not heed the end of its context.
func (s *Set) Close(ctx context.Context) (err error) {
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	for _, r := range append(s.own(), s.ready) {
		err = errors.Join(err, r.Close(ctx))
	}
	s.cancel()
	return err
}

// Wait waits until the workers of removed kinds have ended, after Close.
func (s *Set) Wait() { s.wg.Wait() }
