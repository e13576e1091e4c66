package members

import (
	"slices"
	"sync"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A View is one snapshot of the cluster: who has a slot, in the order that every node
// computes, and who has failed. It never changes; a change of the members makes another
// View.
type View struct {
	Peers []*peers.Peer   // sorted by name, this node included
	Ring  *placement.Ring // of the peers, in the same order

	// Apart is set while this node is apart: the cluster that it was disconnected from may
	// serve every id, so this one starts no server of a serial kind. See apart.go.
	Apart bool

	// Term is higher than that of the view before if ids may have another owner since
	// then, or if this process has stood still. What other nodes said in one term does
	// not hold in the next one.
	Term uint64

	// Shed is higher than that of the view before if ids of this node may be another's
	// since then.
	Shed uint64

	byName map[placement.Name]*peers.Peer
	rest   func() *View
	digest uint64         // of gossip, at the latest when the view was made
	gossip *gossip.Gossip // tells of these members, and no other one does: a node that leaves its cluster starts another one; nil for a client
}

// NewView returns the view of these members. Failed are those that cannot be reached.
func NewView(list []*peers.Peer, failed map[*peers.Peer]bool, r placement.Routing) *View {
	slices.SortFunc(list, func(a, b *peers.Peer) int { return a.Name.Compare(b.Name) })
	slots := make([]placement.Slot, len(list))
	byName := make(map[placement.Name]*peers.Peer, len(list))
	for i, p := range list {
		slots[i] = placement.Slot{Name: p.Name, Failed: failed[p]}
		byName[p.Name] = p
	}
	v := &View{Peers: list, Ring: placement.NewRing(r, slots), byName: byName}
	v.rest = sync.OnceValue(func() *View {
		return NewView(slices.DeleteFunc(slices.Clone(list), func(p *peers.Peer) bool { return p.Self }), failed, r)
	})
	return v
}

// Rest returns the view of the others when this node has left.
func (v *View) Rest() *View { return v.rest() }

// Owner returns the member whose slot id belongs to.
func (v *View) Owner(id worker.ID) *peers.Peer { return v.Peers[v.Ring.Owner(id)] }

// Acting returns the member that answers for id: its owner, or a fallback while that has
// failed.
func (v *View) Acting(id worker.ID) *peers.Peer { return v.Peers[v.Ring.Acting(id)] }

// Peer returns the member of that name, or nil.
func (v *View) Peer(name placement.Name) *peers.Peer { return v.byName[name] }

// Self returns this node.
func (v *View) Self() *peers.Peer {
	return v.Peers[slices.IndexFunc(v.Peers, func(p *peers.Peer) bool { return p.Self })]
}

// Failed reports whether p has a slot and has failed.
func (v *View) Failed(p *peers.Peer) bool {
	i := slices.Index(v.Peers, p)
	return i >= 0 && v.Ring.Slot(i).Failed
}

// OwnInt returns an integer id for which this node answers, and false if there is none,
// as the others take this node for failed.
func (v *View) OwnInt() (id int64, ok bool) {
	for i := range 64 * int64(len(v.Peers)) {
		if v.Acting(worker.IntID(i)).Self {
			return i, true
		}
	}
	return 0, false
}

// NotOwner is the answer to a call for an id that is another node's.
func (v *View) NotOwner(id worker.ID) *wire.Error {
	return &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun, Text: v.Acting(id).Text + " is", Members: v.gossip.Snapshot()}
}
