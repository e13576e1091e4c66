package node

import "github.com/distproc/distproc/node/worker"

// Stats are counts of a node since it started, and what there is now.
type Stats struct {
	Kinds    []worker.Stats // by name
	Members  map[State]int  // slots, by what this node thinks of them
	Sessions int            // open to other members, and of clients

	BytesIn, BytesOut uint64 // of all connections to nodes and clients, encrypted
	Refused           uint64 // connections that were turned away, for want of the cookie or another reason

	Quorum *worker.Quorum // of strict kinds; nil if the node was started without voters

	HandedOff, HandOffLost uint64 // answers that went to other nodes as their ids moved, and that should have
}

// Stats returns the node's counts. Each is right by itself, but they are not all of one
// and the same moment.
func (n *Node) Stats() Stats {
	list, _ := n.Members(n.ctx) // which this node knows
	slots := map[State]int{}
	for _, m := range list {
		slots[m.State]++
	}
	traffic := &n.creds.Traffic
	sent, lost := n.handoffs.Stats()
	return Stats{
		Kinds:    n.kinds.Stats(),
		Members:  slots,
		Quorum:   n.quorum.Status(),
		Sessions: len(n.pool.Live()) + int(n.clients.Load()),
		BytesIn:  traffic.In.Load(), BytesOut: traffic.Out.Load(),
		Refused:   traffic.Refused.Load(),
		HandedOff: sent, HandOffLost: lost,
	}
}
