package model

// Scenes are all scenes.
var Scenes = []Scene{
	{Name: "leadership moves", victim: 0, Own: Limit{0, 0}, Others: Limit{0, 0},
		play: func(s *sim) { s.nodes[1].campaign() }},
	{Name: "a member dies", victim: 3, Own: Limit{4.5, 5.1}, Others: Limit{0, 1},
		play: func(s *sim) { s.nodes[3].crash() }},
	{Name: "a member is paused for 20 s", victim: 3, Own: Limit{4.5, 5.1}, Others: Limit{0, 1},
		play: func(s *sim) { s.nodes[3].pause(20) }},
	{Name: "the leader dies, and its ids with it", victim: 0, Own: Limit{6.3, 8.3}, Others: Limit{0, 2.4},
		play: func(s *sim) { s.nodes[0].crash() }},
	{Name: "the leader is paused for 6 s", victim: 0, Own: Limit{6, 6.1}, Others: Limit{0, 2.4},
		play: func(s *sim) { s.nodes[0].pause(6) }},
	{Name: "the leader and a member die together", victim: 3, Own: Limit{6.3, 6.9}, Others: Limit{0, 6.9},
		play: func(s *sim) {
			s.nodes[3].crash()
			s.nodes[0].crash()
		}},
	{Name: "a member dies, and the leader 4 s later", victim: 3, Own: Limit{10.3, 10.8}, Others: Limit{0, 6.8},
		play: func(s *sim) {
			s.nodes[3].crash()
			s.at(4, s.nodes[0].crash)
		}},
	{Name: "a member dies, and leadership moves 15 s later", victim: 3, Own: Limit{4.5, 5.1}, Others: Limit{0, 1},
		play: func(s *sim) {
			s.nodes[3].crash()
			s.at(15, s.nodes[1].campaign)
		}},
	{Name: "kill -9, and a restart under the same name 0.3 s later", victim: 3, Own: Limit{4.5, 5.1}, Others: Limit{0, 0},
		play: func(s *sim) {
			s.nodes[3].crash()
			s.at(0.3, func() { s.boot(3) })
		}},
	{Name: "SIGTERM of a member", victim: 3, Own: Limit{0.1, 0.3}, Others: Limit{0, 0.2}, Leaves: 0.3,
		play: func(s *sim) { s.nodes[3].leave(func() {}) }},
	{Name: "SIGTERM of a member, and leadership moves within 0.3 s", victim: 3, Own: Limit{0.1, 0.3}, Others: Limit{0, 0.2}, Leaves: 0.3,
		play: func(s *sim) {
			s.nodes[3].leave(func() {})
			s.at(s.r.Float64()*0.3, s.nodes[1].campaign)
		}},
	{Name: "SIGTERM of the leader", victim: 0, Own: Limit{0.1, 0.2}, Others: Limit{0, 0.2}, Leaves: 0.3,
		play: func(s *sim) { s.nodes[0].leave(func() {}) }},
	{Name: "one joins", victim: 5, Own: Limit{0, 1}, Others: Limit{0, 0},
		play: func(s *sim) { s.boot(5) }},
	{Name: "three join at once", victim: 5, Own: Limit{0, 1}, Others: Limit{0, 0},
		play: func(s *sim) { s.boot(5); s.boot(6); s.boot(7) }},
	{Name: "leadership moves 1 s after a join", victim: 5, Own: Limit{0, 0.7}, Others: Limit{0, 0},
		play: func(s *sim) {
			s.boot(5)
			s.at(1, s.nodes[1].campaign)
		}},
	{Name: "the leader dies within 1 s of a join", victim: 0, Own: Limit{6.3, 7}, Others: Limit{0, 6.6},
		play: func(s *sim) {
			s.boot(5)
			s.at(s.r.Float64(), s.nodes[0].crash)
		}},
	{Name: "one joins while another is paused, but has not failed yet", victim: 3, Own: Limit{4.5, 5.1}, Others: Limit{0, 4.6},
		play: func(s *sim) {
			s.nodes[3].pause(20)
			s.at(0.3, func() { s.boot(5) })
		}},
	{Name: "split: the leader and a member against three", victim: 3, Own: Limit{6.3, 7}, Others: Limit{0, 7},
		play: func(s *sim) { s.isolate(true, 0, 3) }},
	{Name: "split: the leader against four", victim: 0, Own: Limit{6.3, 6.9}, Others: Limit{0, 2.3},
		play: func(s *sim) { s.isolate(true, 0) }},
	{Name: "a member hears nothing, and is heard", victim: 3, Own: Limit{5.5, 6.2}, Others: Limit{0, 0.8},
		play: func(s *sim) {
			for i := range s.nodes {
				s.cut[i][3] = i != 3
			}
		}},
	{Name: "a member hears all, and is not heard", victim: 3, Own: Limit{4.5, 5.1}, Others: Limit{0, 1},
		play: func(s *sim) { s.mute(3) }},
	{Name: "a member is wrongly suspected for 1 s", victim: 3, Own: Limit{0, 0.8}, Others: Limit{0, 0},
		play: func(s *sim) { s.suspect(3, 1) }},
	{Name: "a member is wrongly suspected every 0.7 s", victim: 3, Own: Limit{0, 1}, Others: Limit{0, 0},
		play: func(s *sim) { s.flap(30) }},
	{Name: "rolling restart of all, 4 s apart", victim: 0, Own: Limit{0.1, 0.2}, Others: Limit{0.1, 0.3}, Leaves: 0.3,
		play: func(s *sim) {
			for slot := range 5 {
				s.at(float64(slot)*4, func() {
					s.nodes[slot].leave(func() { s.at(0.3, func() { s.boot(slot) }) })
				})
			}
		}},
	{Name: "rolling restart of all, 0.3 s apart", victim: 0, Own: Limit{0.1, 0.2}, Others: Limit{0.1, 0.2}, Leaves: 0.3,
		play: func(s *sim) { s.roll(0, 0.3) }},
	{Name: "all voters die", victim: 3, Own: Limit{25.6, 26.1}, Others: Limit{30, 30.1},
		play: func(s *sim) {
			for slot := range voters {
				s.nodes[slot].crash()
			}
		}},
}

// roll restarts the slots from one on, each some time after the one before is back.
func (s *sim) roll(slot int, apart float64) {
	if slot < 5 {
		s.nodes[slot].leave(func() {
			s.at(0.3, func() { s.boot(slot) })
			s.at(0.3+apart, func() { s.roll(slot+1, apart) })
		})
	}
}

func (s *sim) flap(times int) {
	if times > 0 {
		s.suspect(3, 0.35)
		s.at(0.7, func() { s.flap(times - 1) })
	}
}
