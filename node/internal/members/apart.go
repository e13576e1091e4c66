package members

import (
	"sync"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/wire"
)

// A node that was disconnected is apart: the cluster that it has left may have servers of
// every id, so it starts none of a serial kind. It gives values of other kinds as before.
// It forgets the names of its members, and they do not join it by themselves.
//
// Members that are all apart stay so when they join one another, because none of them is
// of the cluster that they have left. So nodes tell each other whether they are apart
// whenever they compare members ([protocol.Sync]), and one member that is not ends it for
// all. GoAlone ends it for a single node, and so does a restart, because no other node
// can tell what the process was before.

// reunite ends that this node is apart, if g is still its gossip, because a member of g
// is not.
func (m *Members) reunite(g *gossip.Gossip) {
	m.mu.Lock()
	news := m.apart && m.gossip == g && !m.detaching
	if news {
		m.apart = false
	}
	m.mu.Unlock()
	if !news {
		return
	}
	m.refresh()
	m.Logger.Info("not apart any more; servers of serial kinds start again")
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended {
		m.wg.Go(func() { m.tellReunited(g) })
	}
}

// tellReunited tells some members that this node is not apart. The others hear it when
// they compare members, as all do every few seconds.
func (m *Members) tellReunited(g *gossip.Gossip) {
	v, told := m.View(), 0
	var wg sync.WaitGroup
	for _, p := range v.Peers {
		if p.Self || v.Failed(p) || told == maxMet {
			continue
		}
		told++
		wg.Go(func() {
			if err := m.syncNow(m.ctx, g, p); err != nil {
				m.Logger.Debug("cannot tell a member that this node is not apart", "node", p.Text, "why", err)
			}
		})
	}
	wg.Wait()
}

// ApartError is the error of a call that would start a server on this node while it is
// apart.
func (m *Members) ApartError() *wire.Error {
	return &wire.Error{Code: wire.Apart, Outcome: wire.NotRun, Node: m.Addr.Name.String(),
		Text: "the node was disconnected from a cluster that may serve the id; connect it again, or call alone() on it"}
}

// GoAlone ends that this node is apart. It fails if the node is not.
func (m *Members) GoAlone() error {
	v := m.View()
	if !v.Apart {
		return wire.Errorf(wire.BadRequest, wire.NotRun, "%s is not apart from a cluster; disconnect it first", m.Addr.Name)
	}
	m.reunite(v.gossip)
	return nil
}
