package model

import (
	"maps"
	"slices"
)

// A leader is the volatile state of one term. Its views and facts are not those that its
// process has as a member. A deposed leader believes in them until it hears of a later
// term.
type leader struct {
	*node
	replication

	ready   bool    // an entry of its term is committed, so it knows every committed view
	since   float64 // its election, which counts as its last grant to everybody
	views   []*view // not retired; the last one is the newest
	applied int     // entries of the log
	floor   int     // views before this epoch are retired
	viewAt  float64 // when it learned of the newest view
	granted map[member]float64
	facts   facts

	pending    bool  // a proposal is not committed yet
	proposed   *view // it is that, if it is a view
	proposedAt float64
	sights     []sight   // by slot
	suspected  []float64 // by slot: until then in real time, rightly or not
}

// A sight is the last that a leader heard from a slot.
type sight struct {
	member
	at      float64
	leaving bool
}

func newLeader(n *node) *leader {
	l := &leader{node: n, since: n.clock(), viewAt: n.clock(), granted: map[member]float64{}, facts: facts{},
		proposedAt: -9, sights: make([]sight, len(n.nodes)), suspected: make([]float64, len(n.nodes))}
	l.replication = replication{matched: make([]int, voters), verifiedAt: -9}
	switch n.mutant {
	case noWaitAfterElection:
		l.since = -1e9
	case waitsFromCandidacy:
		l.since = n.campaignAt
	case grantsBeforeBarrier:
		l.apply()
		l.ready = true
	}
	n.every(0.1, func() {
		if n.lead == l && l.ready {
			l.tick()
		}
	})
	return l
}

// apply takes committed entries of the log.
func (l *leader) apply() {
	for ; l.applied < l.committed; l.applied++ {
		e := l.disk.log[l.applied]
		if e.view != nil {
			l.views = append(slices.Clip(l.views), e.view)
			l.viewAt, l.proposed = l.clock(), nil
			l.epochs = max(l.epochs, e.view.epoch)
		}
		if e.retire > l.floor {
			l.floor = e.retire
			left := slices.ContainsFunc(l.views, func(v *view) bool { return len(v.leavers) > 0 })
			l.views = notRetired(l.views, l.floor)
			if l.ready && left {
				l.hint()
			}
		}
	}
}

// notRetired returns the views from the floor on, or the newest one.
func notRetired(views []*view, floor int) []*view {
	for len(views) > 1 && views[0].epoch < floor {
		views = views[1:]
	}
	return views
}

// commit is called when an entry of the term is committed.
func (l *leader) commit() {
	before := newest(l.views)
	l.apply()
	l.pending = false
	if !l.ready {
		l.ready = true
		l.hint()
	}
	if newest(l.views) != before {
		if l.onCommit != nil {
			l.onCommit()
		}
		l.hint()
		l.watch()
	}
}

// hint asks all processes to renew now, because there is news.
func (l *leader) hint() {
	v := newest(l.views)
	if v == nil || l.mutant == noHint {
		return
	}
	for slot := range l.nodes {
		l.send(l.me.slot, slot, func(p *node) { p.hinted(l.me.slot, v) })
	}
}

// renewed is the duty of the leader to a member. In one step it takes what the member
// says, composes the answer and records the grant. Then it verifies that it leads, and
// only then it sends the answer.
func (l *leader) renewed(r renewal) {
	if !l.ready {
		return
	}
	l.see(r)
	if len(l.views) == 0 {
		return
	}
	before := l.facts[r.from]
	l.facts.merge(r.from, fact{r.ack, r.busy})
	if l.facts[r.from] != before {
		l.hint()
	}
	verify := l.verify
	if l.mutant == ownLeaseUnverified && r.from == l.me {
		verify = func(done func()) { done() }
	}
	switch l.mutant {
	case verifiesFirst:
		verify(func() { l.beforeAnswer(r.from, func() { l.reply(r, l.compose(r, true)) }) })
	case recordsLate:
		a := l.compose(r, false)
		verify(func() {
			l.beforeAnswer(r.from, func() {
				if a.lease {
					l.granted[r.from] = l.clock()
				}
				l.reply(r, a)
			})
		})
	default:
		a := l.compose(r, true)
		verify(func() { l.beforeAnswer(r.from, func() { l.reply(r, a) }) })
	}
}

// see notes that a member has shown itself. One that is deaf has not, as it has no lease.
func (l *leader) see(r renewal) {
	s := l.sights[r.from.slot]
	if r.from.incarnation < s.incarnation {
		return
	}
	same, at := s.member == r.from, l.clock()
	if r.deaf && same {
		at = s.at
	}
	l.sights[r.from.slot] = sight{r.from, at, r.leaving || s.leaving && same}
}

func (l *leader) reply(r renewal, a *answer) {
	l.send(l.me.slot, r.from.slot, func(p *node) {
		if p.me == r.from {
			p.adopt(a)
		}
	})
}

// compose returns the answer to r as of now. If record is set it records the grant.
func (l *leader) compose(r renewal, record bool) *answer {
	l.runOut()
	a := &answer{from: l.me.slot, sent: r.sent, views: l.views, facts: maps.Clone(l.facts), deaf: r.deaf, lease: l.grants(r)}
	switch l.mutant {
	case retiresByNumber, retiresBusy, busyWhileViewLives:
		a.views = notRetired(a.views, l.retired())
	}
	if a.lease && record {
		l.granted[r.from] = l.clock()
	}
	return a
}

// grants reports whether a member may have a lease: it hears the leader, it is in the
// newest view, and it has acknowledged that or is still expected to.
func (l *leader) grants(r renewal) bool {
	v := newest(l.views)
	s := v.standing(r.from)
	switch {
	case l.mutant == leaseToAll:
		return true
	case r.deaf || s == absent:
		return false
	case r.ack >= v.epoch:
		return true
	}
	young := l.clock() <= l.viewAt+lease
	return s == serving && young && !l.failing(r.from)
}

// failing reports that a view is proposed in which m has failed or has no seat.
func (l *leader) failing(m member) bool {
	if l.proposed == nil {
		return false
	}
	s := l.proposed.standing(m)
	return s == failed || s == absent
}

// margin is how much longer than a lease the leader waits, by its clock, until the lease
// is over by any clock.
func (l *leader) margin() float64 {
	switch l.mutant {
	case noMargin:
		return 1
	case marginOfTwoDrifts:
		return 1 + 2*drift
	}
	return (1 + drift) / (1 - drift)
}

func (l *leader) lastGrant(m member) float64 {
	if t, ok := l.granted[m]; ok {
		return t
	}
	return l.since
}

// out returns the moment, by the clock of the leader, at which the lease of m is over.
func (l *leader) out(m member) float64 { return l.lastGrant(m) + lease*l.margin() }

// runOut makes facts of leases that are over. It reports whether one is new.
func (l *leader) runOut() (news bool) {
	top := newest(l.views)
	for _, v := range l.views {
		for m := range v.members {
			s := top.standing(m)
			over := l.clock() > l.out(m) ||
				l.mutant == takesOverOnSuspicion && s == failed || l.mutant == goneIgnored && s == absent
			if f := l.facts[m]; over && (f.p < top.epoch || f.busy != 0) {
				l.facts.merge(m, fact{p: top.epoch})
				news = true
			}
		}
	}
	return news
}

// watch wakes the leader as soon as a lease is over that a view waits for.
func (l *leader) watch() {
	for _, v := range l.views {
		for m := range v.members {
			d := (l.out(m) - l.clock()) / l.rate
			if l.facts[m].p >= newest(l.views).epoch || d <= 0 {
				continue
			}
			l.after(d+1e-6, func() {
				if l.lead == l && l.runOut() {
					l.hint()
				}
			})
		}
	}
}

// retired returns the epoch before which all views can be retired.
func (l *leader) retired() int {
	top := newest(l.views)
	if l.mutant == retiresByNumber {
		return max(l.floor, top.epoch-1)
	}
	for _, v := range l.views {
		for m := range v.members {
			if !v.seated(m) && l.mutant != leaversHoldViews {
				continue
			}
			f := l.facts[m]
			busy := f.busy != 0 && l.mutant != retiresBusy && l.mutant != busyWhileViewLives
			if f.p <= v.epoch || busy {
				return v.epoch
			}
		}
	}
	return top.epoch
}
