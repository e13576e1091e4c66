package gossip

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/distproc/distproc/wire"
)

const (
	maxSeats     = 1500 // a message with all seats and farewells fits 1 MiB, however long their names are
	maxFarewells = 1500
	maxTold      = maxSeats + maxFarewells

	// freshFarewell is for how long a leaver's own word is worth more than serf's that it lives: serf may be late
	// by seconds. By minutes it cannot, so then the member has come back.
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

	// live is what serf sees alive now, or nil. Without it, to be alive is a rumour; a farewell with it is one that
	// serf has not heard of yet, or that was wrong.
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
	case e.state == wire.Left && e.incarnation == m.Incarnation && now.Sub(e.since) < freshFarewell:
		e.live = &m // this very start has said that it leaves
		return false
	case e.state == wire.Alive && e.incarnation == m.Incarnation && e.addr == m.Addr:
		e.live = &m
		return false
	}
	return t.set(m.Name, entry{addr: m.Addr, incarnation: m.Incarnation, since: now, live: &m})
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
		t.set(m.Name, entry{addr: m.Addr, incarnation: m.Incarnation, state: wire.Left, since: now})
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
		e.state, e.since = wire.Left, now
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

// learn merges what a peer tells, and reports whether it was news, and whether the seats have changed.
func (t *table) learn(list []wire.Member, now time.Time) (news, changed bool) {
	if len(list) > maxTold {
		list = list[:maxTold]
	}
	for _, m := range list {
		if m.State > wire.Reaped || m.Name == t.self.Name || !t.valid(m.Name, m.Addr) {
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
		return false, false // out of date everywhere
	}
	told := entry{addr: m.Addr, incarnation: m.Incarnation, state: m.State, since: now.Add(-age)}
	e := t.entries[m.Name]
	if e == nil {
		added := t.set(m.Name, told)
		return added, added && seated(told.state)
	}
	if e.live != nil {
		if told.state != wire.Left || told.incarnation < e.live.Incarnation || age >= freshFarewell {
			return false, false // serf decides
		}
		told.live = e.live
	}
	switch order := cmp.Or(
		cmp.Compare(told.incarnation, e.incarnation),
		cmp.Compare(stage(told.state), stage(e.state)),
		cmp.Compare(told.addr, e.addr), // a lie, but all nodes shall believe the same one
	); {
	case order > 0:
		if told.state == e.state && told.incarnation == e.incarnation && e.since.Before(told.since) {
			told.since = e.since
		}
		had := seated(e.state)
		set := t.set(m.Name, told)
		return set, set && (had || seated(told.state))
	case told.state == e.state && told.incarnation == e.incarnation && told.state != wire.Alive && told.since.Before(e.since):
		e.since = told.since // so that all nodes reap it at about the same time
	}
	return false, false
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
			changed = t.set(name, entry{addr: e.live.Addr, incarnation: e.live.Incarnation, since: now, live: e.live}) || changed
		case !seated(e.state) && age > 2*t.reap:
			delete(t.entries, name)
		}
	}
	return changed
}

// doubtful returns, in random order, the names of those who are alive only because a peer said so before some time,
// and of those who have failed after another.
func (t *table) doubtful(toldBefore, failedAfter time.Time) (names []string) {
	for name, e := range t.entries {
		rumour := e.state == wire.Alive && e.live == nil && e.since.Before(toldBefore)
		if rumour || e.state == wire.Failed && e.since.After(failedAfter) {
			names = append(names, name)
		}
	}
	return names
}

// members returns those with a seat, this node included, sorted by name.
func (t *table) members(now time.Time) []wire.Member {
	list := make([]wire.Member, 1, t.seats+1)
	list[0] = t.self
	for name, e := range t.entries {
		if seated(e.state) {
			list = append(list, e.member(name, now))
		}
	}
	slices.SortFunc(list, func(a, b wire.Member) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// snapshot returns everything that peers are told.
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
	return m
}

// digest is equal for equal seats.
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
