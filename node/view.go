package node

import (
	"slices"
	"sync"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// A view is one snapshot of the cluster: who has a seat, in the order that every node computes, and who has
// failed. It never changes; a change of the members makes another view.
type view struct {
	peers []*peers.Peer   // sorted by name, this node included
	ring  *placement.Ring // of the peers, in the same order

	// apart is set while this node starts no server of a serial kind: see apart.go.
	apart bool

	rest func() *view // the view of the others when this node has left
	roll *rollCall    // the same for the same epoch, one after the other

	// gossip is what tells of these members, and what peers say of them is for this one alone: a node that leaves its cluster
	// starts another one. A client's view has none.
	gossip *gossip.Gossip
}

// newView returns the view of these members. Failed are those that cannot be reached.
func newView(list []*peers.Peer, failed map[*peers.Peer]bool, r placement.Routing) *view {
	slices.SortFunc(list, func(a, b *peers.Peer) int { return a.Name.Compare(b.Name) })
	slots := make([]placement.Slot, len(list))
	for i, p := range list {
		slots[i] = placement.Slot{Name: p.Name, Failed: failed[p]}
	}
	v := &view{peers: list, ring: placement.NewRing(r, slots), roll: newRollCall()}
	v.rest = sync.OnceValue(func() *view {
		return newView(slices.DeleteFunc(slices.Clone(list), func(p *peers.Peer) bool { return p.Self }), failed, r)
	})
	return v
}

// owner returns the member whose seat id belongs to.
func (v *view) owner(id worker.ID) *peers.Peer { return v.peers[v.ring.Owner(id)] }

// acting returns the member that answers for id: its owner, or a stand-in while that has failed.
func (v *view) acting(id worker.ID) *peers.Peer { return v.peers[v.ring.Acting(id)] }

// peer returns the member of that name, or nil.
func (v *view) peer(name placement.Name) *peers.Peer {
	i, ok := slices.BinarySearchFunc(v.peers, name, func(p *peers.Peer, name placement.Name) int { return p.Name.Compare(name) })
	if !ok {
		return nil
	}
	return v.peers[i]
}

// failed reports whether p has a seat and has failed.
func (v *view) failed(p *peers.Peer) bool {
	i := slices.Index(v.peers, p)
	return i >= 0 && v.ring.Slot(i).Failed
}
