package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const partTimeout = 10 * time.Second // of Disconnect, if its context has no deadline; longer than servers have to end

// Disconnect has a member leave the cluster, and returns nil when that has taken effect:
// its servers of serial kinds have ended, its cached answers are handed over, and neither
// it nor a living member of the cluster has the other in its view. Calls that run there
// have 5 s; then their contexts end. If one goes on, the node stays a member and
// Disconnect fails. The node stays up, apart: see [Node.GoAlone]. A member that has
// failed loses its seat at once. If ctx ends first, after 10 s without a deadline, the
// error says what is not done yet.
func (n *Node) Disconnect(ctx context.Context, name string) error {
	return n.disconnect(ctx, name, n.own())
}

// disconnect is Disconnect as asked for by an actor.
func (n *Node) disconnect(ctx context.Context, name string, by actor) error {
	p, err := n.member(name)
	if err != nil {
		return err
	}
	if p.Self {
		return wire.Errorf(wire.BadRequest, wire.NotRun, "%s is this node itself; disconnect it from another node", name)
	}
	ctx, cancel := clock.WithTimeout(ctx, partTimeout)
	defer cancel()
	if err := n.members.remove(ctx, p); err != nil {
		return err
	}
	n.audit.note("member removed", by, "node", p.Text)
	if late := n.awaitAgreement(ctx); len(late) > 0 {
		e := wire.Ended(ctx.Err(), wire.Ran)
		e.Text = fmt.Sprintf("%s has left, but may still be in the view of %s; see nodes() there", p.Text, strings.Join(late, ", "))
		return e
	}
	return nil
}

// remove takes the seat of a member. If the member lives, remove asks it to leave the
// cluster; it stays up, apart.
func (m *members) remove(ctx context.Context, p *peers.Peer) error {
	w := m.pool.Seated(p) // before it leaves: later it may be back
	ws, err := m.pool.Get(ctx, p)
	if err == nil {
		err = ws.Do(ctx, opPart, nil, nil)
	}
	if err == nil {
		m.left(w)
		return nil
	}
	e, ok := errors.AsType[*wire.Error](err)
	if !ok {
		return err
	}
	switch lost := e.Lost(); {
	case lost && m.view.Load().failed(p):
		if err := m.swim().Remove(p.Name.String()); err != nil {
			return err
		}
		m.refresh()
		return nil
	case lost:
		e.Text += "; disconnect it again when nodes(detail=True) shows it as failed"
	case ctx.Err() != nil && e.Outcome == wire.Unknown:
		e.Text = "its calls have not ended yet; it leaves when they have"
	}
	return e
}

// awaitAgreement waits until all living members have published the view that this node
// has, and returns those that have not when ctx ends.
func (n *Node) awaitAgreement(ctx context.Context) (late []string) {
	peers := n.members.view.Load().peers
	agreed := make([]bool, len(peers))
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() { agreed[i] = p.Self || n.agreesWith(ctx, p) })
	}
	wg.Wait()
	for i, p := range peers {
		if !agreed[i] {
			late = append(late, p.Text)
		}
	}
	return late
}

// agreesWith waits until p has published the view that this node has, or p is lost, or
// ctx ends.
func (n *Node) agreesWith(ctx context.Context, p *peers.Peer) bool {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		v := n.members.view.Load()
		if v.peer(p.Name) != p || v.failed(p) {
			return true
		}
		var theirs rollMessage // of serveRoll, which settles a difference first
		if n.insist(ctx, v, p, opRoll, v.ring.Epoch(), &theirs) == nil && theirs.Epoch == v.ring.Epoch() {
			return true
		}
		if !clock.Sleep(ctx, wait) {
			return false
		}
	}
}

// servePart has this node leave the cluster, and waits until it has or ctx ends.
func (n *Node) servePart(ctx context.Context) error {
	left := make(chan error, 1)
	n.wg.Go(func() { left <- n.part(false) })
	select {
	case err := <-left:
		return err
	case <-ctx.Done():
		return wire.Ended(ctx.Err(), wire.Unknown)
	}
}

// part leaves the cluster as Close does, but the node goes on, apart. If a server does
// not end in time the node stays, unless it must leave: then another node may start a
// server of the same id.
func (n *Node) part(must bool) error {
	n.parting.Lock()
	defer n.parting.Unlock()
	if v := n.members.view.Load(); v.apart && len(v.peers) == 1 {
		return nil // it has left since the caller asked
	}
	registries, err := n.freeze()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, drainTimeout)
	defer cancel()
	n.hold(ctx, registries)
	if err := stillServing(registries); err != nil && !must {
		n.log.Warn("cannot leave the cluster", "why", err.Text)
		n.thaw(registries, (*registry.Registry).Resume)
		return err
	}
	if !n.members.beginParting() {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	n.retain(func(*registry.Registry, worker.ID) bool { return false })
	n.flush(n.ctx)
	n.known.clear()
	if err := n.members.part(); err != nil {
		return err // and holds all servers: others may have theirs
	}
	n.thaw(registries, (*registry.Registry).Release)
	return nil
}

// freeze returns the registries of all kinds, and has those of new ones be held until
// thaw.
func (n *Node) freeze() ([]*registry.Registry, error) {
	n.kindsMu.Lock()
	defer n.kindsMu.Unlock()
	if n.leaving.Load() {
		return nil, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	n.frozen = true
	return append(slices.Clone(n.removed), n.registries()...), nil
}

// thaw calls end with the registries that are held, new ones included. Those of a node
// that closes stay held.
func (n *Node) thaw(registries []*registry.Registry, end func(*registry.Registry)) {
	n.kindsMu.Lock()
	n.frozen = false
	leaving := n.leaving.Load()
	registries = append(registries, n.registries()...)
	n.kindsMu.Unlock()
	for _, r := range registries {
		if !leaving {
			end(r)
		}
	}
}

// stillServing returns an error that names a server of these registries that has not
// ended, or nil.
func stillServing(registries []*registry.Registry) *wire.Error {
	for _, r := range registries {
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

// beginParting has nothing be learned and nobody be let in any more. It reports whether
// this node still runs.
func (m *members) beginParting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parts = !m.ended
	return m.parts
}

// part leaves the cluster and starts another one, apart.
func (m *members) part() error {
	m.leave()
	m.swim().Close()
	m.mu.Lock()
	m.former, m.self.Incarnation = m.self.Incarnation, uint64(time.Now().UnixNano())
	self := m.self
	m.mu.Unlock()
	m.pool.Leave()
	g, err := m.newGossip(self)
	if err != nil {
		m.log.Error("left the cluster, and cannot be a member any more; start the node again", "err", err)
		return err
	}
	if !m.startAnew(g) {
		g.Close()
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	m.refresh()
	m.mu.Lock()
	m.parts = false
	m.mu.Unlock()
	m.log.Info("left the cluster; no server of a serial kind starts until the node is connected again")
	return nil
}

// startAnew makes g the gossip of this node, which is apart from now on. It reports
// whether this node still runs.
func (m *members) startAnew(g *gossip.Gossip) bool {
	m.making.Lock()
	defer m.making.Unlock()
	m.mu.Lock()
	ended := m.ended
	if !ended {
		m.gossip, m.apart = g, true
	}
	m.mu.Unlock()
	m.pool.Leave() // again, as a view that was just being made has given peers their former seats
	return !ended
}

// parting reports whether this node is leaving its cluster.
func (m *members) parting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.parts
}

// leave tells the cluster that this node gives up its seat: those it has a session to,
// and by gossip everybody.
func (m *members) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), sayGoodbye)
	defer cancel()
	h := m.hello()
	farewell := tellMessage{List: []wire.Member{{Name: h.Name, Addr: h.Addr, Incarnation: h.Incarnation, State: wire.Left}}}
	var telling sync.WaitGroup
	for _, ws := range m.pool.Live() {
		telling.Go(func() { _ = ws.Do(ctx, opTell, farewell, nil) }) // who misses it hears it by gossip
	}
	m.swim().Leave(ctx)
	telling.Wait()
}
