package model

// Random plays the protocol, or a mutant of it, for a minute: five slots, three of them
// voters, under random faults that follow from the seed. Then the faults end, and each id
// has to get a place.
func Random(seed uint64, m Mutant) Result {
	s := newSim(seed, m, 5, false)
	for slot := range s.nodes {
		if slot < voters || s.r.IntN(2) == 0 {
			s.boot(slot)
		}
	}
	for slot := range s.nodes {
		var again func()
		again = func() {
			if s.quiet {
				return
			}
			s.fault(slot)
			s.at(s.r.ExpFloat64()*s.rarity, again)
		}
		s.at(3+s.r.ExpFloat64()*6, again)
	}
	s.run(60)
	s.settle()
	s.run(90)
	return s.result()
}

// settle ends the faults.
func (s *sim) settle() {
	s.quiet, s.calm = true, true
	s.mend()
	s.loss, s.twice, s.delay = 0, 0, s.calmDelay
	for _, n := range s.nodes {
		if n != nil {
			n.paused = s.now
		}
	}
}

// fault strikes a slot.
func (s *sim) fault(slot int) {
	n := s.nodes[slot]
	back := func(d float64) { s.at(d, func() { s.boot(slot) }) }
	switch x := s.r.IntN(20); {
	case s.sharp && s.r.IntN(4) == 0:
		s.coup()
	case n == nil:
		s.boot(slot)
	case !n.up: // it comes back by itself
	case x < 5:
		n.pause(s.r.Float64() * 12)
	case x < 7: // about as long as a lease
		n.pause(lease * (0.9 + s.r.Float64()*0.4))
	case x < 10:
		s.cutSome(slot)
	case x < 12:
		n.crash()
		back(s.r.Float64() * []float64{0.01, 2, 10}[s.r.IntN(3)])
	case x < 14 && !n.isVoter():
		n.leave(func() { back(s.r.Float64() * 6) })
	case x < 16: // leadership moves without a fault
		if n.isVoter() {
			n.campaign()
		}
	case x < 17:
		s.suspect(slot, s.r.Float64()*4)
	case x < 18 && n.isVoter():
		if s.r.IntN(3) == 0 && s.strangers() == 0 {
			n.crash()
			n.wipe()
			back(s.r.Float64())
		}
	case x < 19:
		n.setClock((s.r.Float64()*2 - 1) * 10)
	}
}

// cutSome cuts a slot off from some others, both ways or one way.
func (s *sim) cutSome(slot int) {
	d, way := s.r.Float64()*12, s.r.IntN(3)
	for j := range s.nodes {
		if j == slot || s.r.IntN(3) == 0 {
			continue
		}
		s.cut[slot][j] = s.cut[slot][j] || way != 1
		s.cut[j][slot] = s.cut[j][slot] || way != 2
		s.at(d, func() { s.cut[slot][j], s.cut[j][slot] = false, false })
	}
}

// suspect has every leader hold a slot for failed for d seconds.
func (s *sim) suspect(slot int, d float64) {
	for _, n := range s.nodes {
		if n != nil && n.lead != nil {
			n.lead.suspected[slot] = s.now + d
		}
	}
}

func (s *sim) strangers() (count int) {
	for _, n := range s.nodes {
		if n != nil && n.disk.stranger {
			count++
		}
	}
	return count
}

// coup takes the leader and one member away from all others while another voter
// campaigns. The deposed leader believes that it leads, and the member goes on renewing
// with it.
func (s *sim) coup() {
	var old *node
	for _, n := range s.nodes {
		if old == nil && n != nil && n.lead != nil && n.up {
			old = n
		}
	}
	if old == nil {
		return
	}
	x, rival := s.r.IntN(len(s.nodes)), s.nodes[(old.me.slot+1+s.r.IntN(voters-1))%voters]
	if rival == nil || !rival.up || rival.me.slot == x {
		return
	}
	part := func() {
		s.isolate(true, old.me.slot, x)
		if n := s.nodes[x]; n != nil && n.up {
			n.renewsAt = old.me.slot
			n.after(s.r.Float64()*0.5, n.renew)
		}
	}
	wait := 0.0
	if s.r.IntN(2) == 0 { // the votes travel slowly while the old leader works
		s.lag = s.r.Float64()
		wait = s.lag + 0.0001
		rival.step(rival.campaign)
		s.lag = 0
		s.at(wait, part)
	} else {
		part()
		rival.step(rival.campaign)
	}
	s.at(wait+4+s.r.Float64()*8, func() { s.isolate(false, old.me.slot, x) })
}
