package model

const (
	leaseTicks = 2
	pair       = 2 // members, and leaders
)

// A known is a fact of the search: p<<1, plus 1 if the member does not run the id. The
// greater one of two that are true is the stronger one.
type known uint8

func newKnown(p, busy uint8) known {
	if p == 0 {
		return 0 // nothing is known
	}
	return known(p<<1 | 1 - busy)
}

func (k known) p() uint8   { return uint8(k >> 1) }
func (k known) busy() bool { return k != 0 && k&1 == 0 }

// The stages of a renewal.
const (
	noRenewal uint8 = iota
	sent
	composed // the leader has taken it
	answered
	verified // before it is composed, or before the grant is recorded (mutants)
)

type exchange struct {
	stage, leader, age uint8
	ack, busy          uint8 // of the renewal
	epoch              uint8 // of the answer
	other              known // what the answer says of the other member
}

type searchLeader struct {
	epoch uint8       // newest view that it knows
	age   [pair]uint8 // ticks since the last grant
	facts [pair]known
}

type searchMember struct {
	epoch    uint8 // of its newest view
	skipped  uint8 // views that it has not heard of, a bit each (mutant actsOnHint)
	lease    uint8 // ticks
	run      uint8
	other    known // what it knows of the other member
	exchange exchange
}

// The runs of a member.
const (
	idle uint8 = iota
	running
	lapsedRun // the lease ended under it
)

type state struct {
	committed uint8 // views
	current   uint8 // leader
	behind    uint8 // 1: leader 1 does not know the last view yet (mutant grantsBeforeBarrier)
	leaders   [pair]searchLeader
	members   [pair]searchMember
}

// key packs a state, without loss.
func (s *state) key() (k [2]uint64) {
	k[0] = uint64(s.committed) | uint64(s.current)<<2 | uint64(s.behind)<<3
	for i := range s.leaders {
		l := &s.leaders[i]
		w := uint64(l.epoch) | uint64(l.age[0])<<2 | uint64(l.age[1])<<4 | uint64(l.facts[0])<<6 | uint64(l.facts[1])<<9
		k[0] |= w << (4 + 12*i)
	}
	for i := range s.members {
		m := &s.members[i]
		x := &m.exchange
		w := uint64(m.epoch) | uint64(m.skipped)<<2 | uint64(m.lease)<<5 | uint64(m.run)<<7 | uint64(m.other)<<9 |
			uint64(x.stage)<<12 | uint64(x.leader)<<15 | uint64(x.age)<<16 | uint64(x.ack)<<18 | uint64(x.busy)<<20 |
			uint64(x.epoch)<<21 | uint64(x.other)<<23
		k[1] |= w << (26 * i)
	}
	return k
}
