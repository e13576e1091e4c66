package members

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/discover"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
)

// A Join may name sources besides nodes: see package discover. They are asked again at
// each try, also after Join has returned, and what they find is tried as long as it has no
// slot here. It is not remembered as the names of a Join are: what a source does not name
// any more is tried only if it was a member.
//
// A node that was disconnected forgets its sources, too.

const (
	namedFor   = 10 * time.Minute // until a target is asked again for its name, as addresses change hands
	aloneEvery = 2 * time.Second  // between two tries of a node that knows nobody else, on average
	lookupSelf = time.Second      // for name servers to tell the own address
)

// A finder is what a node knows of one source.
type finder struct {
	source  *discover.Source
	joining atomic.Bool // joinFrom tries it
	trying  sync.Mutex  // held by try

	// Guarded by trying.
	why   string                // why Find failed the last time, or empty
	found map[string]*foundNode // by target
}

// A foundNode is what became of a target of a source.
type foundNode struct {
	target placement.Addr // without a Node unless the source names it
	named  placement.Addr // the node that is there; zero until it has been asked
	asked  time.Time      // when it was
	why    string         // why it could not be joined the last time, or empty
}

// node returns which node is there, if that is known.
func (n *foundNode) node() (a placement.Addr, ok bool) {
	if n.target.Node != "" {
		return n.target, true
	}
	return n.named, n.named.Node != "" && time.Since(n.asked) < namedFor
}

var errStaysApart = errors.New("it was disconnected from a cluster, and is joined by name only")

// addSources adds the sources among the names of a Join, and returns those and the rest.
func (m *Members) addSources(names []string) (finders []*finder, rest []string, err error) {
	options := m.Sources
	options.Port = m.Addr.Port
	for _, name := range names {
		if !discover.Is(name) {
			rest = append(rest, name)
			continue
		}
		source, err := discover.Parse(name, options)
		if err != nil {
			return nil, nil, err
		}
		if !slices.ContainsFunc(finders, func(f *finder) bool { return f.source.String() == name }) {
			finders = append(finders, &finder{source: source, found: map[string]*foundNode{}})
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, f := range finders {
		old := slices.IndexFunc(m.finders, func(old *finder) bool { return old.source.String() == f.source.String() })
		switch {
		case old >= 0:
			finders[i] = m.finders[old]
		case len(m.finders) < maxKnown:
			m.finders = append(slices.Clip(m.finders), f)
		}
	}
	return finders, rest, nil
}

func (m *Members) forgetSources() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finders = nil
}

// joinFrom tries to join what a source names until this node is in one cluster with a node
// of it, ctx ends, or all that it names refuse this node for good. It returns errSelf if
// the source names this node alone.
func (m *Members) joinFrom(ctx context.Context, f *finder) error {
	f.joining.Store(true)
	defer f.joining.Store(false)
	last, refusals := errNotAsked, 0
	for backoff := clock.Redial(); ctx.Err() == nil && m.ctx.Err() == nil; backoff.Sleep(ctx) {
		err := m.try(ctx, f)
		if err == nil || errors.Is(err, errSelf) {
			return err
		}
		if !isRefusal(err) {
			refusals = 0
		} else if refusals++; refusals >= maxRefusals && !m.known.wasMember() {
			return fmt.Errorf("cannot join what %s names: %w", f.source, err)
		}
		if ctx.Err() == nil {
			last = err
		}
	}
	return fmt.Errorf("cannot join what %s names: %w: %w", f.source, cmp.Or(ctx.Err(), m.ctx.Err()), last)
}

// trySources tries all sources once, but for those that a Join tries.
func (m *Members) trySources() {
	m.mu.Lock()
	finders := m.finders
	m.mu.Unlock()
	var wg sync.WaitGroup
	for _, f := range finders {
		if !f.joining.Load() {
			wg.Go(func() { _ = m.try(m.ctx, f) }) // it has been logged
		}
	}
	wg.Wait()
}

// try asks a source, and tries to join what it names and what has no slot here, or some of
// it. It returns nil if one of those has a slot then, errSelf if this node alone is named,
// and a refusal if all refuse this node.
func (m *Members) try(ctx context.Context, f *finder) error {
	f.trying.Lock()
	defer f.trying.Unlock()
	targets, err := f.source.Find(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	why := ""
	if err != nil {
		why = err.Error()
	}
	switch {
	case why == "" || why == f.why:
	case len(targets) == 0:
		m.Logger.Warn("found no nodes to join, will ask again", "source", f.source.String(), "why", why)
	default:
		m.Logger.Warn("some nodes to join are left out", "source", f.source.String(), "why", why)
	}
	f.why = why
	if len(targets) == 0 {
		return err
	}
	list, own, joined := m.candidates(ctx, f, targets)
	results := make([]error, len(list))
	var wg sync.WaitGroup
	for i, n := range list {
		wg.Go(func() { results[i] = m.tryFound(ctx, n) })
	}
	wg.Wait()
	var failed error // one that is no refusal, if there is any
	for i, err := range results {
		n := list[i]
		switch {
		case err == nil:
			joined, n.why = true, ""
			continue
		case errors.Is(err, errSelf):
			own = true
			continue
		case failed == nil || isRefusal(failed):
			failed = fmt.Errorf("%s: %w", protocol.TargetText(n.target), err)
		}
		if ctx.Err() == nil && n.why != err.Error() {
			n.why = err.Error()
			m.Logger.Warn("cannot join, will try again", "node", protocol.TargetText(n.target), "source", f.source.String(), "why", n.why)
		}
	}
	if own {
		m.amongSeeds.Store(true)
	}
	switch {
	case joined:
		return nil
	case failed != nil:
		return failed
	case own:
		return errSelf
	}
	return errors.New("it names nobody who can be joined")
}

// candidates returns some of the targets that may have no slot here. It reports whether
// this node is one of the targets, and whether another target has a slot.
func (m *Members) candidates(ctx context.Context, f *finder, targets []string) (list []*foundNode, own, joined bool) {
	found, mine, v := map[string]*foundNode{}, m.ownAddresses(ctx), m.View()
	for _, text := range targets {
		n := f.found[text]
		if n == nil {
			a, err := protocol.ParseTarget(text)
			if err != nil {
				continue // Find returns none of those
			}
			n = &foundNode{target: a}
		}
		found[text] = n
		a, known := n.node()
		switch {
		case known && a.Name == m.Addr.Name, n.target.Node == "" && mine[n.target.HostPort()]:
			own = true
		case known && v.Peer(a.Name) != nil:
			joined, n.why = true, ""
		default:
			list = append(list, n)
		}
	}
	f.found = found
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(len(list), maxTriedAgain)], own, joined
}

// ownAddresses returns where this node is reached, host:port, as far as it can tell by
// itself.
func (m *Members) ownAddresses(ctx context.Context) map[string]bool {
	own := map[string]bool{m.Addr.HostPort(): true, m.Listen: true}
	host, port, _ := net.SplitHostPort(m.Listen)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		all, _ := net.InterfaceAddrs() // else this node is asked who it is
		for _, a := range all {
			if n, ok := a.(*net.IPNet); ok {
				own[net.JoinHostPort(n.IP.String(), port)] = true
			}
		}
	}
	host, port, _ = net.SplitHostPort(m.Addr.HostPort())
	if _, err := netip.ParseAddr(host); err != nil {
		ctx, cancel := context.WithTimeout(ctx, lookupSelf)
		defer cancel()
		found, _ := cmp.Or(m.Sources.Resolver, net.DefaultResolver).LookupNetIP(ctx, "ip", host) // as above
		for _, ip := range found {
			own[net.JoinHostPort(ip.Unmap().String(), port)] = true
		}
	}
	return own
}

// tryFound joins the cluster of the node at a target, unless that stays apart.
func (m *Members) tryFound(ctx context.Context, n *foundNode) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	a := n.target
	if a.Node == "" { // ask in any case, because addresses change hands
		var err error
		if a, err = protocol.Identify(ctx, n.target, m.Creds); err != nil {
			m.noteRefusal(err)
			return err
		}
		n.named, n.asked = a, time.Now()
		switch {
		case a.Name == m.Addr.Name:
			return errSelf
		case m.View().Peer(a.Name) != nil:
			return nil
		}
	}
	err := m.rejoin(ctx, a)
	m.noteRefusal(err)
	switch {
	case err != nil:
		return misled(err, n.target.HostPort(), a)
	case m.View().Peer(a.Name) == nil:
		return errStaysApart
	}
	return nil
}

// alone reports whether this node knows nobody else, but has sources to ask.
func (m *Members) alone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.finders) > 0 && len(m.View().Peers) == 1
}
