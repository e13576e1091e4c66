package members

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/wire"
)

// Remove takes the slot of a member. If the member lives, Remove asks it to leave the
// cluster; it stays up, apart.
func (m *Members) Remove(ctx context.Context, p *peers.Peer) error {
	w := m.pool.Slot(p) // before it leaves: later it may be back
	ws, err := m.pool.Get(ctx, p)
	if err == nil {
		err = ws.Do(ctx, protocol.OpDetach, nil, nil)
	}
	if err == nil {
		m.Left(w)
		return nil
	}
	e, ok := errors.AsType[*wire.Error](err)
	if !ok {
		return err
	}
	switch lost := e.Lost(); {
	case lost && m.View().Failed(p):
		if err := m.currentGossip().Remove(p.Name.String()); err != nil {
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

// BeginDetaching has this node learn nothing and let nobody in until Detach returns. It
// reports whether this node still runs.
func (m *Members) BeginDetaching() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.detaching = !m.ended
	return m.detaching
}

// Detach leaves the cluster and starts one of this node alone, which is apart. It forgets
// the names of members and the sources of such. BeginDetaching must have been called.
func (m *Members) Detach() error {
	m.known.clear()
	m.forgetSources()
	m.Leave()
	m.currentGossip().Close()
	m.mu.Lock()
	m.former = m.self.Incarnation
	m.self.Incarnation = max(uint64(time.Now().UnixNano()), m.former+1) // the clock may have been set back
	self := m.self
	m.mu.Unlock()
	m.pool.Leave()
	g, err := m.newGossip(self)
	if err != nil {
		m.Logger.Error("left the cluster, and cannot be a member any more; start the node again", "err", err)
		return err
	}
	if !m.startAnew(g) {
		g.Close()
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	m.refresh()
	m.mu.Lock()
	m.detaching = false
	m.mu.Unlock()
	m.Logger.Info("left the cluster; no server of a serial kind starts until the node is connected again")
	return nil
}

// startAnew makes g the gossip of this node, which is apart from now on. It reports
// whether this node still runs.
func (m *Members) startAnew(g *gossip.Gossip) bool {
	m.making.Lock()
	defer m.making.Unlock()
	m.mu.Lock()
	ended := m.ended
	if !ended {
		m.gossip, m.apart = g, true
	}
	m.mu.Unlock()
	m.pool.Leave() // again, as a view that was just being made has given peers their former slots
	return !ended
}

// Leave tells the cluster that this node gives up its slot: the peers that it has a
// session to, and by gossip everybody.
func (m *Members) Leave() {
	ctx, cancel := context.WithTimeout(context.Background(), sayGoodbye)
	defer cancel()
	h := m.Hello()
	farewell := protocol.Sync{List: []wire.Member{{Name: h.Name, Addr: h.Addr, Incarnation: h.Incarnation, State: wire.Left}}}
	var telling sync.WaitGroup
	for _, ws := range m.pool.Live() {
		telling.Go(func() { _ = ws.Do(ctx, protocol.OpSync, farewell, nil) }) // a peer that misses it hears it by gossip
	}
	if m.Outranked() == nil {
		m.currentGossip().Leave(ctx)
	} else {
		m.currentGossip().LeaveTwin(ctx)
	}
	telling.Wait()
}
