package quorum

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/distproc/distproc/node/placement"
)

// A leader is the voter that gives leases, in one term of raft. It knows the time only from
// its callers, and does no I/O. It is not safe for concurrent use.
type leader struct {
	me      Member
	routing placement.Routing
	timing  Timing
	present func(name string) bool // whether a node of that name belongs to the cluster, alive or not

	since    time.Duration // taken for its last grant to everybody (rule 15)
	outlived time.Duration // after which leases are over, also those of the leaders before
	log      *state        // as of the last entry that is committed and applied
	viewAt   time.Duration // when the newest view was committed, or since
	proposed time.Duration // when the last view was proposed
	pending  bool          // an entry is proposed and not yet committed
	next     *View         // that entry, if it is a view
	stirred  bool          // a member is new or leaves, since the last look at what is wanted
	granted  map[Member]time.Duration
	facts    Facts
	seen     map[string]sighting // by name
	acked    uint64              // the highest epoch that any member has acknowledged
	rival    bool                // a member of another cluster has renewed

	version Version           // rises when views or facts change
	came    map[uint64]uint64 // the count of the version with which each view came, by epoch
	told    map[Member]uint64 // the same of facts
	quiet   time.Duration     // until then no lease ends, unless a view comes
	settles uint64            // the count of a version in which no lease matters; 0 if unknown
}

// A sighting is the last that a leader has heard of a node.
type sighting struct {
	member  Member
	at      time.Duration // when it was last heard, and not deaf
	leaving bool
}

// newLeader returns a leader of a term. An entry of that term is committed and applied: s is
// the state after it.
func newLeader(me Member, r placement.Routing, t Timing, present func(string) bool, s *state, now time.Duration) *leader {
	outlived := t.outlived()
	for _, v := range s.views {
		outlived = max(outlived, Timing{Lease: v.Lease}.outlived())
	}
	return &leader{
		me: me, routing: r, timing: t, present: present,
		since: now, outlived: outlived, log: s, viewAt: now, proposed: now - t.Interval,
		granted: map[Member]time.Duration{}, facts: Facts{}, seen: map[string]sighting{},
		version: Version{Leader: rand.Uint64(), Count: 1}, came: map[uint64]uint64{}, told: map[Member]uint64{},
	}
}

// learn takes a fact. It reports whether that is news.
func (l *leader) learn(m Member, f Fact) (news bool) {
	if news = l.facts.merge(m, f); news {
		l.version.Count++
		l.told[m] = l.version.Count
	}
	return news
}

// newsSince returns all views that are not retired, and facts about their members. It
// leaves out what came with an answer of this version or before: of a view only the epoch
// is left.
func (l *leader) newsSince(had Version) (views []*View, facts Facts) {
	for _, v := range l.log.views {
		if had.Count > 0 && l.came[v.Epoch] <= had.Count {
			v = &View{Epoch: v.Epoch}
		}
		views = append(views, v)
	}
	if had.Count < l.version.Count {
		facts = about(l.log.views, l.facts)
		maps.DeleteFunc(facts, func(m Member, _ Fact) bool { return l.told[m] <= had.Count })
	}
	return views, facts
}

// lastGrant returns when the member was last given a lease, at the latest.
func (l *leader) lastGrant(m Member) time.Duration {
	if at, ok := l.granted[m]; ok {
		return at
	}
	return l.since
}

// leaseOver reports whether the last lease of the member has ended by any clock.
func (l *leader) leaseOver(m Member, now time.Duration) bool {
	return now > l.lastGrant(m)+l.outlived
}

// runOut turns leases that have ended into facts. It reports whether any is news.
func (l *leader) runOut(now time.Duration) (news bool) {
	if now <= l.quiet {
		return false
	}
	l.quiet = Forever
	for _, v := range l.log.views {
		for m := range v.members {
			if l.leaseOver(m, now) {
				news = l.learn(m, Fact{Past: l.log.newest().Epoch}) || news
			} else {
				l.quiet = min(l.quiet, l.lastGrant(m)+l.outlived)
			}
		}
	}
	return news
}

// nextRunOut returns the first moment at which a lease that matters will have ended, or
// Forever.
func (l *leader) nextRunOut(now time.Duration) time.Duration {
	first := Forever
	if l.settles == l.version.Count {
		return first
	}
	l.settles = l.version.Count
	for _, v := range l.log.views {
		for m := range v.members {
			if f := l.facts[m]; f.Past < l.log.newest().Epoch || len(f.Busy) > 0 {
				l.settles = 0
				if at := l.lastGrant(m) + l.outlived + 1; at > now {
					first = min(first, at)
				}
			}
		}
	}
	return first
}

// retired returns the epoch below which all rights are over (rule 19). A member that leaves
// has no rights but those of its seats in older views.
func (l *leader) retired() uint64 {
	newest := l.log.newest()
	for _, v := range l.log.views {
		if v == newest {
			break
		}
		for _, s := range v.Seats {
			if !l.facts[s.Member].over(v) {
				return v.Epoch
			}
		}
	}
	return newest.Epoch
}

// renewal takes what a member says, composes the answer and notes the grant, all in one step
// (rule 16). The caller verifies after that that it still leads, and only then sends the
// answer. It reports whether there is news for all members. The answer is nil if there is no
// view yet, or if the member is one of another cluster.
func (l *leader) renewal(r *Renewal, now time.Duration) (a *Answer, news bool) {
	if r.Current && l.log.origin().unrelated(r.Origin) { // others give it leases
		l.rival = true
		if l.log.newest() == nil {
			l.since = now // it waits until none is left (rule 15)
		}
		return nil, false
	}
	if s := l.seen[r.Member.Name]; r.Member.Incarnation >= s.member.Incarnation {
		l.stirred = l.stirred || r.Member != s.member || r.Leaving && !s.leaving
		if r.Member != s.member {
			if !l.inViews(s.member) {
				delete(l.facts, s.member)
				delete(l.told, s.member)
			}
			s = sighting{member: r.Member, at: now}
		}
		if !r.Deaf {
			s.at = now
		}
		s.leaving = s.leaving || r.Leaving
		l.seen[r.Member.Name] = s
	}
	if r.Ack < endOfEpochs {
		l.acked = max(l.acked, r.Ack)
	}
	newest := l.log.newest()
	if newest == nil {
		return nil, false
	}
	if l.seen[r.Member.Name].member == r.Member || l.inViews(r.Member) { // else nobody needs the fact
		news = l.learn(r.Member, Fact{Past: r.Ack, Busy: r.Busy})
	}
	news = l.runOut(now) || news
	a = &Answer{Version: l.version}
	if r.Has.Leader == l.version.Leader {
		a.Since = r.Has
	}
	a.Views, a.Facts = l.newsSince(a.Since)
	if a.Lease = l.leases(r, now); a.Lease {
		l.granted[r.Member] = now
	}
	return a, news
}

// inViews reports whether the member may have rights under a view that is not retired.
func (l *leader) inViews(m Member) bool {
	return slices.ContainsFunc(l.log.views, func(v *View) bool { return v.has(m) })
}

// endOfEpochs is more than any log gets to. A member that acknowledges more is wrong, and must
// not use up the epochs.
const endOfEpochs = 1 << 62

// leases reports whether the answer to a renewal has a lease (rule 18).
func (l *leader) leases(r *Renewal, now time.Duration) bool {
	newest, m := l.log.newest(), r.Member
	if r.Deaf || !newest.has(m) || l.leaseOf(newest) < l.timing.Lease {
		return false
	}
	if r.Ack >= newest.Epoch {
		return true
	}
	i := newest.seat(m)
	return i >= 0 && !newest.Seats[i].Failed && now <= l.viewAt+l.timing.Lease && !l.failing(m)
}

// leaseOf returns the longest lease that there may be while a view is the newest one.
func (l *leader) leaseOf(v *View) time.Duration { return cmp.Or(v.Lease, l.timing.Lease) }

// failing reports whether a view is proposed under which the member has failed or is gone.
func (l *leader) failing(m Member) bool {
	if l.next == nil {
		return false
	}
	i := l.next.seat(m)
	return i < 0 && !slices.Contains(l.next.Leavers, m) || i >= 0 && l.next.Seats[i].Failed
}

// tick returns the entry to propose now, or nil, and whether there is news for all members.
func (l *leader) tick(now time.Duration) (e *entry, news bool) {
	if l.pending {
		return nil, false
	}
	if l.log.newest() != nil {
		news = l.runOut(now)
		if before := l.retired(); before > l.log.retired {
			l.pending = true
			return &entry{Retire: before}, news
		}
	}
	due := now >= l.proposed+l.timing.Interval
	if !due && !l.stirred {
		return nil, news
	}
	l.stirred = false
	if v := l.wanted(now); v != nil && (due || l.parts(v)) {
		l.pending, l.proposed, l.next = true, now, v
		return &entry{View: v}, news
	}
	return nil, news
}

// applied takes the state after an entry that was committed. It reports whether there is
// news for all members (rule 21).
func (l *leader) applied(s *state, now time.Duration) (news bool) {
	old, had := l.log, l.facts
	l.log = s
	l.facts = about(s.views, l.facts)
	maps.DeleteFunc(l.granted, func(m Member, _ time.Duration) bool { return l.leaseOver(m, now) })
	l.quiet = 0
	l.version.Count++
	before := about(old.views, had)
	for m := range had {
		if _, ok := l.facts[m]; !ok {
			delete(l.told, m)
		} else if _, ok := before[m]; !ok { // no answer had it before
			l.told[m] = l.version.Count
		}
	}
	for _, v := range s.views {
		if !slices.Contains(old.views, v) {
			l.came[v.Epoch] = l.version.Count
		}
	}
	for epoch := range l.came {
		if epoch < s.views[0].Epoch {
			delete(l.came, epoch)
		}
	}
	if s.newest() != old.newest() {
		l.viewAt, l.next = now, nil
		return true
	}
	return s.retired > old.retired && slices.ContainsFunc(old.views, func(v *View) bool { return len(v.Leavers) > 0 })
}

// settled ends the proposal of an entry, committed or not.
func (l *leader) settled() { l.pending, l.next = false, nil }

// parts reports whether a member loses its seat in the next view because it leaves. Nobody acts
// for its ids until then.
func (l *leader) parts(next *View) bool {
	newest := l.log.newest()
	return newest != nil && slices.ContainsFunc(next.Leavers, func(m Member) bool { return newest.seat(m) >= 0 })
}

// wanted returns the view that the cluster should have by what was heard, or nil if it is the
// newest one (rule 20).
func (l *leader) wanted(now time.Duration) *View {
	newest := l.log.newest()
	if newest == nil {
		if newest = (&View{Routing: l.routing}); now <= l.since+l.outlived {
			return nil // the voters' disks may have been erased, and leases be left of before
		}
	}
	// A member that knows a later view is of before such a loss too. It takes no older one,
	// and tokens must not fall (rule 24).
	v := &View{Epoch: max(newest.Epoch, l.acked, l.log.floor) + 1, Routing: l.routing}
	if v.Lease = l.timing.Lease; now <= l.since+l.outlived { // leases of the leaders before may be left
		v.Lease = max(v.Lease, newest.Lease)
	}
	changed := newest.Routing != l.routing || v.Lease != l.leaseOf(newest) || newest.Epoch > 0 && l.acked > newest.Epoch
	known := map[string]Member{} // the life of each node that the view has, or had
	for _, old := range newest.Seats {
		s := l.seen[old.Name]
		if s.member.Incarnation > old.Incarnation { // it has restarted
			known[old.Name] = s.member
			v.Seats = append(v.Seats, Seat{Member: s.member})
			changed = true
			continue
		}
		known[old.Name] = old.Member
		heard := s.member == old.Member
		if heard && s.leaving {
			v.Leavers = append(v.Leavers, old.Member)
			changed = true
			continue
		}
		at := l.since
		if heard {
			at = s.at
		}
		failed := old.Member != l.me && now > at+l.timing.Silence || l.overdue(old.Member, now)
		if failed && old.Failed && !l.present(old.Name) {
			changed = true // the cluster has forgotten it
			continue
		}
		changed = changed || failed != old.Failed
		v.Seats = append(v.Seats, Seat{Member: old.Member, Failed: failed})
	}
	for _, m := range newest.Leavers {
		if _, ok := known[m.Name]; !ok {
			known[m.Name] = m
		}
		if f := l.facts[m]; f.Past >= newest.Epoch && len(f.Busy) == 0 || l.leaseOver(m, now) {
			continue // gone, which is no reason for a view
		}
		v.Leavers = append(v.Leavers, m)
	}
	for name, s := range l.seen {
		m, ok := known[name]
		if s.leaving || ok && m.Incarnation >= s.member.Incarnation || now > s.at+l.timing.Silence {
			continue
		}
		v.Seats = append(v.Seats, Seat{Member: s.member})
		changed = true
	}
	if !changed || len(v.Seats) == 0 {
		return nil
	}
	return v
}

// overdue reports whether the member has had the time of a lease to acknowledge the newest
// view, and has not.
func (l *leader) overdue(m Member, now time.Duration) bool {
	return l.facts[m].Past < l.log.newest().Epoch && now > l.viewAt+l.timing.Lease
}
