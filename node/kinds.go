package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distproc/distproc/internal/text"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// SetKinds changes the kinds of workers that the node has besides the default one; under the name "default", that one too.
// Workers that live go on under the rules by which they were started. Those of a kind that is left out end, and calls for
// it fail. It fails, and changes nothing, if a name is not 1 to 64 letters, digits, _ or -, if a kind has not
// exactly one of Source and Serial, or if a field makes no sense, such as a negative duration.
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
		if !text.IsName(name) {
			return fmt.Errorf("kind %q: a name is "+text.NameRule, name)
		}
		if err := kind.Validate(); err != nil {
			return fmt.Errorf("kind %q: %w", name, err)
		}
	}
	if k, ok := kinds[worker.DefaultKind]; ok && n.registry.Serial() != (k.Serial != nil) {
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
		if r == nil || r.Serial() != (kind.Serial != nil) {
			var over <-chan struct{}
			if before := cmp.Or(old[name], n.lastRetiredLocked(name)); before != nil {
				over = before.Over()
			}
			r = n.newRegistry(name, kind, n.admission, over)
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
			n.retired = append(n.retired, r)
			n.wg.Go(func() { n.retireKind(r) })
		}
	}
	return nil
}

// lastRetiredLocked returns the registry of the last kind of that name that is no more, or nil.
func (n *Node) lastRetiredLocked(name string) *registry.Registry {
	for _, r := range slices.Backward(n.retired) {
		if r.Name() == name {
			return r
		}
	}
	return nil
}

// retiring returns the registries of kinds that are no more, but whose workers may still run.
func (n *Node) retiring() []*registry.Registry {
	n.kindsMu.Lock()
	defer n.kindsMu.Unlock()
	return slices.Clone(n.retired)
}

func (n *Node) newRegistry(name string, kind worker.Kind, admission *registry.Admission, before <-chan struct{}) *registry.Registry {
	return registry.New(registry.Config{
		Name: name, Kind: kind, Node: n.name, Host: n.host, Admission: admission, Values: &n.values, Before: before, Logger: n.log,
	})
}

// retireKind ends the workers of a kind that is no more. Those that load have the time that their kind gives them.
func (n *Node) retireKind(r *registry.Registry) {
	if err := r.Close(n.ctx); err != nil {
		n.log.Warn("removed kind still has running workers", "kind", r.Name(), "why", err)
		return
	}
	select {
	case <-r.Over():
	case <-n.ctx.Done():
	}
	n.kindsMu.Lock()
	defer n.kindsMu.Unlock()
	n.retired = slices.DeleteFunc(n.retired, func(old *registry.Registry) bool { return old == r })
}

// registryOf returns the workers of a kind, or nil if this node has no such kind.
func (n *Node) registryOf(kind string) *registry.Registry {
	if kind == readyKind {
		return n.probed
	}
	return (*n.kinds.Load())[cmp.Or(kind, worker.DefaultKind)]
}

// registries returns those of all kinds, by name.
func (n *Node) registries() []*registry.Registry {
	return slices.SortedFunc(maps.Values(*n.kinds.Load()), func(a, b *registry.Registry) int { return cmp.Compare(a.Name(), b.Name()) })
}

// workersFor returns the workers of a kind that this node has, if they take calls or have values, as is asked.
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

// patience is how long a call of that kind may have to wait for its source.
func (n *Node) patience(kind string) time.Duration {
	timeout := worker.DefaultTimeout
	if r := n.registryOf(kind); r != nil {
		timeout = max(timeout, r.Kind().Timeout)
	}
	return timeout + time.Second
}

// definitions returns a digest of what each kind is, or "" for one that cannot be compared.
func (n *Node) definitions() map[string]string {
	digests := map[string]string{}
	for _, r := range n.registries() {
		digests[r.Name()] = ""
		if d := r.Kind().Definition; d != "" {
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

// differing returns the names of the kinds that only one of two nodes has, or that they define differently.
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

// compareKinds asks a peer what its kinds are, and logs it if they are not this node's. What was said is not said again.
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

// exclusive reports whether a request must not be answered elsewhere if it may have run.
func (n *Node) exclusive(request *wire.Request) bool {
	r := n.registryOf(request.Kind)
	return request.IsCall || r != nil && r.Kind().Exclusive
}
