package members

import (
	"slices"

	"github.com/distproc/distproc/node/internal/peers"
)

// Tests of nodes bring these situations about on purpose.

// PretendFailed publishes a view in which these members have failed. It holds until the
// next change of the members.
func (m *Members) PretendFailed(list ...*peers.Peer) *View {
	m.making.Lock()
	defer m.making.Unlock()
	old := m.View()
	failed := map[*peers.Peer]bool{}
	for _, p := range old.Peers {
		failed[p] = old.Failed(p) || slices.Contains(list, p)
	}
	v := NewView(slices.Clone(old.Peers), failed, m.Routing)
	v.gossip, v.digest, v.Apart, v.Term = old.gossip, old.digest, old.Apart, old.Term+1
	v.Shed = old.Shed + 1
	m.view.Store(v)
	return v
}

// HoldViews has no view be published until release is called.
func (m *Members) HoldViews() (release func()) {
	m.making.Lock()
	return m.making.Unlock
}
