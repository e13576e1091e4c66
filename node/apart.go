package node

import (
	"context"
	"sync"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/wire"
)

// A node that was disconnected is apart: the cluster that it has left may have servers of every id, so
// it starts none of a serial kind. Values of other kinds it gives as before. It forgets the names of its
// members, and they do not join it by themselves.
//
// Members that are all apart stay so when they join one another, because none of them is of the
// cluster that they have left. So nodes tell each other whether they are apart whenever they compare
// members (protocol.Sync), and one member that is not ends it for all. GoAlone ends it on a node's own
// account, and so does a new start, of which no other node can tell what it was before.

// staysApart reports whether this node is apart.
func (m *members) staysApart() bool { return m.view.Load().apart }

// reunite ends that this node is apart, if g is still its gossip: a member that g describes is not apart.
func (m *members) reunite(g *gossip.Gossip) {
	m.mu.Lock()
	news := m.apart && m.gossip == g && !m.parts
	if news {
		m.apart = false
	}
	m.mu.Unlock()
	if !news {
		return
	}
	m.refresh()
	m.log.Info("not apart any more; servers of serial kinds start again")
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended {
		m.wg.Go(func() { m.tellReunited(g) })
	}
}

// tellReunited tells some members that this node is not apart. The others hear it when they compare
// members, as all do every few seconds.
func (m *members) tellReunited(g *gossip.Gossip) {
	v, told := m.view.Load(), 0
	var wg sync.WaitGroup
	for _, p := range v.peers {
		if p.Self || v.failed(p) || told == maxMet {
			continue
		}
		told++
		wg.Go(func() {
			if err := m.exchangeNow(m.pool.Context(), g, p); err != nil {
				m.log.Debug("cannot tell a member that this node is not apart", "node", p.Text, "why", err)
			}
		})
	}
	wg.Wait()
}

// apartError is the error of a call that would start a server on this node while it is apart.
func (n *Node) apartError() *wire.Error {
	return &wire.Error{Code: wire.Apart, Outcome: wire.NotRun, Node: n.name,
		Text: "the node was disconnected from a cluster that may serve the id; connect it again, or call alone() on it"}
}

// GoAlone ends that this node is apart, without the cluster that it was disconnected from. A node that
// was disconnected starts no server of a serial kind, because that cluster may have one of the same id:
// a call fails with [ErrApart], and has not run, until the node connects to a node that is not apart, or
// is started anew. Call GoAlone when that cluster is gone, or shares nothing with this node. GoAlone
// fails if the node is not apart.
func (n *Node) GoAlone(context.Context) error { return n.goAlone(n.own()) }

// goAlone is GoAlone as asked for by an actor.
func (n *Node) goAlone(by audit.Actor) error {
	v := n.members.view.Load()
	if !v.apart {
		return wire.Errorf(wire.BadRequest, wire.NotRun, "%s is not apart from a cluster; disconnect it first", n.name)
	}
	n.audit.Note("goes on alone", by)
	n.members.reunite(v.gossip)
	return nil
}
