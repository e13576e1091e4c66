package node

import (
	"hash/fnv"
	"slices"
)

// A view is one snapshot of the cluster: who has a seat, in the order that every node computes.
// It never changes; a change of the members makes another view.
type view struct {
	seats []*peer // sorted by name, this node included
	epoch uint64  // the same for the same names
}

func newView(peers []*peer) *view {
	slices.SortFunc(peers, func(a, b *peer) int { return a.name.Compare(b.name) })
	h := fnv.New64a()
	for _, p := range peers {
		h.Write([]byte(p.name.String()))
		h.Write([]byte{'\n'})
	}
	return &view{seats: peers, epoch: h.Sum64()}
}

func (v *view) owner(id ID) *peer { return owner(id, v.seats) }

// owner chooses the member that owns id. Members are sorted by [Name.Compare], so all who know the same
// members choose the same one.
func owner[M any](id ID, members []M) M { return members[id.mod(len(members))] }
