package node

import (
	"slices"
	"sync"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// A view is one snapshot of the cluster: who has a seat, in the order that every node computes, and who has
// failed. It never changes; a change of the members makes another view.
type view struct {
	peers []*peer         // sorted by name, this node included
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
func newView(peers []*peer, failed map[*peer]bool, r placement.Routing) *view {
	slices.SortFunc(peers, func(a, b *peer) int { return a.name.Compare(b.name) })
	slots := make([]placement.Slot, len(peers))
	for i, p := range peers {
		slots[i] = placement.Slot{Name: p.name, Failed: failed[p]}
	}
	v := &view{peers: peers, ring: placement.NewRing(r, slots), roll: newRollCall()}
	v.rest = sync.OnceValue(func() *view {
		return newView(slices.DeleteFunc(slices.Clone(peers), func(p *peer) bool { return p.self }), failed, r)
	})
	return v
}

// owner returns the member whose seat id belongs to.
func (v *view) owner(id worker.ID) *peer { return v.peers[v.ring.Owner(id)] }

// acting returns the member that answers for id: its owner, or a stand-in while that has failed.
func (v *view) acting(id worker.ID) *peer { return v.peers[v.ring.Acting(id)] }

// peer returns the member of that name, or nil.
func (v *view) peer(name placement.Name) *peer {
	i, ok := slices.BinarySearchFunc(v.peers, name, func(p *peer, name placement.Name) int { return p.name.Compare(name) })
	if !ok {
		return nil
	}
	return v.peers[i]
}

// failed reports whether p has a seat and has failed.
func (v *view) failed(p *peer) bool {
	i := slices.Index(v.peers, p)
	return i >= 0 && v.ring.Slot(i).Failed
}
