package quorum

import (
	"slices"

	"github.com/hashicorp/raft"

	"github.com/distproc/distproc/node/worker"
)

// Status describes the lease of the node and the voters, for people. It does not ask anybody.
// The status of a nil quorum is nil.
func (q *Quorum) Status() *worker.Quorum {
	if q == nil {
		return nil
	}
	r := q.rights.Load()
	s := &worker.Quorum{Lease: r.Left(q.Clock()), Views: len(r.views), Quorum: true}
	if v := r.Newest(); v != nil {
		s.Epoch = v.Epoch
	}
	q.mu.Lock()
	s.Voters, s.ViewsSeen = slices.Clone(q.asked), q.viewsSeen
	if q.lostLocked() {
		s.Quorum, s.Why = false, q.noQuorumLocked().Text
		for _, name := range q.asked {
			if q.failing[name] != nil {
				s.Silent = append(s.Silent, name)
			}
		}
	}
	q.mu.Unlock()
	if v := q.voter; v != nil {
		s.Voter = slices.ContainsFunc(v.servers(), func(s raft.Server) bool { return s.ID == v.disk.server() })
		v.mu.Lock()
		s.Leads, s.Elections = v.leader != nil, v.elections
		v.mu.Unlock()
	}
	return s
}

// Explain describes who may run calls of an id, and what one would wait for on this node.
func (q *Quorum) Explain(k worker.Key) *worker.Custody {
	c := &worker.Custody{Node: q.Self.Name, Quorum: *q.Status()}
	r := q.rights.Load()
	if v := r.Newest(); v != nil {
		m, _ := v.Acting(k.ID)
		c.Acting, c.Holders = m.Name, r.holders()
	}
	v, by, _ := r.verdict(k)
	if v == Occupied {
		c.Occupied = by.Name
	}
	switch {
	case v == Leaving:
		c.Waits = "another node: this one is leaving"
	case !c.Quorum.Quorum:
		c.Waits = "a quorum: " + c.Why
	case v == NotOwner && by.Name == "":
		c.Waits = "a member that has not failed"
	case v == NotOwner:
		c.Waits = "an answer of " + by.Name + ", which acts for the id"
	case v == Occupied:
		c.Waits = occupied(by).Text
	case v == NoView:
		c.Waits = "the first view of the cluster"
	case c.Lease == 0:
		c.Waits = "a lease of " + c.Node
	}
	return c
}

// holders returns the members that may still run calls under views that are not the newest.
func (r *Rights) holders() (list []worker.Holder) {
	for _, v := range r.views[:len(r.views)-1] {
		for m := range v.members {
			if f := r.facts[m]; !f.over(v) && len(list) < worker.MaxHolders {
				list = append(list, worker.Holder{Member: m.Name, Epoch: v.Epoch, Busy: len(f.Busy)})
			}
		}
	}
	return list
}
