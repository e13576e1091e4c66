package model

import (
	"fmt"
	"strings"
)

// The exhaustive search tries every order of steps of a tiny cluster: one id, two
// members, a fixed sequence of views and one change of leader at any moment. Clocks are
// perfect and count ticks. A lease has two ticks. Each member has at most one renewal
// under way, which can be lost or take for ever. Calls can take for ever. Raft is one
// sequence of committed views. Leader 0 does not hear that leader 1 was elected.

// A Found is the outcome of a search.
type Found struct {
	States   int
	Complete bool // every state was seen
	Depth    int  // steps to the first violation; 0: none
}

func (f Found) String() string {
	switch {
	case f.Depth > 0:
		return fmt.Sprintf("violated after %d steps", f.Depth)
	case f.Complete:
		return fmt.Sprintf("holds in all %d states", f.States)
	}
	return fmt.Sprintf("no violation in %d states", f.States)
}

// A search searches the protocol or a mutant of it.
type search struct {
	mutant Mutant
	owners string
	state  // the one that is looked at
	yield  func(state)
}

// Search searches breadth first through at most limit states. The letters of owners say
// who acts for the id in each view: A, B, or - for nobody.
func Search(m Mutant, owners string, limit int) (f Found) {
	x := &search{mutant: m, owners: owners}
	first := state{committed: 1}
	first.leaders[0] = searchLeader{epoch: 1, age: [pair]uint8{leaseTicks, leaseTicks}}
	level, next := []state{first}, []state(nil)
	seen := map[[2]uint64]struct{}{first.key(): {}}
	violated := false
	x.yield = func(s state) {
		x.simplify(&s)
		k := s.key()
		if _, ok := seen[k]; !ok {
			seen[k] = struct{}{}
			violated = violated || s.members[0].run == running && s.members[1].run == running
			next = append(next, s)
		}
	}
	for len(level) > 0 {
		f.Depth++
		for _, x.state = range level {
			x.steps()
			f.States = len(seen)
			switch {
			case violated:
				return f
			case f.States > limit:
				f.Depth = 0
				return f
			}
		}
		level, next = next, level[:0]
	}
	return Found{States: f.States, Complete: true}
}

func (x *search) actsIn(m int, epoch uint8) bool {
	return strings.IndexByte("AB", x.owners[epoch-1]) == m
}

// steps yields every state that can follow.
func (x *search) steps() {
	x.tick()
	x.raft()
	for m := range pair {
		x.renewal(m)
		if x.may(m) {
			s := x.state
			s.members[m].run = running
			x.yield(s)
		}
		if x.members[m].run != idle {
			s := x.state
			s.members[m].run = idle
			x.yield(s)
		}
	}
}

// tick lets time pass.
func (x *search) tick() {
	s := x.state
	for i := range s.members {
		m := &s.members[i]
		if m.lease > 0 {
			if m.lease--; m.lease == 0 && m.run == running {
				m.run = lapsedRun
			}
		}
		if m.exchange.stage != noRenewal {
			m.exchange.age = min(m.exchange.age+1, leaseTicks)
		}
		for l := range s.leaders {
			s.leaders[l].age[i] = min(s.leaders[l].age[i]+1, leaseTicks)
		}
	}
	x.yield(s)
}

// raft commits a view, or moves leadership.
func (x *search) raft() {
	if int(x.committed) < len(x.owners) && x.behind == 0 {
		s := x.state
		s.committed++
		s.leaders[s.current].epoch = s.committed
		x.yield(s)
	}
	if x.behind == 1 {
		s := x.state
		s.behind = 0
		s.leaders[1].epoch = s.committed
		x.yield(s)
	}
	if x.current == 1 {
		return
	}
	s := x.state
	s.current = 1
	s.leaders[1] = searchLeader{epoch: s.committed}
	if x.mutant == noWaitAfterElection {
		s.leaders[1].age = [pair]uint8{leaseTicks, leaseTicks}
	}
	x.yield(s)
	if x.mutant == grantsBeforeBarrier && s.committed > 1 {
		s.leaders[1].epoch, s.behind = s.committed-1, 1
		x.yield(s)
	}
}

// deposedMatters reports that leader 0 can do something after leader 1 was elected.
func (x *search) deposedMatters() bool {
	return x.mutant == neverVerifies || x.mutant == verifiesFirst || x.mutant == recordsLate
}

// renewal takes the steps of the renewal of a member.
func (x *search) renewal(m int) {
	e := x.members[m].exchange
	x.hint(m)
	if e.stage == noRenewal {
		x.send(m)
		return
	}
	lost := x.state
	lost.members[m].exchange = exchange{}
	x.yield(lost)
	s := x.state
	p := &s.members[m].exchange
	switch e.stage {
	case sent:
		l := &s.leaders[e.leader]
		l.facts[m] = max(l.facts[m], newKnown(e.ack, e.busy))
		p.stage, p.ack, p.busy = composed, 0, 0
		if x.mutant != verifiesFirst {
			x.compose(&s, m, x.mutant != recordsLate)
		}
	case composed:
		if e.leader != s.current && x.mutant != neverVerifies {
			return
		}
		p.stage = answered
		if x.mutant == verifiesFirst || x.mutant == recordsLate {
			p.stage = verified
		}
	case verified:
		if x.mutant == verifiesFirst {
			x.compose(&s, m, true)
		} else {
			s.leaders[e.leader].age[m] = 0
		}
		p.stage = answered
	case answered:
		x.adopt(&s.members[m])
	}
	x.yield(s)
}

// send sends a renewal to either leader.
func (x *search) send(m int) {
	for l := uint8(0); l <= x.current; l++ {
		if l < x.current && !x.deposedMatters() {
			continue
		}
		s := x.state
		p := &s.members[m]
		p.exchange = exchange{stage: sent, leader: l, ack: p.epoch}
		if p.run != idle && p.epoch > 0 && !x.actsIn(m, p.epoch) && x.mutant != noBusy {
			p.exchange.busy = 1
		}
		x.yield(s)
	}
}

// hint has a member act on the newest view at once (mutant actsOnHint).
func (x *search) hint(m int) {
	if was := x.members[m].epoch; x.mutant == actsOnHint && was > 0 && x.committed > was {
		s := x.state
		p := &s.members[m]
		p.epoch = s.committed
		for e := was + 1; e < p.epoch; e++ {
			p.skipped |= 1 << (e - 1)
		}
		x.yield(s)
	}
}

func (x *search) compose(s *state, m int, record bool) {
	e := &s.members[m].exchange
	l := &s.leaders[e.leader]
	for o := range l.facts {
		if l.age[o] == leaseTicks || x.mutant == takesOverOnSuspicion {
			l.facts[o] = max(l.facts[o], newKnown(l.epoch, 0))
		}
	}
	e.epoch, e.other = l.epoch, l.facts[1-m]
	if record {
		l.age[m] = 0
	}
}

func (x *search) adopt(m *searchMember) {
	e := m.exchange
	m.exchange = exchange{}
	if e.epoch < m.epoch || e.epoch == 0 {
		return
	}
	m.epoch, m.skipped, m.other = e.epoch, 0, max(m.other, e.other)
	left := leaseTicks - e.age
	if x.mutant == leaseFromReceipt {
		left = leaseTicks
	}
	m.lease = max(m.lease, left)
}

func (x *search) may(i int) bool {
	m := &x.members[i]
	if m.run != idle || m.lease == 0 || m.epoch == 0 || !x.actsIn(i, m.epoch) {
		return false
	}
	if x.mutant == olderViewsUnchecked {
		return true
	}
	for v := uint8(1); v < m.epoch; v++ {
		if m.skipped>>(v-1)&1 == 0 && x.actsIn(1-i, v) && m.other.p() <= v {
			return false
		}
	}
	return !m.other.busy() || x.mutant == busyUnchecked
}

// simplify drops what can no longer matter: the state of a leader that is not elected
// yet, that of a deposed one, whose answers can no longer be verified, and answers that
// the member will drop.
func (x *search) simplify(s *state) {
	deposed := s.current == 1 && !x.deposedMatters()
	switch {
	case s.current == 0:
		s.leaders[1] = searchLeader{}
	case deposed:
		s.leaders[0] = searchLeader{}
	}
	for i := range s.members {
		m := &s.members[i]
		e := &m.exchange
		switch {
		case deposed && e.leader == 0 && e.stage != answered:
			*e = exchange{}
		case e.stage == answered && e.epoch < m.epoch:
			*e = exchange{}
		case e.stage == answered:
			e.leader = 0
		}
	}
}
