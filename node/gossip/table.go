package gossip

import (
	"fmt"
	"time"

	"github.com/distproc/distproc/wire"
)

const (
	maxSeats     = 1500 // a message with all seats and farewells fits 1 MiB, however long their names are
	maxFarewells = 1500
	maxTold      = maxSeats + maxFarewells

	// freshFarewell is for how long a leaver's own word is worth more than serf's that it lives: serf may be
	// late by seconds. By minutes it cannot, so then the member has come back.
	freshFarewell = 30 * time.Second
)

// A table holds the seats of the cluster as one node knows them, and who lost a seat lately. It is fed by serf
// and by what peers tell, and knows neither: it is a pure function of what it was fed, and when.
//
// serf alone is not enough, because it tells a newcomer nothing of members that have failed before, which keep
// their seats. So peers compare tables ([Config.Exchange]). What they tell is merged so that the order does
// not matter: of two entries of one name the later start wins; of one start the later stage of its life
// (see [stage]). Only a member that serf sees alive is beyond what peers tell.
//
// It is not safe for concurrent use.
type table struct {
	self    wire.Member
	left    bool          // this node has said that it leaves
	doubted time.Time     // when a peer last took this node for gone
	reap    time.Duration // how long a failed member keeps its seat
	rumour  time.Duration // how long a member may be alive only because a peer says so
	valid   func(name, addr string) bool
	entries map[string]*entry // of all others
	seats   int               // how many entries have one
}

// An entry is what is known of a name.
type entry struct {
	addr        string
	incarnation uint64
	state       wire.MemberState
	since       time.Time // when it came into that state

	// hearsay is a farewell that serf tells of. That is one of a name: of two processes that had it for a while the
	// other one may have left. So it holds until serf sees this one alive.
	hearsay bool

	// later is the incarnation of a later start that has left, as peers tell, and laterLeft when. Serf has
	// not seen that start.
	later     uint64
	laterLeft time.Time

	// live is what serf sees alive now, or nil. Without it, to be alive is a rumour; a farewell with it is
	// one that serf has not heard of yet, or that was wrong.
	live *wire.Member
}

func newTable(self wire.Member, reap, rumour time.Duration, valid func(name, addr string) bool) *table {
	self.State, self.Age = wire.Alive, 0
	return &table{self: self, reap: reap, rumour: rumour, valid: valid, entries: map[string]*entry{}}
}

// stage orders the states by when they come in the life of one start of a node.
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

func seated(s wire.MemberState) bool { return s == wire.Alive || s == wire.Failed }

// set replaces the entry of a name, if the limits allow, and reports whether it has.
func (t *table) set(name string, e entry) bool {
	old := t.entries[name]
	had := old != nil && seated(old.state)
	if seated(e.state) && !had {
		if t.seats >= maxSeats {
			return false
		}
		t.seats++
	}
	if had && !seated(e.state) {
		t.seats--
	}
	t.entries[name] = &e
	if !seated(e.state) {
		t.trim()
	}
	return true
}

// trim forgets the oldest farewell if there are too many.
func (t *table) trim() {
	if len(t.entries)-t.seats <= maxFarewells {
		return
	}
	oldest := ""
	for name, e := range t.entries {
		if !seated(e.state) && (oldest == "" || e.since.Before(t.entries[oldest].since)) {
			oldest = name
		}
	}
	delete(t.entries, oldest)
}

// alive takes in that serf sees a member, and reports whether the seats have changed, as do the next two.
func (t *table) alive(m wire.Member, now time.Time) bool {
	if m.Name == t.self.Name || !t.valid(m.Name, m.Addr) {
		return false
	}
	e := t.entries[m.Name]
	switch {
	case e == nil:
	case e.state == wire.Left && !e.hearsay && e.incarnation == m.Incarnation && now.Sub(e.since) < freshFarewell:
		e.live = &m // this very start has said that it leaves
		return false
	case e.state == wire.Alive && e.incarnation == m.Incarnation && e.addr == m.Addr:
		e.live = &m
		return false
	}
	return t.set(m.Name, entry{addr: m.Addr, incarnation: m.Incarnation, since: now, live: &m})
}

// isBack reports whether m, which serf sees, was out of reach before or has started anew.
func (t *table) isBack(m wire.Member) bool {
	e := t.entries[m.Name]
	return e != nil && m.Name != t.self.Name && (e.state != wire.Alive || e.incarnation < m.Incarnation)
}

// failed takes in that serf has lost a member.
func (t *table) failed(m wire.Member, now time.Time) bool {
	e := t.entries[m.Name]
	if e == nil {
		return false
	}
	rumour := e.live == nil
	e.live = nil
	if e.state != wire.Alive || rumour && e.incarnation > m.Incarnation { // serf means an earlier start
		return false
	}
	if e.later > e.incarnation && now.Sub(e.laterLeft) < freshFarewell {
		e.state, e.incarnation, e.since = wire.Left, e.later, e.laterLeft
		t.seats--
		t.trim()
		return true
	}
	e.state, e.since = wire.Failed, now
	return true
}

// leave takes in that serf says that a member has left.
func (t *table) leave(m wire.Member, now time.Time) bool {
	if m.Name == t.self.Name {
		return false
	}
	e := t.entries[m.Name]
	if e == nil {
		t.set(m.Name, entry{addr: m.Addr, incarnation: m.Incarnation, state: wire.Left, since: now, hearsay: true})
		return false
	}
	rumour := e.live == nil && e.state == wire.Alive
	e.live = nil
	switch {
	case !seated(e.state), rumour && e.incarnation > m.Incarnation:
		return false
	case e.state == wire.Failed:
		// Somebody has removed it, or its farewell was late. It did not say so to this node, so should it live
		// after all, it shall have its seat back.
		e.state, e.since = wire.Reaped, now
	default:
		e.state, e.since, e.hearsay = wire.Left, now, true
	}
	t.seats--
	t.trim()
	return true
}

// remove takes the seat of a failed member.
func (t *table) remove(name string, now time.Time) error {
	e := t.entries[name]
	switch {
	case name == t.self.Name:
		return fmt.Errorf("%s is this node: let it leave", name)
	case e == nil || !seated(e.state):
		return fmt.Errorf("%s is no member", name)
	case e.state == wire.Alive:
		return fmt.Errorf("%s is alive: let it leave", name)
	}
	e.state, e.since = wire.Reaped, now
	t.seats--
	t.trim()
	return nil
}

// tick does what is due, and reports whether the seats have changed.
func (t *table) tick(now time.Time) (changed bool) {
	for name, e := range t.entries {
		switch age := now.Sub(e.since); {
		case e.state == wire.Alive && e.live == nil && age >= t.rumour:
			e.state, e.since = wire.Failed, now
			changed = true
		case e.state == wire.Failed && age > t.reap:
			e.state, e.since = wire.Reaped, now
			t.seats--
			t.trim()
			changed = true
		case e.live != nil && !seated(e.state) && age >= freshFarewell:
			back := entry{addr: e.live.Addr, incarnation: e.live.Incarnation, since: now, live: e.live}
			changed = t.set(name, back) || changed
		case !seated(e.state) && age > 2*t.reap:
			delete(t.entries, name)
		}
	}
	return changed
}

// doubtful returns, in random order, the names of those who are alive only because a peer said so before some
// time, and of those who have failed after another.
func (t *table) doubtful(toldBefore, failedAfter time.Time) (names []string) {
	for name, e := range t.entries {
		rumour := e.state == wire.Alive && e.live == nil && e.since.Before(toldBefore)
		if rumour || e.state == wire.Failed && e.since.After(failedAfter) {
			names = append(names, name)
		}
	}
	return names
}
