package gossip

import (
	"fmt"
	"time"

	"github.com/distproc/distproc/wire"
)

const (
	maxSlots     = 1500 // a message with all slots and farewells fits 1 MiB, however long their names are
	maxFarewells = 1500
	maxTold      = maxSlots + maxFarewells

	// freshFarewell is for how long a leaver's own farewell outweighs serf's report that
	// it is alive. Serf may be late by seconds but not by minutes; after that, the member
	// has come back.
	freshFarewell = 30 * time.Second
)

// A table holds the slots of the cluster as one node knows them, and the members that
// lost a slot recently. Its inputs are serf's events and the reports of peers, with their
// times. It is a pure function of these inputs.
//
// Serf alone is not enough, because it does not report members that failed earlier, which
// keep their slots, to a new member. So peers sync their tables ([Host.Sync]). Reports
// are merged independently of their order: of two entries with one name the later start
// wins, and of one start the later stage (see [stage]). Reports do not change a member
// that serf sees alive.
//
// It is not safe for concurrent use.
type table struct {
	self        wire.Member
	left        bool          // this node has announced that it leaves
	suspected   time.Time     // time of the last report of a peer that this node is gone
	reap        time.Duration // time for which a failed member keeps its slot
	unconfirmed time.Duration // time for which a member may be alive only by the reports of peers
	valid       func(name, addr string) bool
	entries     map[string]*entry // all members but this node
	slots       int               // entries that have a slot
}

// An entry is the state of one name.
type entry struct {
	addr        string
	incarnation uint64
	state       wire.MemberState
	since       time.Time // start of that state

	// reported marks a farewell that serf has reported. Serf's farewells name a member,
	// not a process: if two processes had the name for a while, the other one may have
	// left. So it is valid until serf sees this process alive.
	reported bool

	// later is the incarnation of a later start that has left by the reports of peers,
	// and laterLeft the time of its farewell. Serf has not seen that start.
	later     uint64
	laterLeft time.Time

	// live is the process that serf sees alive now, or nil. An entry that is alive
	// without it is unconfirmed. A farewell with it is either wrong, or serf has yet to
	// learn of it.
	live *wire.Member
}

func newTable(self wire.Member, reap, unconfirmed time.Duration, valid func(name, addr string) bool) *table {
	self.State, self.Age = wire.Alive, 0
	return &table{self: self, reap: reap, unconfirmed: unconfirmed, valid: valid, entries: map[string]*entry{}}
}

// stage returns the order of a state in the life of one start of a node.
func stage(s wire.MemberState) int {
	switch s {
	case wire.Alive:
		return 0
	case wire.Failed:
		return 1
	case wire.Reaped:
		return 2
	default: // Left is final: the leaver says so itself
		return 3
	}
}

func holdsSlot(s wire.MemberState) bool { return s == wire.Alive || s == wire.Failed }

// set replaces the entry of a name. It reports false if the limits do not allow that.
func (t *table) set(name string, e entry) bool {
	old := t.entries[name]
	had := old != nil && holdsSlot(old.state)
	if holdsSlot(e.state) && !had {
		if t.slots >= maxSlots {
			return false
		}
		t.slots++
	}
	if had && !holdsSlot(e.state) {
		t.slots--
	}
	t.entries[name] = &e
	if !holdsSlot(e.state) {
		t.trim()
	}
	return true
}

// trim drops the oldest farewell if there are too many.
func (t *table) trim() {
	if len(t.entries)-t.slots <= maxFarewells {
		return
	}
	oldest := ""
	for name, e := range t.entries {
		if !holdsSlot(e.state) && (oldest == "" || e.since.Before(t.entries[oldest].since)) {
			oldest = name
		}
	}
	delete(t.entries, oldest)
}

// alive records that serf sees a member alive. Like failed and leave, it reports whether
// the slots have changed.
func (t *table) alive(m wire.Member, now time.Time) bool {
	if m.Name == t.self.Name || !t.valid(m.Name, m.Addr) {
		return false
	}
	e := t.entries[m.Name]
	switch {
	case e == nil:
	case e.state == wire.Left && !e.reported && e.incarnation == m.Incarnation && now.Sub(e.since) < freshFarewell:
		e.live = &m // this process has said that it leaves
		return false
	case e.state == wire.Alive && e.incarnation == m.Incarnation && e.addr == m.Addr:
		e.live = &m
		return false
	}
	return t.set(m.Name, entry{addr: m.Addr, incarnation: m.Incarnation, since: now, live: &m})
}

// isBack reports whether m, which serf sees alive, was unreachable before or has
// restarted.
func (t *table) isBack(m wire.Member) bool {
	e := t.entries[m.Name]
	return e != nil && m.Name != t.self.Name && (e.state != wire.Alive || e.incarnation < m.Incarnation)
}

// failed records that serf has lost a member.
func (t *table) failed(m wire.Member, now time.Time) bool {
	e := t.entries[m.Name]
	if e == nil {
		return false
	}
	unconfirmed := e.live == nil
	e.live = nil
	if e.state != wire.Alive || unconfirmed && e.incarnation > m.Incarnation { // m is an earlier start
		return false
	}
	if e.later > e.incarnation && now.Sub(e.laterLeft) < freshFarewell {
		e.state, e.incarnation, e.since = wire.Left, e.later, e.laterLeft
		t.slots--
		t.trim()
		return true
	}
	e.state, e.since = wire.Failed, now
	return true
}

// leave records that serf reports the farewell of a member.
func (t *table) leave(m wire.Member, now time.Time) bool {
	if m.Name == t.self.Name {
		return false
	}
	e := t.entries[m.Name]
	if e == nil {
		t.set(m.Name, entry{addr: m.Addr, incarnation: m.Incarnation, state: wire.Left, since: now, reported: true})
		return false
	}
	unconfirmed := e.live == nil && e.state == wire.Alive
	e.live = nil
	switch {
	case !holdsSlot(e.state), unconfirmed && e.incarnation > m.Incarnation:
		return false
	case e.state == wire.Failed:
		// The member was removed, or its farewell was late. This node has no farewell of
		// its own, so the member gets its slot back if it is alive after all.
		e.state, e.since = wire.Reaped, now
	default:
		e.state, e.since, e.reported = wire.Left, now, true
	}
	t.slots--
	t.trim()
	return true
}

// remove removes the slot of a failed member.
func (t *table) remove(name string, now time.Time) error {
	e := t.entries[name]
	switch {
	case name == t.self.Name:
		return fmt.Errorf("%s is this node: let it leave", name)
	case e == nil || !holdsSlot(e.state):
		return fmt.Errorf("%s is no member", name)
	case e.state == wire.Alive:
		return fmt.Errorf("%s is alive: let it leave", name)
	}
	e.state, e.since = wire.Reaped, now
	t.slots--
	t.trim()
	return nil
}

// tick updates entries as time passes, and reports whether the slots have changed.
func (t *table) tick(now time.Time) (changed bool) {
	for name, e := range t.entries {
		switch age := now.Sub(e.since); {
		case e.state == wire.Alive && e.live == nil && age >= t.unconfirmed:
			e.state, e.since = wire.Failed, now
			changed = true
		case e.state == wire.Failed && age > t.reap:
			e.state, e.since = wire.Reaped, now
			t.slots--
			t.trim()
			changed = true
		case e.live != nil && !holdsSlot(e.state) && age >= freshFarewell:
			back := entry{addr: e.live.Addr, incarnation: e.live.Incarnation, since: now, live: e.live}
			changed = t.set(name, back) || changed
		case !holdsSlot(e.state) && age > 2*t.reap:
			delete(t.entries, name)
		}
	}
	return changed
}

// suspects returns, in random order, the names of members that are alive only by a report
// from before toldBefore, and of members that failed after failedAfter.
func (t *table) suspects(toldBefore, failedAfter time.Time) (names []string) {
	for name, e := range t.entries {
		unconfirmed := e.state == wire.Alive && e.live == nil && e.since.Before(toldBefore)
		if unconfirmed || e.state == wire.Failed && e.since.After(failedAfter) {
			names = append(names, name)
		}
	}
	return names
}
