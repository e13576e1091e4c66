package node

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/distproc/distproc/wire"
)

// DefaultKind is the name of the kind that [Node.Request] asks.
const DefaultKind = "default"

var kindPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// SetKinds changes the kinds of workers that the node has besides the default one; under the name "default", that one too.
// Workers that live go on under the rules by which they were started. Those of a kind that is left out end, and calls for
// it fail. It fails, and changes nothing, if a name is not 1 to 64 letters, digits, _ or -.
func (n *Node) SetKinds(kinds map[string]Kind) error {
	for name := range kinds {
		if !kindPattern.MatchString(name) {
			return fmt.Errorf("kind %q: a name is 1 to 64 letters, digits, _ or -", name)
		}
	}
	n.kindsMu.Lock()
	defer n.kindsMu.Unlock()
	if n.leaving.Load() {
		return &wire.Error{Code: wire.Closed, Outcome: NotRun}
	}
	old := *n.kinds.Load()
	byName := map[string]*registry{DefaultKind: n.registry}
	for name, kind := range kinds {
		r := old[name]
		if r == nil {
			r = newRegistry(name, kind, n.name, n.registry.room, n.log)
			r.handOver = n.handover.add
		} else {
			r.set(kind)
		}
		byName[name] = r
	}
	n.kinds.Store(&byName)
	for name, r := range old {
		if byName[name] == nil {
			n.wg.Go(func() { n.retireKind(r) })
		}
	}
	return nil
}

// retireKind ends the workers of a kind that is no more. Those that load have the time that their kind gives them.
func (n *Node) retireKind(r *registry) {
	if err := r.close(n.ctx); err != nil {
		n.log.Warn("a kind is gone, but not all of its workers", "kind", r.name, "why", err)
	}
}

// registryOf returns the workers of a kind, or nil if this node has no such kind.
func (n *Node) registryOf(kind string) *registry {
	if kind == "" {
		return n.registry
	}
	return (*n.kinds.Load())[kind]
}

// registries returns those of all kinds, by name.
func (n *Node) registries() []*registry {
	return slices.SortedFunc(maps.Values(*n.kinds.Load()), func(a, b *registry) int { return cmp.Compare(a.name, b.name) })
}

func unknownKind(name string) *wire.Error { return wire.Errorf(wire.UnknownKind, NotRun, "%q", name) }

// patience is how long a call of that kind may have to wait for its source.
func (n *Node) patience(kind string) time.Duration {
	timeout := defaultTimeout
	if r := n.registryOf(kind); r != nil {
		timeout = max(timeout, r.kind.Load().Timeout)
	}
	return timeout + time.Second
}

// exclusive reports whether a call of that kind must not be answered elsewhere if it may have run.
func (n *Node) exclusive(kind string) bool {
	r := n.registryOf(kind)
	return r != nil && r.kind.Load().Exclusive
}
