package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

var kindPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// SetKinds changes the kinds of workers that the node has besides the default one; under
// the name "default", that one too. Live workers go on under the rules by which they were
// started. Workers of a kind that is left out end, and calls for it fail.
//
// SetKinds fails, and changes nothing, if a name is not 1 to 64 letters, digits, _ or -,
// or if a field of a kind makes no sense, such as a negative duration.
func (n *Node) SetKinds(kinds map[string]worker.Kind) error {
	err := n.setKinds(kinds)
	if err == nil {
		n.members.pool.Each(func(ctx context.Context, p *peers.Peer, ws *wire.Session) {
			n.compareKinds(ctx, p, ws)
			ctx, cancel := context.WithTimeout(ctx, n.members.patience())
			defer cancel()
			_ = ws.Do(ctx, opKinds, nil, nil) // it has compared them with the old ones
		})
	}
	return err
}

func (n *Node) setKinds(kinds map[string]worker.Kind) error {
	for name, kind := range kinds {
		if !kindPattern.MatchString(name) {
			return fmt.Errorf("kind %q: a name is 1 to 64 letters, digits, _ or -", name)
		}
		if err := checkKind(kind); err != nil {
			return fmt.Errorf("kind %q: %w", name, err)
		}
	}
	if k, ok := kinds[worker.DefaultKind]; ok && n.registry.Serial() != isSerial(k) {
		return errors.New("the default kind cannot become serial, or cease to be, while the node runs")
	}
	n.kindsMu.Lock()
	defer n.kindsMu.Unlock()
	if n.leaving.Load() {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	old := *n.kinds.Load()
	byName := map[string]*registry.Registry{}
	if r, ok := old[worker.DefaultKind]; ok {
		byName[worker.DefaultKind] = r // it stays
	}
	for name, kind := range kinds {
		r := old[name]
		if name == worker.DefaultKind {
			r = n.registry
		}
		if r == nil || r.Serial() != isSerial(kind) {
			var predecessorDone <-chan struct{}
			if predecessor := cmp.Or(old[name], n.lastRemovedLocked(name)); predecessor != nil {
				predecessorDone = predecessor.Done()
			}
			r = n.newRegistry(name, kind, n.admission, predecessorDone)
			if n.frozen {
				r.Halt()
			}
		} else {
			r.SetKind(kind)
		}
		byName[name] = r
	}
	n.kinds.Store(&byName)
	for name, r := range old {
		if byName[name] != r {
			n.removed = append(n.removed, r)
			n.wg.Go(func() { n.endKind(r) })
		}
	}
	return nil
}

// checkKind returns an error if a kind makes no sense.
func checkKind(kind worker.Kind) error {
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

// lastRemovedLocked returns the registry of the last removed kind of that name, or nil.
func (n *Node) lastRemovedLocked(name string) *registry.Registry {
	for _, r := range slices.Backward(n.removed) {
		if r.Name() == name {
			return r
		}
	}
	return nil
}

// removedKinds returns the registries of removed kinds whose workers may still run.
func (n *Node) removedKinds() []*registry.Registry {
	n.kindsMu.Lock()
	defer n.kindsMu.Unlock()
	return slices.Clone(n.removed)
}

func (n *Node) newRegistry(
	name string, kind worker.Kind, admission *registry.Admission, predecessorDone <-chan struct{},
) *registry.Registry {
	return registry.New(registry.Config{
		Name: name, Kind: kind, Node: n.name, Host: n.host, Admission: admission, Values: &n.values,
		PredecessorDone: predecessorDone, Logger: n.log,
	})
}

// endKind ends the workers of a removed kind. Their runs have the time that the kind
// gives them.
func (n *Node) endKind(r *registry.Registry) {
	if err := r.Close(n.ctx); err != nil {
		n.log.Warn("removed kind still has running workers", "kind", r.Name(), "why", err)
		return
	}
	select {
	case <-r.Done():
	case <-n.ctx.Done():
	}
	n.kindsMu.Lock()
	defer n.kindsMu.Unlock()
	n.removed = slices.DeleteFunc(n.removed, func(old *registry.Registry) bool { return old == r })
}

// registryOf returns the workers of a kind, or nil if this node has no such kind.
func (n *Node) registryOf(kind string) *registry.Registry {
	if kind == readyKind {
		return n.probed
	}
	return (*n.kinds.Load())[cmp.Or(kind, worker.DefaultKind)]
}

// registries returns the workers of all kinds, sorted by name.
func (n *Node) registries() []*registry.Registry {
	byName := func(a, b *registry.Registry) int { return cmp.Compare(a.Name(), b.Name()) }
	return slices.SortedFunc(maps.Values(*n.kinds.Load()), byName)
}

// workersFor returns the workers of a kind. It fails if the node has no such kind, or if
// a call is for a kind that has values, or a request for one that takes calls.
func (n *Node) workersFor(kind string, call bool) (*registry.Registry, *wire.Error) {
	r := n.registryOf(kind)
	switch {
	case r == nil:
		return nil, unknownKind(kind)
	case r.Serial() && !call:
		return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "kind %s is serial: it takes calls, and has no values to request", r.Name())
	case call && !r.Serial():
		return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "kind %s has values to request: it is not serial, and takes no calls", r.Name())
	}
	return r, nil
}

// unknownKind is the error of a call for a kind that this node does not have.
func unknownKind(kind string) *wire.Error {
	if kind == "" {
		return wire.Errorf(wire.UnknownKind, wire.NotRun, "this node has no default kind; name one of its kinds, or set Config.Default")
	}
	return wire.Errorf(wire.UnknownKind, wire.NotRun, "%q", kind)
}

// callTimeout is how long a call of that kind may have to wait for its source.
func (n *Node) callTimeout(kind string) time.Duration {
	timeout := worker.DefaultTimeout
	if r := n.registryOf(kind); r != nil {
		timeout = max(timeout, r.Timeout())
	}
	return timeout + time.Second
}

// definitions returns a digest of each kind's definition, or "" if the kind has none.
func (n *Node) definitions() map[string]string {
	digests := map[string]string{}
	for _, r := range n.registries() {
		digests[r.Name()] = ""
		if d := r.Definition(); d != "" {
			digests[r.Name()] = digestOf(d)
		}
	}
	return digests
}

func digestOf(definition string) string {
	h := fnv.New64a()
	h.Write([]byte(definition))
	return strconv.FormatUint(h.Sum64(), 16)
}

// differing returns the names of the kinds that only one of two nodes has, or that they
// define differently.
func differing(a, b map[string]string) (names []string) {
	for name, d := range a {
		if other, ok := b[name]; !ok || d != other && d != "" && other != "" {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// compareKinds asks a peer for its kinds, and logs those that differ from this node's. It
// logs a difference once.
func (n *Node) compareKinds(ctx context.Context, p *peers.Peer, ws *wire.Session) {
	ctx, cancel := context.WithTimeout(ctx, n.members.patience())
	defer cancel()
	var info NodeInfo
	if ws.Peer().Role != wire.RoleMember || ws.Do(ctx, opInfo, nil, &info) != nil {
		return
	}
	names := differing(n.definitions(), info.Kinds)
	text := strings.Join(names, ", ")
	if text == "" {
		if _, differed := n.differing.LoadAndDelete(p.Name); differed {
			n.log.Info("kinds agree again", "node", p.Text)
		}
	} else if last, _ := n.differing.Swap(p.Name, text); last != text {
		n.log.Warn("kinds differ; all nodes should have the same --config", "node", p.Text, "kinds", text)
	}
}

// exclusive reports whether another node must not answer a request that may have run.
func (n *Node) exclusive(request *wire.Request) bool {
	r := n.registryOf(request.Kind)
	return request.IsCall || r != nil && r.Exclusive()
}
