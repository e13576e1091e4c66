package node

import "time"

// Stats are counts of a node since it started, and what there is now.
type Stats struct {
	Kinds    []KindStats   // by name
	Members  map[State]int // seats, by what this node thinks of them
	Sessions int           // open to other members, and of clients

	BytesIn, BytesOut uint64 // of all connections to nodes and clients, encrypted
	Refused           uint64 // connections that were turned away, for want of the cookie or another reason

	HandedOver, HandOverLost uint64 // answers that went to other nodes as their ids moved, and that should have
}

// KindStats are those of one kind. Requests are counted where they are made: by this node's own program, its shell, its
// HTTP clients, and by the clients that ask it. Loads are counted where they run.
type KindStats struct {
	Kind     string
	Local    uint64            // requests that a worker of this node answered, as the owner of their ids
	Remote   uint64            // requests that another node answered
	Degraded uint64            // requests answered in place of an owner that could not be reached
	Failed   map[string]uint64 // requests, by their error, such as "overloaded"
	Latency  Histogram         // of requests; those answered from a value on this node count as 0
	Loads    Histogram         // runs of the source, or of a server's Call, and how long they took
	LoadErrs uint64            // those that failed
	Expired  uint64            // workers
	Evicted  uint64            // workers that went before their time, to free memory
	Workers  int               // live now
	Bytes    int64             // of memory that their values take, about
	Waiting  int               // calls that wait for a worker now
	Running  int               // runs of the source, or of a server's Call, that go on now; not those of an Inline source
	Queued   int               // runs that wait for others to end, as Kind.Concurrency says
}

// A Histogram counts durations.
type Histogram struct {
	Bounds []time.Duration // upper ones, inclusive, ascending
	Counts []uint64        // one for each bound, not cumulative, and one for what is above the last
	Sum    time.Duration
}

// Stats returns the node's counts. Each is right by itself, but they are not all of one and the same moment.
func (n *Node) Stats() Stats {
	list, _ := n.Members(n.ctx) // which this node knows
	seats := map[State]int{}
	for _, m := range list {
		seats[m.State]++
	}
	traffic := &n.members.creds.Traffic
	sent, lost := n.handover.stats()
	return Stats{
		Kinds:    n.kindStats(),
		Members:  seats,
		Sessions: len(n.members.sessions.live()) + int(n.clients.Load()),
		BytesIn:  traffic.In.Load(), BytesOut: traffic.Out.Load(),
		Refused:    traffic.Refused.Load(),
		HandedOver: sent, HandOverLost: lost,
	}
}

// kindStats returns the counts of each kind, by name.
func (n *Node) kindStats() (list []KindStats) {
	for _, r := range n.registries() {
		list = append(list, r.stats())
	}
	return list
}
