package model

import (
	"slices"
)

// A holder is the volatile state of a process as a member. What it acts on changes only
// in adopt.
type holder struct {
	views      []*view // not retired as far as it knows; the last one is the newest
	facts      facts
	leaseEnd   float64 // by its clock
	generation int     // rises when a lease begins after the one before it has ended
	counter    int     // of tokens
	runs       []*call // by id; nil while it runs none
	renewsAt   int     // slot of the voter that it takes for the leader
	answered   float64 // last answer, by its clock
	hintedAt   float64 // by its clock
	leaving    bool
	gone       func() // runs when it has left
	leavesAt   float64

	byTimer bool // the lease counts (mutant leaseByTimer)
	acked   int  // last epoch that it acknowledged (mutants ackBeforeAdopting, busySentOnce)
}

// A renewal is what a member sends to the leader every second.
type renewal struct {
	from    member
	sent    float64 // by the clock of the member; the answer echoes it
	ack     int     // newest epoch that it has adopted
	busy    idSet   // what it still runs though it does not act for it under ack
	leaving bool
	deaf    bool // it had no answer for a while
}

// An answer is what the leader sends back.
type answer struct {
	from  int
	sent  float64
	views []*view // all that are not retired
	facts facts
	lease bool
	deaf  bool
}

func (n *node) startMember() {
	n.facts, n.runs = facts{}, make([]*call, n.ids)
	n.leaseEnd = -1
	n.renewsAt = n.r.IntN(voters)
	n.every(renewEvery, n.renew)
	n.every(0.05, func() { n.try(id(n.r.IntN(n.ids))) })
}

func newest(views []*view) *view {
	if len(views) == 0 {
		return nil
	}
	return views[len(views)-1]
}

// acts reports whether the process acts for x under its newest view.
func (n *node) acts(x id) bool {
	v := newest(n.views)
	return v != nil && v.acting(x) == n.me
}

// deaf reports that the process had no answer for a while. It says so in its renewals,
// because a leader that hears it does not know otherwise that it has no lease.
func (n *node) deaf() bool { return n.clock() > n.answered+deafAfter }

// renew sends a renewal to the voter that the process takes for the leader.
func (n *node) renew() {
	if n.answered+1.5 < n.clock() || !n.calm && n.r.IntN(12) == 0 {
		n.renewsAt = (n.renewsAt + 1 + n.r.IntN(2)) % voters
		if n.isVoter() && n.follows >= 0 {
			n.renewsAt = n.follows
		}
	}
	r := renewal{from: n.me, sent: n.clock(), leaving: n.leaving, deaf: n.deaf() && n.mutant != deafUnsaid}
	if v := newest(n.views); v != nil {
		r.ack, r.busy = v.epoch, n.busy()
		switch n.mutant {
		case ackBeforeAdopting:
			r.ack = max(r.ack, n.acked)
		case busySentOnce:
			if r.ack == n.acked {
				r.busy = 0
			}
			n.acked = r.ack
		}
	}
	n.send(n.me.slot, n.renewsAt, func(p *node) { p.renewed(r) })
}

// renewed takes a renewal. A voter that does not lead answers with a redirect.
func (n *node) renewed(r renewal) {
	switch {
	case n.lead != nil:
		n.lead.renewed(r)
	case n.follows >= 0 && n.calm:
		leader := n.follows
		n.send(n.me.slot, r.from.slot, func(p *node) {
			if p.renewsAt != leader {
				p.hinted(leader, nil)
			}
		})
	}
}

// busy returns the ids that the process still runs though it does not act for them.
func (n *node) busy() (b idSet) {
	v := newest(n.views)
	if n.mutant == busyOfOldView {
		v = n.views[max(len(n.views)-2, 0)]
	}
	for x, c := range n.runs {
		switch {
		case c == nil || v.acting(id(x)) == n.me:
		case n.mutant == noBusy:
		case n.mutant == busyOneView && c.epoch < v.epoch-1:
		case n.mutant == leaverReleases && n.leaving:
		default:
			b.add(id(x))
		}
	}
	return b
}

// hinted takes the hint of a leader to renew now. The newest view of the leader comes
// with it for the mutant actsOnHint only.
func (n *node) hinted(leader int, v *view) {
	n.renewsAt = leader
	if n.clock() > n.hintedAt+0.001 {
		n.hintedAt = n.clock()
		n.after(0.0005, n.renew)
	}
	if n.mutant == actsOnHint && v != nil && len(n.views) > 0 && v.epoch > newest(n.views).epoch {
		n.views = append(slices.Clip(n.views), v)
		n.renew()
		n.tryAll()
	}
}

// adopt takes views, facts and lease of an answer in one step. It drops an answer that
// knows less than the process.
func (n *node) adopt(a *answer) {
	if n.outdated(a) {
		return
	}
	n.answered, n.renewsAt = n.clock(), a.from
	old := newest(n.views)
	news := old == nil || newest(a.views).epoch > old.epoch
	switch {
	case n.mutant == ackBeforeAdopting && news:
		n.acked = newest(a.views).epoch
		n.after(n.r.Float64(), func() { n.take(a) })
	case n.mutant == leaseBeforeViews && news:
		n.after(n.r.Float64()*0.3, func() { n.take(a); n.renew() })
	default:
		n.take(a)
	}
	if a.lease {
		n.extend(a.sent)
	}
	if (news && n.mutant != leaseBeforeViews || a.deaf) && n.mutant != renewsBySecond {
		n.renew()
	}
	n.tryAll()
	if n.leaving {
		n.exit()
	}
}

// outdated reports that the newest view of a is older than that of the process.
func (n *node) outdated(a *answer) bool {
	v := newest(n.views)
	return n.mutant != takesOlderAnswer && v != nil && newest(a.views).epoch < v.epoch
}

// take adopts the views and the facts of an answer. What the process knows to be retired
// stays retired.
func (n *node) take(a *answer) {
	if n.outdated(a) {
		return
	}
	floor := 0
	if len(n.views) > 0 && n.mutant != takesOlderAnswer {
		floor = n.views[0].epoch
	}
	n.views = notRetired(a.views, floor)
	for m, f := range a.facts {
		n.facts.merge(m, f)
	}
	if n.mutant != keepsOldFacts {
		n.facts.forget(n.views)
	}
}

// extend takes a lease, whose renewal the process sent at the given time.
func (n *node) extend(sent float64) {
	if n.mutant == leaseFromReceipt {
		sent = n.clock()
	}
	end := sent + lease
	if end <= n.leaseEnd || end <= n.clock() {
		return
	}
	lapsed := n.clock() > n.leaseEnd
	if n.mutant == leaseByTimer {
		lapsed = !n.byTimer
	}
	n.leaseEnd, n.byTimer = end, true
	if lapsed {
		n.generation++
		if n.mutant == counterRestarts {
			n.counter = 0
		}
	} else {
		n.noteLease()
	}
	left := (end - n.clock()) / n.rate
	n.after(left-0.0004, n.tryAll) // it uses the lease to its end
	if n.mutant == leaseByTimer {
		n.after(left+n.r.Float64()*0.05, func() {
			if n.leaseEnd == end {
				n.byTimer = false
				n.noteEnd(n.now)
			}
		})
	}
}

// leased reports whether the lease is valid now.
func (n *node) leased() bool {
	if n.mutant == leaseByTimer {
		return n.byTimer
	}
	return n.clock() < n.leaseEnd
}

// leave announces that the process leaves. It renews until no call of it runs and the log
// has retired every view in which it has a seat. A leader hands leadership over first.
func (n *node) leave(gone func()) {
	n.leaving, n.gone, n.leavesAt = true, gone, n.now
	if n.lead != nil && n.mutant != noTransfer {
		for _, p := range n.nodes[:voters] {
			if p != n && p != nil && p.up && !p.disk.stranger {
				n.send(n.me.slot, p.me.slot, (*node).campaign)
				break
			}
		}
	}
	n.renew()
}

// exit ends a process that leaves, if it may.
func (n *node) exit() {
	if len(n.views) == 0 {
		return // it has not adopted its first view yet (mutants)
	}
	for _, c := range n.runs {
		if c != nil {
			return
		}
	}
	seated := false
	for _, v := range n.views {
		seated = seated || v.seated(n.me)
	}
	inNewest := newest(n.views).seated(n.me)
	if !seated || n.mutant == leaverReleases || n.mutant == leavesEarly && !inNewest {
		n.up = false
		n.left = append(n.left, n.now-n.leavesAt)
		n.gone()
	}
}
