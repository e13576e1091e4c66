package gossip

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/distproc/distproc/wire"
)

// This file has the reports by which peers sync their tables.

// learn merges the report of a peer. It returns whether the report contained news, and
// whether the slots have changed.
func (t *table) learn(list []wire.Member, now time.Time) (news, changed bool) {
	if len(list) > maxTold {
		list = list[:maxTold]
	}
	for _, m := range list {
		if m.State > wire.Reaped || !t.valid(m.Name, m.Addr) {
			continue
		}
		if m.Name == t.self.Name {
			if m.State != wire.Alive && m.Incarnation >= t.self.Incarnation {
				t.suspected = now // reports about earlier starts may be true
			}
			continue
		}
		n, c := t.learnMember(m, now)
		news, changed = news || n, changed || c
	}
	return news, changed
}

func (t *table) learnMember(m wire.Member, now time.Time) (news, changed bool) {
	age := max(m.Age, 0)
	if m.State == wire.Alive {
		age = 0
	}
	if m.State == wire.Failed && age > t.reap || age > 2*t.reap {
		return false, false // outdated on all nodes
	}
	told := entry{addr: m.Addr, incarnation: m.Incarnation, state: m.State, since: now.Add(-age)}
	e := t.entries[m.Name]
	if e == nil {
		added := t.set(m.Name, told)
		return added, added && holdsSlot(told.state)
	}
	if e.live != nil {
		// Serf's view outweighs all reports but a farewell of the same start. A later
		// start that has left may be another process, which had the name in the other
		// half of a split. Or this process has crashed and was restarted, and serf will
		// report that.
		if told.state == wire.Left && told.incarnation > e.live.Incarnation && age < freshFarewell {
			e.later, e.laterLeft = told.incarnation, told.since
		}
		if told.state != wire.Left || told.incarnation != e.live.Incarnation || age >= freshFarewell {
			return false, false
		}
		told.live = e.live
	}
	order := cmp.Or(cmp.Compare(told.incarnation, e.incarnation), cmp.Compare(stage(told.state), stage(e.state)))
	if order == 0 && told.state != wire.Alive {
		told.since = slices.MinFunc([]time.Time{told.since, e.since}, time.Time.Compare)
		e.since = told.since // so that all nodes reap it at the same time
	}
	// Of two addresses one is wrong, but all nodes choose the same.
	if order = cmp.Or(order, cmp.Compare(told.addr, e.addr)); order <= 0 {
		return false, false
	}
	had := holdsSlot(e.state)
	set := t.set(m.Name, told)
	return set, set && (had || holdsSlot(told.state))
}

// members returns the members that have a slot, including this node, sorted by name.
func (t *table) members(now time.Time) []wire.Member {
	list := make([]wire.Member, 1, t.slots+1)
	list[0] = t.self
	for name, e := range t.entries {
		if holdsSlot(e.state) {
			list = append(list, e.member(name, now))
		}
	}
	slices.SortFunc(list, func(a, b wire.Member) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// snapshot returns the report for peers.
func (t *table) snapshot(now time.Time) []wire.Member {
	list := make([]wire.Member, 1, len(t.entries)+1)
	list[0] = t.self
	if t.left {
		list[0].State = wire.Left
	}
	for name, e := range t.entries {
		list = append(list, e.member(name, now))
	}
	slices.SortFunc(list, func(a, b wire.Member) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (e *entry) member(name string, now time.Time) wire.Member {
	m := wire.Member{Name: name, Addr: e.addr, Incarnation: e.incarnation, State: e.state}
	if e.state != wire.Alive {
		m.Age = max(now.Sub(e.since), 0)
	}
	if e.reported {
		m.Age = max(m.Age, freshFarewell) // so that no node takes it for the leaver's own farewell
	}
	return m
}

// standing returns the time in its state of a member that has a slot, and the time for
// which it keeps the slot if it has failed.
func (t *table) standing(name string, now time.Time) (in, kept time.Duration) {
	e := t.entries[name]
	if e == nil || !holdsSlot(e.state) {
		return 0, 0
	}
	in = max(now.Sub(e.since), 0)
	if e.state == wire.Failed {
		kept = max(t.reap-in, 0)
	}
	return in, kept
}

// digest returns a hash of the slots.
func (t *table) digest() uint64 {
	h := sha256.New()
	for _, m := range t.members(time.Time{}) {
		if m.Name != t.self.Name || !t.left {
			h.Write(binary.BigEndian.AppendUint64(nil, m.Incarnation))
			h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(m.Name))))
			h.Write([]byte(m.Name))
		}
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}
