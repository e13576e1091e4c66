//go:build unix

package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// The checker: a pure function from what happened to what was wrong with it. Here are the
// rules of requests and runs; rules_*.go have the others.

const (
	settleTime = 10 * time.Second        // after a fault, in which the cluster may still be at odds
	slowCall   = 500 * time.Millisecond  // worth counting
	slowest    = 4500 * time.Millisecond // a call: 3 s for the fault that it meets, and slack for a busy machine
	lateCall   = time.Second             // a call when all faults have long been met
	staleSlack = 100 * time.Millisecond  // by which an answer may be older than it should be, or than it says
	travelTime = 2 * time.Second         // and one that is handed off: nobody knows how long it is on its way
	viewTime   = 5 * time.Second         // until a direct client that did not meet a fault itself asks who is a member
	ageSlack   = 250 * time.Millisecond  // by which a worker may be older than its run
)

// A Rule is a thing that must hold. Its text is the violation.
type Rule string

const (
	ruleFailed   Rule = "a call failed at a live node"
	ruleSlow     Rule = "a call took too long"
	ruleLate     Rule = "a call waited for a fault that is known already"
	ruleRun      Rule = "an answer without its run"
	ruleAge      Rule = "an answer was too old, or told a wrong age"
	ruleOverlap  Rule = "two runs of an id at once on one node"
	ruleSplit    Rule = "two runs of an id at once on two nodes of a whole cluster"
	ruleDegraded Rule = "a degraded answer in a whole cluster"
	ruleViews    Rule = "the views do not agree after the faults"
	ruleGrowth   Rule = "a node has grown"
	ruleProcess  Rule = "a process did not end as it should"
)

// check checks all rules.
func check(h *history) *Report {
	h = h.withStarved()
	r := &Report{Violations: map[Rule][]string{}, SlowBy: map[int]int{}, history: h, served: map[int64][]placedRun{}, stopped: map[int][]span{}}
	for _, p := range h.Processes {
		for _, s := range p.Stalls {
			r.Stalled += s.End - s.Begin - s.shared(p.Pauses)
		}
		r.stopped[p.Node] = slices.Concat(r.stopped[p.Node], p.Stalls, p.Pauses)
	}
	for i, spans := range r.stopped {
		r.stopped[i] = inOrder(spans)
	}
	r.starved = map[int][]span{}
	for _, f := range h.Faults {
		if f.Kind == faultStarved {
			r.starved[f.Nodes[0]] = append(r.starved[f.Nodes[0]], f.span)
		}
	}
	for i, spans := range r.starved {
		r.starved[i] = inOrder(spans)
	}
	r.checkServers()
	for i, p := range h.Processes {
		for _, text := range p.Problems {
			r.violate(ruleProcess, "%v process %d of node %d: %s", p.Life.End, i, p.Node, text)
		}
		for j := range p.Calls {
			r.checkCall(p, &p.Calls[j])
		}
		r.Runs += len(p.Runs)
	}
	r.checkRuns()
	r.checkViews()
	r.checkGrowth()
	r.checkHostile()
	r.checkPrograms()
	r.checkTwins()
	if h.Lease > 0 {
		r.checkStrict()
	}
	return r
}

// excused reports whether a call may fail or be slow because of its own node: it was
// paused or starved, or left while another fault was on. A client's call is also excused
// if its node was struck at all, because the client needs a new session. A node that
// leaves excuses only calls after its drain delay.
func (r *Report) excused(p *processHistory, c *callEntry) bool {
	h := r.history
	switch {
	case c.shared(p.Pauses) > 0, c.shared(p.starving) > 0, c.End > h.End:
		return true
	case p.Asked != 0 && c.End >= p.Asked:
		return c.Begin > p.Asked+faultDrain/2 || h.failing(c.span, 0)
	case c.By == balancerKind:
		return h.failing(c.span, 0)
	case c.By == webClient && c.refused() && h.down(c.Via, c.span):
		return true
	}
	return c.Via != 0 && h.failing(c.span, c.Via)
}

// refused reports whether nothing listened where the call was to be made: the request did
// not run.
func (c *callEntry) refused() bool {
	return c.Outcome == worker.OutcomeNotRun && strings.Contains(c.Err, "connection refused")
}

// down reports whether a node was leaving in s, or had left and was not back yet. A node
// that is to join another one counts as back when it has joined, which its first view
// shows.
func (h *history) down(i int, s span) bool {
	if slices.ContainsFunc(h.Faults, func(f fault) bool {
		return f.Kind == faultTerm && slices.Contains(f.Nodes, i) && s.overlaps(f.span)
	}) {
		return true
	}
	left := time.Duration(0)
	for _, p := range h.Processes {
		if p.Node != i || p.Twin {
			continue
		}
		there := len(p.Views) > 0
		if left != 0 && there && s.overlaps(span{left, p.Views[0].At}) {
			return true
		}
		if there || p.Asked != 0 { // else it was killed before it was there
			left = p.Asked
		}
	}
	return left != 0 && left < s.End
}

func (r *Report) checkCall(p *processHistory, c *callEntry) {
	if c.Message != 0 {
		r.checkMessage(p, c)
		return
	}
	h := r.history
	r.Calls++
	name := func() string {
		return fmt.Sprintf("%v at %d: call of %d for %v: %+v", c.Begin, p.Node+c.Via, c.ID, c.End-c.Begin, *c)
	}
	took := c.End - c.Begin - c.shared(r.stopped[p.Node], r.stopped[max(c.Via, p.Node)])
	if excused := r.excused(p, c); !excused {
		r.checkTime(c, took, name)
		if c.Err != "" && !c.hurried() {
			r.Failed++
			r.violate(ruleFailed, "%s", name())
		}
	} else if c.Err != "" {
		r.Excused++
	}
	if c.Err != "" {
		r.CallErrors[c.Outcome]++
		return
	}
	if c.Degraded {
		r.Degraded++
		if !h.troubled(c.span, 0) {
			r.violate(ruleDegraded, "%s", name())
		}
	}
	r.checkAnswer(c, name)
}

// checkTime checks how long a call took, not counting pauses of its own process.
func (r *Report) checkTime(c *callEntry, took time.Duration, name func() string) {
	r.Longest = max(r.Longest, took)
	if took <= slowCall {
		return
	}
	r.Slow++
	cause, change := 0, time.Duration(0)
	for i, f := range r.history.Faults {
		if f.Begin <= c.Begin+slowCall {
			cause = i
		}
		if f.Kind == faultStarved && f.overlaps(c.span) {
			change = c.Begin // at times it runs, so nobody knows it as failed
		}
		for _, at := range []time.Duration{f.Begin, f.End} {
			if f.trouble().End > 0 && at <= c.End {
				change = max(change, at)
			}
		}
	}
	r.SlowBy[cause]++
	if took > slowest {
		r.violate(ruleSlow, "%s", name())
	}
	known := change + slowest
	if c.By == directClient {
		known += viewTime
	}
	if took > lateCall && c.Begin > known {
		r.violate(ruleLate, "%s", name())
	}
}

// checkAnswer traces an answer to its run.
func (r *Report) checkAnswer(c *callEntry, name func() string) {
	h := r.history
	number := int(c.Value >> 32)
	if number < 0 || number >= len(h.Processes) || h.Processes[number].Runs[c.Value] == nil {
		r.violate(ruleRun, "no such run: %s", name())
		return
	}
	p := h.Processes[number]
	run := p.Runs[c.Value]
	switch {
	case run.ID != c.ID, run.Failed, run.End == 0, run.End > c.End:
		r.violate(ruleRun, "%+v is not its run: %s", *run, name())
		return
	case p.Node == c.Node:
	case c.Cached && h.troubled(c.span, 0):
		r.Handed++ // the owner changed, and the new one took over the answer
	default:
		r.violate(ruleRun, "%+v ran on node %d: %s", *run, p.Node, name())
	}
	r.checkAge(c, run, p.Node, name)
}

// checkAge checks that the answer of a run was not too old: at some time after the call
// began, the worker had not expired. A worker whose run takes longer than the TTL still
// answers the callers that wait for it.
func (r *Report) checkAge(c *callEntry, run *runEntry, ranOn int, name func() string) {
	held := span{min(run.Begin, c.End-c.Age), c.End}.shared( // in the middle of that
		r.stopped[ranOn], r.stopped[c.Node], r.starved[ranOn], r.starved[c.Node])
	late := c.Begin - max(run.Begin+r.history.TTL, run.End)
	slack := staleSlack + held
	if ranOn == c.Node && c.Cached && r.history.troubled(span{run.Begin, c.End}, 0) {
		slack += travelTime // it may have been handed off, and back
	}
	if ranOn != c.Node {
		r.Stale = max(r.Stale, late)
		slack += travelTime
	}
	if late > slack {
		r.violate(ruleAge, "%v too old, %+v: %s", late, *run, name())
	}
	if c.Begin-c.Age > run.Begin+slack || c.End-c.Age < run.Begin-ageSlack-held {
		r.violate(ruleAge, "its age is wrong, %+v: %s", *run, name())
	}
}

// checkRuns looks for runs of one id at the same time.
func (r *Report) checkRuns() {
	byID := map[int64][]placed{}
	for _, p := range r.history.Processes {
		for _, run := range p.Runs {
			byID[run.ID] = append(byID[run.ID], p.place(run.span))
		}
	}
	for id, runs := range byID {
		overlaps(runs, func(a, b placed, both span) {
			if a.node == b.node {
				r.violate(ruleOverlap, "id %d on node %d: %+v, %+v", id, a.node, a.span, b.span)
				return
			}
			r.Splits++
			r.SplitTime += both.End - both.Begin
			if !r.history.troubled(both, 0) {
				r.violate(ruleSplit, "id %d: on %d %+v, on %d %+v", id, a.node, a.span, b.node, b.span)
			}
		})
	}
}
