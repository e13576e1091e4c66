package model

// A node is a process: a member, and a voter if its slot is one. All but the disk is lost
// with the process.
type node struct {
	*sim
	me     member
	up     bool
	paused float64 // until then, in real time
	rate   float64 // of its clock
	jump   float64 // of its clock (mutant wallClock)
	disk   *disk
	holder
	voter
	lead *leader // nil: it does not lead

	longCalls float64 // half of its calls take that long, if not 0
}

// boot starts a process with a new incarnation in a slot.
func (s *sim) boot(slot int) *node {
	n := &node{sim: s, me: member{slot, 1}, up: true, disk: &disk{}}
	n.follows = -1
	if old := s.nodes[slot]; old != nil {
		n.disk, n.rate, n.jump = old.disk, old.rate, old.jump
		n.me.incarnation = old.me.incarnation
		if s.mutant != incarnationReused {
			n.me.incarnation++
		}
	} else {
		n.rate = s.drawRate()
	}
	s.nodes[slot] = n
	n.startMember()
	if n.isVoter() {
		n.startVoter()
	}
	return n
}

func (s *sim) drawRate() float64 {
	switch {
	case s.calm:
		return 1
	case s.sharp:
		return 1 + drift*float64(2*s.r.IntN(2)-1)
	case s.r.IntN(3) == 0:
		return 1 + drift*(s.r.Float64()*2-1)
	}
	return 1 + drift*float64(s.r.IntN(3)-1)
}

func (n *node) isVoter() bool { return n.me.slot < voters }

func (n *node) clock() float64 { return n.now*n.rate + n.jump }

// setClock moves the clock of a process, if that can be done: the protocol reads one that
// nobody can set.
func (n *node) setClock(d float64) {
	if n.mutant != wallClock {
		return
	}
	was := n.leased()
	n.jump += d
	if was || n.leased() {
		n.noteLease()
	}
}

// step does f now, or when the pause of the process ends, or never if the process has
// died. Each action of a process is one step, so that a pause can come between any two.
func (n *node) step(f func()) {
	switch {
	case !n.up:
	case n.paused > n.now:
		n.at(n.paused-n.now, func() { n.step(f) })
	default:
		f()
	}
}

// after does f as a step of the process after d seconds.
func (n *node) after(d float64, f func()) { n.at(d, func() { n.step(f) }) }

// every does f as a step about every d seconds.
func (n *node) every(d float64, f func()) {
	var again func()
	again = func() {
		if n.up {
			n.step(f)
			n.at(d*(0.9+n.r.Float64()*0.2), again)
		}
	}
	n.at(n.r.Float64()*d, again)
}

func (n *node) pause(d float64) { n.paused = max(n.paused, n.now+d) }

// crash ends the process. The program of a call may outlive it, under the rights that the
// dead incarnation still has.
func (n *node) crash() {
	n.up = false
	n.lead = nil
	for _, c := range n.runs {
		if c == nil {
			continue
		}
		if !c.orphan && n.r.IntN(2) == 0 {
			n.history.finish(c, false)
		} else {
			c.orphan = true
		}
	}
}

// wipe empties the disk of a voter. From then on it is a stranger, without a vote.
func (n *node) wipe() { n.disk = &disk{stranger: n.mutant != wipedVotes} }

// beforeAnswer lets the leader pause now and then after it has verified, and before the
// answer goes to m.
func (l *leader) beforeAnswer(m member, answer func()) {
	if l.stall == m.slot {
		l.stall = -1
		l.pause(lease*1.03 + l.r.Float64())
	}
	if l.sharp && !l.quiet && l.r.IntN(60) == 0 {
		l.pause(l.r.Float64() * 8)
	}
	l.after(0, answer)
}
