package model

// A call is one run of an id.
type call struct {
	n          *node
	id         id
	epoch      int
	token      token
	generation int
	start, end float64 // in real time
	until      float64 // when the lease of the start ended, in real time
	acked      bool
	refused    bool // the resource refused an operation of it
	wronged    bool // the resource did so under a valid lease
	orphan     bool // its program goes on though the process has died
	done       bool
}

// A token rises with each run of an id.
type token struct{ epoch, counter int }

func (t token) less(o token) bool {
	return t.epoch < o.epoch || t.epoch == o.epoch && t.counter < o.counter
}

// may is the check before a start.
func (n *node) may(x id) bool {
	if !n.leased() || !n.acts(x) {
		return false
	}
	if n.mutant != olderViewsUnchecked {
		for _, v := range n.views[:len(n.views)-1] {
			m := v.acting(x)
			if m == nobody || m == n.me {
				continue
			}
			f := n.facts[m]
			if f.p <= v.epoch || f.busy.has(x) && n.mutant != busyUnchecked {
				return false
			}
		}
	}
	if n.mutant == busyUnchecked || n.mutant == busyWhileViewLives || n.mutant == olderViewsUnchecked {
		return true
	}
	for m, f := range n.facts {
		if m != n.me && f.busy.has(x) {
			return false
		}
	}
	return true
}

// mayAnswer is the check before an answer: the lease has held without a gap since the
// start.
func (n *node) mayAnswer(c *call) bool {
	switch n.mutant {
	case answerUnchecked:
		return true
	case answerIfMayStart:
		return n.may(c.id)
	}
	return n.leased() && c.generation == n.generation
}

func (n *node) tryAll() {
	for x := range n.ids {
		n.try(id(x))
	}
}

// try starts a call if the process may. The check, the token and the entry among the
// running calls are one step; the handler runs in later ones.
func (n *node) try(x id) {
	if n.leaving || n.runs[x] != nil || !n.may(x) {
		return
	}
	n.counter++
	c := &call{n: n, id: x, epoch: newest(n.views).epoch, generation: n.generation, start: n.now, until: n.leaseOver()}
	c.token = token{c.epoch, n.counter}
	n.history.add(c)
	gap := 0.0
	if n.mutant == registersLate || !n.calm && n.r.IntN(3) == 0 {
		gap = n.r.Float64() * 0.3
	}
	if n.mutant == registersLate {
		n.after(gap, func() {
			if n.runs[x] == nil {
				n.runs[x] = c
				n.handle(c)
			}
		})
		return
	}
	n.runs[x] = c
	n.maybePause(0)
	n.after(gap, func() { n.handle(c) })
}

// maybePause pauses the process now and then, within d seconds.
func (n *node) maybePause(d float64) {
	if !n.calm && n.r.IntN(150) == 0 {
		n.at(d*n.r.Float64(), func() { n.pause(n.r.Float64() * 12) })
	}
}

// handle runs the handler of a call: two operations on the resource, and the end.
func (n *node) handle(c *call) {
	d := n.callTime()
	for range 2 {
		n.during(c, d*n.r.Float64(), func() { n.history.operate(c) })
	}
	n.maybePause(d)
	n.during(c, d, func() { n.finish(c) })
}

// callTime draws how long a call runs.
func (n *node) callTime() float64 {
	switch x := n.r.IntN(40); {
	case n.longCalls > 0 && x < 20:
		return n.longCalls
	case n.calm || x < 34:
		return n.r.Float64() * 0.03
	case x < 38:
		return n.r.Float64() * 3
	}
	return n.r.Float64() * 16
}

// during runs f after d seconds as a step of a call. A program that has outlived its
// process still takes its steps.
func (n *node) during(c *call, d float64, f func()) {
	n.at(d, func() {
		switch {
		case c.done || !n.up && !c.orphan:
		case n.up && n.paused > n.now:
			n.during(c, n.paused-n.now, f)
		default:
			f()
		}
	})
}

// finish ends a call. If others wait for the id, the process says at once that it is
// free.
func (n *node) finish(c *call) {
	n.history.finish(c, n.up && !c.orphan && n.mayAnswer(c))
	if !n.up || n.runs[c.id] != c {
		return
	}
	n.runs[c.id] = nil
	if (!n.acts(c.id) || n.leaving) && n.mutant != renewsBySecond {
		n.renew()
	}
}

// leaseOver returns when the lease ends in real time, if it is not renewed.
func (n *node) leaseOver() float64 { return n.now + (n.leaseEnd-n.clock())/n.rate }

// noteLease notes the end of the lease in the calls that it covers.
func (n *node) noteLease() { n.noteEnd(n.leaseOver()) }

func (n *node) noteEnd(t float64) {
	for _, c := range n.runs {
		if c != nil && c.generation == n.generation {
			c.until = t
		}
	}
}
