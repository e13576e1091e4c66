package model

import (
	"fmt"
	"slices"
	"sort"
)

// A history has every run of every id, and plays the resource that the runs work on.
type history struct {
	*sim
	calls [][]*call // by id
	high  []token   // the highest token that the resource has seen, by id
}

// A Breach is a way in which a guarantee breaks.
type Breach uint8

// The breaches that a history is checked for.
const (
	Overlap Breach = iota // two runs of an id at once, both under valid leases
	Torn                  // an acknowledged run with another one inside
	Falling               // a token no higher than an earlier one
	Refused               // the resource refused a run under a valid lease
	Fenced                // the resource refused an acknowledged run
	Stuck                 // an id without a place long after the last fault

	breaches // how many there are
)

var breachTexts = [breaches]string{
	Overlap: "two runs at once under valid leases",
	Torn:    "an acknowledged run has another one inside",
	Falling: "the token does not rise",
	Refused: "the resource refused a run under a valid lease",
	Fenced:  "the resource refused an acknowledged run",
	Stuck:   "an id has no place long after the last fault",
}

func (b Breach) String() string { return breachTexts[b] }

// A Result is the outcome of a run of the simulation.
type Result struct {
	Breaches [breaches]int
	First    string // describes the first breach
	Calls    int
	Unknown  int // calls that were not acknowledged
}

// Bad reports that a guarantee broke.
func (r Result) Bad() bool { return r.Breaches != [breaches]int{} }

// Add adds the counts of o to r.
func (r *Result) Add(o Result) {
	for b, n := range o.Breaches {
		r.Breaches[b] += n
	}
	r.Calls += o.Calls
	r.Unknown += o.Unknown
	if r.First == "" {
		r.First = o.First
	}
}

// found adds a breach of an id by the calls.
func (r *Result) found(b Breach, x id, calls ...*call) {
	r.Breaches[b]++
	if r.First != "" {
		return
	}
	r.First = fmt.Sprintf("%v: id %d", b, x)
	for _, c := range calls {
		r.First += "\n\t" + c.String()
	}
}

func (c *call) String() string {
	return fmt.Sprintf("%.3f-%.3f at slot %d, incarnation %d (token %d.%d, lease until %.3f, acknowledged: %v)",
		c.start, c.end, c.n.me.slot, c.n.me.incarnation, c.token.epoch, c.token.counter, c.until, c.acked)
}

func (h *history) add(c *call) { h.calls[c.id] = append(h.calls[c.id], c) }

// slack is the error of sums of times.
const slack = 1e-9

// operate is an operation of a call on the resource, which refuses a token below the
// highest one that it has seen.
func (h *history) operate(c *call) {
	if c.token.less(h.high[c.id]) {
		c.refused = true
		c.wronged = c.wronged || h.now < c.until-slack
		return
	}
	h.high[c.id] = c.token
}

func (h *history) finish(c *call, acked bool) {
	if !c.done {
		c.done, c.end, c.acked = true, h.now, acked
	}
}

// result ends the run. It looks for an id that has no place for a second, and checks the
// history.
func (s *sim) result() Result {
	had := make([]bool, s.ids)
	for range 10 {
		s.run(s.now + 0.1)
		for x := range had {
			had[x] = had[x] || slices.ContainsFunc(s.nodes, func(n *node) bool { return n != nil && n.places(id(x)) })
		}
	}
	r := s.history.check()
	for x, ok := range had {
		if !ok {
			r.found(Stuck, id(x))
		}
	}
	return r
}

// check compares the runs of each id.
func (h *history) check() (r Result) {
	for _, calls := range h.calls {
		for _, c := range calls {
			h.finish(c, false)
		}
		sort.SliceStable(calls, func(i, j int) bool { return calls[i].start < calls[j].start })
		var top *call
		for i, c := range calls {
			r.Calls++
			if !c.acked {
				r.Unknown++
			}
			if c.wronged {
				r.found(Refused, c.id, c)
			}
			if c.acked && c.refused {
				r.found(Fenced, c.id, c)
			}
			if top != nil && !top.token.less(c.token) {
				r.found(Falling, c.id, top, c)
			} else {
				top = c
			}
			r.compare(c, calls[i+1:])
		}
	}
	return r
}

// compare compares a run with those that started after it.
func (r *Result) compare(c *call, later []*call) {
	for _, d := range later {
		switch {
		case d.start >= c.end-slack:
			return
		case d.start < min(c.end, c.until)-slack && d.start < min(d.end, d.until)-slack:
			r.found(Overlap, c.id, c, d)
		case c.acked && d.until > d.start:
			r.found(Torn, c.id, c, d)
		}
	}
}
