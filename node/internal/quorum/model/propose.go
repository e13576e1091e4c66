package model

import "slices"

// The patience of a leader, in seconds.
const (
	silence     = 2.0 // without a renewal, until a member fails
	wildSilence = 1.5 // the same under random faults
	reapAfter   = 8.0 // of a newest view, until a seat that has failed in it goes
)

// tick proposes a retirement or the next view, one entry at a time.
func (l *leader) tick() {
	if l.pending {
		return
	}
	if len(l.views) > 0 {
		if l.runOut() {
			l.hint()
		}
		if e := l.retired(); e > l.floor && l.mutant != neverRetires {
			l.pending = true
			l.propose(entry{retire: e})
			return
		}
	}
	if l.hold {
		return
	}
	if v := l.wanted(); v != nil && (l.clock() >= l.proposedAt+l.minGap || l.parts(v) && l.mutant != leaversWait) {
		l.pending, l.proposedAt, l.proposed = true, l.clock(), v
		l.propose(entry{view: v})
	}
}

// wanted returns the next view, or nil if the newest one is right.
func (l *leader) wanted() *view {
	now := newest(l.views)
	if now == nil {
		now = &view{}
	}
	next := &view{epoch: now.epoch + 1}
	in := make([]int, len(l.nodes)) // incarnation, by slot
	changed := l.keepSeats(now, next, in)
	for _, m := range now.leavers {
		if in[m.slot] == 0 {
			in[m.slot] = m.incarnation
		}
		f := l.facts[m]
		if over := f.p >= now.epoch && f.busy == 0 || l.clock() > l.out(m); !over {
			next.leavers = append(next.leavers, m)
		}
	}
	for slot, s := range l.sights {
		if s.member == nobody || s.leaving || in[slot] >= s.incarnation || l.silent(s.at) {
			continue
		}
		next.sit(s.member)
		changed = true
	}
	if !changed || len(next.seats) == 0 {
		return nil
	}
	return next
}

// parts reports whether a member loses its seat in next because it leaves.
func (l *leader) parts(next *view) bool {
	now := newest(l.views)
	return now != nil && slices.ContainsFunc(next.leavers, now.seated)
}

// keepSeats gives the members with a seat in now what they have in next. It reports
// whether anything changed.
func (l *leader) keepSeats(now, next *view, in []int) (changed bool) {
	for _, was := range now.seats {
		s := l.sights[was.slot]
		in[was.slot] = max(was.incarnation, s.incarnation)
		if s.incarnation > was.incarnation { // restarted
			next.seats = append(next.seats, seat{member: s.member})
			changed = true
			continue
		}
		if s.member == was.member && s.leaving {
			next.leavers = append(next.leavers, was.member)
			changed = true
			continue
		}
		fails := l.fails(was.member, s)
		if fails && was.failed && l.clock() > l.viewAt+reapAfter {
			changed = true
			continue
		}
		changed = changed || fails != was.failed
		next.seats = append(next.seats, seat{was.member, fails})
	}
	return changed
}

// sit gives m a seat, unless its slot has one.
func (v *view) sit(m member) {
	k, has := slices.BinarySearchFunc(v.seats, m.slot, func(s seat, slot int) int { return s.slot - slot })
	if !has {
		v.seats = slices.Insert(v.seats, k, seat{member: m})
	}
}

// fails reports whether m is to be set aside: it is silent, suspected, or overdue with
// its acknowledgement of the newest view.
func (l *leader) fails(m member, s sight) bool {
	at := l.since
	if s.member != nobody {
		at = s.at
	}
	overdue := l.facts[m].p < newest(l.views).epoch && l.clock() > l.viewAt+lease
	return l.silent(at) && m != l.me || l.suspected[m.slot] > l.now || overdue
}

// silent reports that a member that showed itself last at the given time is silent.
func (l *leader) silent(at float64) bool {
	if l.calm {
		return l.clock() > at+silence
	}
	return l.clock() > at+wildSilence
}
