// Package kinds has the workers of every kind on a node: one registry for each.
//
// Kinds change while the node runs. The workers of a kind that is no more end in their own
// time; until then its registry counts as removed, and a kind that gets its name waits for
// it.
package kinds

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

// A Set is the kinds of a node. All methods may be called from any number of goroutines.
type Set struct {
	Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	byName    atomic.Pointer[map[string]*registry.Registry]
	standard  *registry.Registry // of the default kind, whether there is one or not
	ready     *registry.Registry // what a node asks to find out whether it is ready
	admission *registry.Admission
	values    registry.Values
	meter     meter

	mu      sync.Mutex           // held while kinds change
	ended   Count                // of removed kinds whose workers have all ended; guarded by mu
	removed []*registry.Registry // in the order in which their kinds went; guarded by mu
	halted  bool                 // registries run no messages, new ones included; guarded by mu
	leaving bool                 // kinds change no more; guarded by mu
}

// Config says whose kinds they are, and how much they may hold. No field but
// Guard and Tracer may be left out.
type Config struct {
	Node       string // NAME@HOST
	Host       registry.Host
	Guard      registry.Guard // of strict kinds; nil if the node has no voters
	Clock      *clock.Process
	MaxWaiting int            // calls that may wait for workers
	MaxMemory  int64          // bytes of values
	Tracer     observe.Tracer // of their runs; may be nil
	Logger     *slog.Logger
}

// Ready is the kind that a node asks for to find out whether it is ready. It is no name of
// a kind, so that nobody's is hidden by it.
const Ready = ".ready"

const maxProbes = 100 // of Ready at a time

// New returns a set of these kinds, by name. First is the default one, unless they have
// one; nil means that there is none.
func New(c Config, first worker.Kind, kinds map[string]worker.Kind) (*Set, error) {
	s := &Set{Config: c}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.values.SetLimit(c.MaxMemory)
	s.admission = registry.NewAdmission(c.MaxWaiting)
	s.byName.Store(&map[string]*registry.Registry{})
	kinds = maps.Clone(kinds)
	if kinds == nil {
		kinds = map[string]worker.Kind{}
	}
	if _, ok := kinds[worker.DefaultKind]; !ok && first != nil {
		kinds[worker.DefaultKind] = first
	}
	s.standard = s.newRegistry(worker.DefaultKind, s.traced(worker.DefaultKind, kinds[worker.DefaultKind]), s.admission, nil)
	s.ready = s.newRegistry(Ready, worker.Cache{TTL: 1, Load: worker.RandomSource, Inline: true}, registry.NewAdmission(maxProbes), nil)
	return s, s.Change(kinds)
}

func (s *Set) newRegistry(name string, kind worker.Kind, admission *registry.Admission, predecessorDone <-chan struct{}) *registry.Registry {
	var guard registry.Guard
	if isStrict(kind) {
		guard = s.Guard
	}
	return registry.New(registry.Config{
		Guard: guard, Name: name, Kind: kind, Node: s.Node, Host: s.Host, Clock: s.Clock, Admission: admission, Values: &s.values,
		PredecessorDone: predecessorDone, Logger: s.Logger,
	})
}

// Change makes these the kinds. It fails, and changes nothing, if one makes no sense, or
// if the set is leaving.
func (s *Set) Change(kinds map[string]worker.Kind) error {
	for name, kind := range kinds {
		if !text.IsName(name) {
			return fmt.Errorf("kind %q: a name is "+text.NameRule, name)
		}
		if err := check(kind); err != nil {
			return fmt.Errorf("kind %q: %w", name, err)
		}
		if isStrict(kind) && s.Guard == nil {
			return fmt.Errorf("kind %q is strict, and the node has no voters: pass --voters, the same on all nodes", name)
		}
	}
	if k, ok := kinds[worker.DefaultKind]; ok && !fits(s.standard, k) {
		return errors.New("the default kind cannot become serial or strict, or cease to be, while the node runs")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	old := *s.byName.Load()
	byName := map[string]*registry.Registry{}
	if r, ok := old[worker.DefaultKind]; ok {
		byName[worker.DefaultKind] = r // it stays
	}
	for name, kind := range kinds {
		kind = s.traced(name, kind)
		r := old[name]
		if name == worker.DefaultKind {
			r = s.standard
		}
		if r == nil || !fits(r, kind) {
			r = s.succeedLocked(name, kind, cmp.Or(old[name], s.lastRemovedLocked(name)))
		} else {
			r.SetKind(kind)
		}
		byName[name] = r
	}
	s.byName.Store(&byName)
	for name, r := range old {
		if byName[name] != r {
			s.removed = append(s.removed, r)
			s.wg.Go(func() { s.end(r) })
		}
	}
	return nil
}

// succeedLocked returns a new registry, which waits for a removed one of its name.
func (s *Set) succeedLocked(name string, kind worker.Kind, predecessor *registry.Registry) *registry.Registry {
	var done <-chan struct{}
	if predecessor != nil {
		done = predecessor.Done()
	}
	r := s.newRegistry(name, kind, s.admission, done)
	if s.halted {
		r.Halt()
	}
	return r
}

// lastRemovedLocked returns the last registry of that name that was removed, or nil.
func (s *Set) lastRemovedLocked(name string) *registry.Registry {
	for _, r := range slices.Backward(s.removed) {
		if r.Name() == name {
			return r
		}
	}
	return nil
}

// end ends the workers of a removed kind. Their runs have the time that
// their kind gives them.
func (s *Set) end(r *registry.Registry) {
	if err := r.Close(s.ctx); err != nil {
		s.Logger.Warn("removed kind still has running workers", "kind", r.Name(), "why", err)
		return
	}
	select {
	case <-r.Done():
	case <-s.ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, answers, evicted := r.Count()
	s.ended.Answers += answers
	s.ended.Evicted += evicted
	s.removed = slices.DeleteFunc(s.removed, func(old *registry.Registry) bool { return old == r })
}

// check returns an error if a kind makes no sense.
func check(kind worker.Kind) error {
	switch kind.(type) {
	case nil:
		return errors.New("it is nil: set a worker.Cache or a worker.Serial")
	case worker.Cache, worker.Serial:
		return kind.Validate()
	}
	return fmt.Errorf("it is a %T: set the value, not a pointer to it", kind)
}

func isSerial(kind worker.Kind) bool {
	_, ok := kind.(worker.Serial)
	return ok
}

func isStrict(kind worker.Kind) bool {
	switch k := kind.(type) {
	case worker.Serial:
		return k.Strict
	case worker.Cache:
		return k.Strict
	}
	return false
}

// fits reports whether a registry can have a kind.
func fits(r *registry.Registry, kind worker.Kind) bool {
	return r.Serial() == isSerial(kind) && r.Strict() == isStrict(kind)
}

// Of returns the workers of a kind, or nil if there is no such kind. The empty name is the
// default kind.
func (s *Set) Of(kind string) *registry.Registry {
	if kind == Ready {
		return s.ready
	}
	return (*s.byName.Load())[cmp.Or(kind, worker.DefaultKind)]
}

// For returns the workers of a kind for a call, or for a request. It fails if there is no
// such kind, or if that has no servers to call, or no values to request.
func (s *Set) For(kind string, call bool) (*registry.Registry, *wire.Error) {
	r := s.Of(kind)
	switch {
	case r == nil && kind == "":
		return nil, wire.Errorf(wire.UnknownKind, wire.NotRun, "this node has no default kind; name one of its kinds, or set Config.Default")
	case r == nil:
		return nil, wire.Errorf(wire.UnknownKind, wire.NotRun, "%q", kind)
	case r.Serial() && !call:
		return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "kind %s is serial: it takes calls, and has no values to request", r.Name())
	case call && !r.Serial():
		return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "kind %s has values to request: it is not serial, and takes no calls", r.Name())
	}
	return r, nil
}

// All returns the registries of all kinds, by name.
func (s *Set) All() []*registry.Registry {
	return slices.SortedFunc(maps.Values(*s.byName.Load()), func(a, b *registry.Registry) int { return cmp.Compare(a.Name(), b.Name()) })
}

// Workers lists at most so many live workers of this node. The last one counts the others.
func (s *Set) Workers(limit int) (list []worker.Info) {
	live := 0
	for _, r := range s.All() {
		list = append(list, r.Workers(limit-len(list))...)
		count, _, _ := r.Count()
		live += count
	}
	if len(list) == limit {
		list[len(list)-1].LeftOut = max(0, live-len(list))
	}
	return list
}

// Names returns the names of all kinds, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(*s.byName.Load())) }

// Removed returns the registries of kinds that are no more, but whose workers may run.
func (s *Set) Removed() []*registry.Registry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.removed)
}

// Registries returns those of All and Removed.
func (s *Set) Registries() []*registry.Registry { return append(s.Removed(), s.All()...) }

// Strict returns the workers of a kind if it is strict, or nil.
func (s *Set) Strict(kind string) *registry.Registry {
	if r := s.Of(kind); r != nil && r.Strict() {
		return r
	}
	return nil
}

// Exclusive reports whether a request must not be answered by another node if it may have
// run.
func (s *Set) Exclusive(request *wire.Request) bool {
	r := s.Of(request.Kind)
	return request.IsCall || r != nil && r.Exclusive()
}

// CallTimeout returns how long a call of a kind may take at most: the time of its source,
// and a second for the way.
func (s *Set) CallTimeout(kind string) time.Duration {
	timeout := worker.DefaultTimeout
	if r := s.Of(kind); r != nil {
		timeout = max(timeout, r.Timeout())
	}
	return timeout + time.Second
}

// Sweep drops what has expired while the machine was suspended. It takes no lock that is
// held while servers end, because a server that ends may call it.
func (s *Set) Sweep() {
	for _, r := range s.All() {
		r.Sweep()
	}
}

// Used returns the bytes that values take, about, and how many they may take; 0 is no
// bound.
func (s *Set) Used() (used, limit int64) { return s.values.Used(), s.values.Limit() }
