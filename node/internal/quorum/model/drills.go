package model

// A Drill is a script that leads to one rare interleaving, with random offsets. The
// protocol passes all of them. They catch the mutants that random faults seldom catch.
type Drill struct {
	Name string
	play func(*sim)
}

// Drills are all drills.
var Drills = []Drill{
	{"a deposed leader keeps a member", deposed},
	{"votes travel slowly", slowVotes},
	{"a new leader does not know yet what is committed", barrier},
	{"the leader pauses before it answers", stalled},
	{"verification takes long", longVerification},
	{"the clock of the leader is fast, and that of a member slow", clocks},
	{"a voter loses its disk", wiped},
	{"a member misses a view", missed},
	{"calls run while views and leaders change", busy},
	{"an older answer comes last", reordered},
	{"a process restarts at once", restarted},
	{"a member leaves while it runs calls", left},
	{"a member is set aside during a call, and comes back", setAside},
	{"a new leader hears of a running id late", lateBusy},
	{"a clock is set back", setBack},
	{"a member has gone before all know that it is idle", goneIdle},
}

// Run plays the drill with the protocol or a mutant of it: five slots, three of them
// voters, and four processes. Slot 0 leads first. The offsets follow from the seed.
func (d Drill) Run(seed uint64, m Mutant) Result {
	s := newSim(seed, m, 5, true)
	s.keeps = true
	s.minGap = 0
	for slot := range 4 {
		s.boot(slot)
	}
	s.run(3)
	d.play(s)
	s.run(25)
	return s.result()
}

// long has half of the calls that start from now on run for d seconds, or none if d is 0.
func (s *sim) long(d float64, slots ...int) {
	for _, slot := range slots {
		s.nodes[slot].longCalls = d
	}
}

// slowFor slows the link from one slot to another for a while.
func (s *sim) slowFor(from, to int, by, while float64) {
	s.slow[from][to] = by
	s.at(while, func() { s.slow[from][to] = 0 })
}

// afterCommit calls f once after the next view is committed at a leader.
func (s *sim) afterCommit(f func()) {
	s.onCommit = func() {
		s.onCommit = nil
		f()
	}
}

// renewWith has a slot renew with the given voter now.
func (s *sim) renewWith(slot, leader int) {
	n := s.nodes[slot]
	n.renewsAt = leader
	n.step(n.renew)
}

func deposed(s *sim) {
	x := []int{0, 3}[s.r.IntN(2)]
	t := 2 + s.r.Float64()
	if s.r.IntN(2) == 0 { // replies to old appends are under way
		s.at(t-0.3, func() { s.slowFor(1, 0, 1.5, 0.3); s.slowFor(2, 0, 1.5, 0.3) })
	}
	s.at(t+0.0001, func() {
		s.isolate(true, 0, x)
		s.nodes[1].campaign()
	})
	s.at(t+0.0002+s.r.Float64()*0.5, func() { s.renewWith(x, 0) })
	s.at(t+12, s.mend)
}

func slowVotes(s *sim) {
	t, d := 2+s.r.Float64(), 0.3+s.r.Float64()*0.6
	s.at(t, func() {
		s.slow[1][2], s.slow[1][0] = d, 9
		s.nodes[1].campaign()
		s.slow[1][2], s.slow[1][0] = 0, 0
		s.cut[1][0] = true // the old leader does not hear of the new term
	})
	s.at(t+d-0.02-s.r.Float64()*0.1, func() { s.nodes[3].renew() })
	s.at(t+d, func() { s.isolate(true, 0, 3) })
	s.at(t+d+10, s.mend)
}

// barrier has slot 0 commit a view in which slot 3 has failed, and slot 1 win before it
// knows of that commit. Slot 3 renews with slot 1 at once.
func barrier(s *sim) {
	s.hold = true
	s.at(1, func() { s.isolate(true, 3) })
	s.at(1+lease*1.1, func() {
		s.hold = false
		s.afterCommit(func() {
			s.at(0.004+s.r.Float64()*0.01, func() {
				s.isolate(false, 3)
				s.isolate(true, 0)
				s.onWin = func() {
					s.onWin = nil
					s.slowFor(1, 2, 1, 0.0001)
					s.at(0.001, func() { s.renewWith(3, 1) })
				}
				s.nodes[1].campaign()
			})
		})
	})
	s.at(14, s.mend)
}

func stalled(s *sim) {
	s.long(14, 0, 1, 2, 3)
	s.at(1, func() { s.boot(4) })
	s.at(2.2, func() { s.hold = true })
	s.at(2.3+s.r.Float64()*0.5, func() {
		s.stall = 1 + s.r.IntN(4)
		s.long(0, 0, 1, 2, 3)
	})
}

func longVerification(s *sim) {
	s.at(2+s.r.Float64(), func() {
		s.renewWith(3, 0)
		s.at(0.0004, func() {
			s.slowFor(1, 0, 4.2+s.r.Float64()*0.5, 0.0012)
			s.slowFor(2, 0, 4.4, 0.0012)
		})
		s.at(0.0016, func() { s.mute(3) })
	})
	s.at(14, s.mend)
}

func clocks(s *sim) {
	s.delay = func() float64 { return 0.00001 + s.r.Float64()*0.00003 }
	for slot, n := range s.nodes[:4] {
		n.rate = 1 + drift*float64(1-2*(slot/voters))
		n.leaseEnd, n.heard, n.answered = 0, n.clock(), n.clock()
	}
	s.at(3+s.r.Float64(), func() { s.mute(3) })
	s.at(14, s.mend)
}

// wiped has voter 1 vote for slot 0, lose its disk, and vote in the same term for slot 2.
func wiped(s *sim) {
	t := 1 + s.r.Float64()
	s.at(t, func() { s.isolate(true, 2) })
	s.at(t+0.1, func() { s.nodes[0].campaign() })
	s.at(t+0.6, func() {
		s.nodes[1].crash()
		s.nodes[1].wipe()
		s.boot(1).renewsAt = 2
		s.boot(4).renewsAt = 2
		s.mend()
		for _, i := range []int{0, 3} {
			s.cut[i][2], s.cut[2][i] = true, true
		}
		s.cut[4][0], s.cut[0][4] = true, true
		s.nodes[2].campaign()
	})
	s.at(t+14, s.mend)
}

// missed keeps slot 3 away while a fallback acts for it. Slot 3 hears of its return
// before it can have heard of the fallback. Long calls keep the first view from being
// retired.
func missed(s *sim) {
	s.long(14, 0, 1, 2, 3)
	s.at(1, func() { s.boot(4) })
	s.at(2.2, func() { s.nodes[3].pause(7); s.isolate(true, 3) })
	s.at(10.2+s.r.Float64()*0.3, func() {
		s.isolate(false, 3)
		s.slowFor(1, 0, 2, 3.8)
		s.renewWith(3, 0)
		s.at(0.0004, func() { s.slowFor(2, 0, 0.5, 0.0026) })
	})
}

func busy(s *sim) {
	s.long(12, 0, 1, 2, 3)
	s.at(1, func() { s.boot(4).longCalls = 12 })
	s.at(1.5+s.r.Float64(), func() {
		s.long(0, 0, 1, 2, 3, 4)
		s.nodes[4].leave(func() {})
	})
	s.at(3+s.r.Float64(), func() { s.nodes[1+s.r.IntN(2)].campaign() })
	s.at(4+s.r.Float64(), func() { s.boot(4) })
	s.at(5+s.r.Float64(), func() { s.nodes[s.r.IntN(voters)].campaign() })
}

// reordered delays an answer to slot 1 until slot 1 has adopted a later view, in which
// slot 2 has one of its ids.
func reordered(s *sim) {
	s.boot(4)
	s.at(2.5, func() {
		s.long(0.3, 1, 2)
		s.slowFor(0, 1, 1.8, 0.3)
		s.renewWith(1, 0)
	})
	s.at(2.9+s.r.Float64()*0.2, func() { s.nodes[4].leave(func() {}) })
}

// restarted restarts slot 3 while programs of its calls outlive it.
func restarted(s *sim) {
	s.long(4, 3)
	s.at(1+s.r.Float64(), func() {
		s.nodes[3].crash()
		s.at(s.r.Float64()*0.3, func() { s.boot(3) })
	})
}

func left(s *sim) {
	s.boot(4)
	s.at(3, func() { s.long(6, 4) })
	s.at(3.5+s.r.Float64(), func() { s.nodes[4].leave(func() {}) })
}

func setAside(s *sim) {
	s.long(15, 3)
	s.at(0.5+s.r.Float64()*0.5, func() { s.isolate(true, 3); s.long(0, 3) })
	s.at(7.5+s.r.Float64(), s.mend)
}

// lateBusy has slot 4 take an id from slot 0, whose call goes on. Slot 4 does not hear of
// that from slot 0, nor from the next leader, to which slot 0 renews late.
func lateBusy(s *sim) {
	s.long(14, 0)
	s.at(1.5, func() {
		s.boot(4)
		s.afterCommit(func() {
			s.isolate(true, 4)
			s.at(0.5+s.r.Float64()*0.3, func() {
				s.isolate(false, 4)
				s.slowFor(0, 1, 1, 2)
				s.cut[4][0], s.cut[0][4] = true, true
				s.nodes[1].campaign()
				s.at(0.01, func() { s.renewWith(4, 1) })
			})
		})
	})
	s.at(8, s.mend)
}

func setBack(s *sim) {
	s.at(1+s.r.Float64(), func() {
		s.nodes[3].setClock(-4)
		s.isolate(true, 3)
	})
	s.at(14, s.mend)
}

// goneIdle has slot 4 know that slot 3, which leaves, still runs a call. Slot 4 is away
// when that ends, and the next leader never hears of slot 3.
func goneIdle(s *sim) {
	s.boot(4)
	s.at(2, func() { s.long(1.2, 3) })
	s.at(3, func() {
		s.nodes[3].leave(func() {})
		s.afterCommit(func() {
			s.at(0.02, func() { s.isolate(true, 4) })
			s.at(7+s.r.Float64(), func() { s.mend(); s.nodes[1].campaign() })
		})
	})
}
