package node

import (
	"hash/fnv"
	"slices"
)

// A view is one snapshot of the cluster: who has a seat, in the order that every node computes.
// It never changes; a change of the members makes another view.
type view struct {
	peers   []*peer // sorted by name, this node included
	seats   []seat  // of the peers, in the same order
	routing Routing
	epoch   uint64 // the same for the same names and routing
}

func newView(peers []*peer, r Routing) *view {
	slices.SortFunc(peers, func(a, b *peer) int { return a.name.Compare(b.name) })
	v := &view{peers: peers, routing: r}
	h := fnv.New64a()
	h.Write([]byte{byte(r)})
	for _, p := range peers {
		v.seats = append(v.seats, seatOf(p.name))
		h.Write([]byte(p.name.String()))
		h.Write([]byte{'\n'})
	}
	v.epoch = h.Sum64()
	return v
}

// owner returns the member that id belongs to.
func (v *view) owner(id ID) *peer { return v.peers[v.routing.owner(id, v.seats)] }
