package model

// A network delivers messages late, twice, out of order, or never.
type network struct {
	cut   [][]bool    // cut[i][j]: nothing goes from slot i to j
	slow  [][]float64 // added to the delays from slot i to j
	lag   float64     // added to all delays
	loss  float64     // probability that a message is lost
	twice float64     // probability that it comes twice
	keeps bool        // what is under way when a link is cut still arrives
	delay func() float64
}

func newNetwork(s *sim) network {
	nw := network{cut: make([][]bool, len(s.nodes)), slow: make([][]float64, len(s.nodes)), keeps: s.r.IntN(2) == 0}
	for i := range nw.cut {
		nw.cut[i], nw.slow[i] = make([]bool, len(s.nodes)), make([]float64, len(s.nodes))
	}
	if s.calm {
		nw.delay = s.calmDelay
		return nw
	}
	nw.loss, nw.twice = []float64{0, 0.03, 0.1}[s.r.IntN(3)], 0.03
	nw.delay = func() float64 { return s.wildDelay(0.02) }
	if s.r.IntN(2) == 0 { // no slack that hides a bug
		nw.delay = func() float64 { return s.wildDelay(0.00007) }
	}
	return nw
}

func (s *sim) calmDelay() float64 { return 0.0003 + s.r.Float64()*0.0004 }

// wildDelay draws a delay that is mostly below most, and seconds now and then.
func (s *sim) wildDelay(most float64) float64 {
	switch x := s.r.Float64(); {
	case x < 0.86 || s.sharp && x < 0.96:
		return s.r.Float64() * most
	case x < 0.97:
		return s.r.Float64() * 1.5
	}
	return s.r.Float64() * 9
}

// send has the process that is then in slot to take a step.
func (s *sim) send(from, to int, deliver func(*node)) {
	if s.keeps && s.cut[from][to] {
		return
	}
	copies, delay := 1, func() float64 { return 0 }
	if from != to {
		delay = func() float64 { return s.delay() + s.lag + s.slow[from][to] }
		if s.loss > 0 && s.r.Float64() < s.loss {
			return
		}
		if s.twice > 0 && s.r.Float64() < s.twice {
			copies = 2
		}
	}
	for range copies {
		s.at(delay(), func() {
			if n := s.nodes[to]; n != nil && (s.keeps || !s.cut[from][to]) {
				n.step(func() { deliver(n) })
			}
		})
	}
}

// isolate cuts the links between the slots of the group and all others, or mends them.
func (s *sim) isolate(on bool, group ...int) {
	in := make([]bool, len(s.nodes))
	for _, slot := range group {
		in[slot] = true
	}
	for i := range s.nodes {
		for j := range s.nodes {
			if in[i] != in[j] {
				s.cut[i][j] = on
			}
		}
	}
}

// mute cuts what the slot sends.
func (s *sim) mute(slot int) {
	for i := range s.nodes {
		s.cut[slot][i] = i != slot
	}
}

// mend mends all links.
func (s *sim) mend() {
	for i := range s.cut {
		clear(s.cut[i])
		clear(s.slow[i])
	}
}
