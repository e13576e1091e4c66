//go:build unix

package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// The rules for the serial kind: an id has one server, and a message runs once.

const (
	recoverTime = 10 * time.Second        // after a fault: 6 s until all have seen it, 3 s of a barrier that meets it, and slack
	callTime    = 5500 * time.Millisecond // a call has 5 s
	joinTime    = time.Second             // from when a new process has met another one, until its servers are where they belong
	pauseTime   = time.Second             // a process that stands still for longer within signTime may be taken for paused
	signTime    = 3 * time.Second         // from a sign of life to the time when others take a node for failed without one
)

const (
	ruleOnce    Rule = "a message ran more than once"
	ruleOutcome Rule = "what was said of a message is not true"
	ruleThrough Rule = "a message did not get through"
	ruleServers Rule = "two servers of an id at once"
)

// A placedRun is a run of a message, with the node on which it was.
type placedRun struct {
	*servedEntry
	node int
}

// checkServers looks for servers of one id at the same time, and for messages that ran
// twice.
func (r *Report) checkServers() {
	lives, runs, byID := map[int64][]placed{}, map[int64][]placed{}, map[int64][]placedRun{}
	for _, p := range r.history.Processes {
		met := p.met()
		for _, s := range p.Servers {
			life := p.place(s.span)
			if s.Begin < met {
				life.Begin = min(life.End, met+joinTime) // the only one that it knew of: until then it may have been one of two
			}
			lives[s.ID] = append(lives[s.ID], life)
		}
		for _, s := range p.Served {
			runs[s.ID] = append(runs[s.ID], p.place(s.span))
			run := placedRun{s, p.host()}
			r.served[s.Message] = append(r.served[s.Message], run)
			byID[s.ID] = append(byID[s.ID], run)
		}
		r.Servers += len(p.Servers)
		r.Served += len(p.Served)
	}
	for message, list := range r.served {
		if len(list) > 1 {
			a, b := list[0], list[1]
			r.violate(ruleOnce, "message %d for %d: on node %d %+v, on node %d %+v", message, a.ID, a.node, a.span, b.node, b.span)
		}
	}
	for id, list := range byID {
		r.checkStale(id, list)
	}
	for id, list := range runs {
		overlaps(list, func(a, b placed, _ span) {
			if a.node == b.node {
				r.violate(ruleOverlap, "messages for %d on node %d: %+v, %+v", id, a.node, a.span, b.span)
			}
		})
	}
	for id, list := range lives {
		overlaps(list, func(a, b placed, both span) {
			length := both.End - both.Begin
			if a.node != b.node {
				r.Twins++
				r.TwinTime += length
				length -= both.shared(r.history.apart(a.node, b.node))
			}
			if length > 0 {
				r.violate(ruleServers, "id %d, %v: on node %d %+v, on node %d %+v", id, length, a.node, a.span, b.node, b.span)
			}
		})
	}
}

// apart returns the times at which two nodes may each have had a server of one id: one of
// them was paused, starved or cut off from the other, or the views did not agree yet
// after that. A fault of a third node is no excuse. Neither is it that one of the two was
// killed or left.
func (h *history) apart(a, b int) (spans []span) {
	for _, f := range h.Faults {
		hasA, hasB := slices.Contains(f.Nodes, a), slices.Contains(f.Nodes, b)
		switch {
		case f.Kind == faultStart:
			spans = append(spans, span{f.Begin, f.End + formTime})
		case f.Kind == faultTwin,
			f.Kind == faultPair && hasA && hasB,
			(hasA || hasB) && f.Kind == faultStarved,
			hasA != hasB && (f.Kind == faultPause || f.Kind != faultPair && slices.Contains(partitionFaults, f.Kind)):
			spans = append(spans, f.trouble())
		}
	}
	return inOrder(spans)
}

// met returns the time at which the process first knew of another node.
func (p *processHistory) met() time.Duration {
	for _, v := range p.Views {
		if v.cluster() {
			return v.At
		}
	}
	return p.Life.End
}

// cluster reports whether the node knew of another one.
func (v viewEntry) cluster() bool { return strings.Count(v.Text, ", ") > 1 }

// checkMessage checks that what was said of a message is true, and that it got through.
func (r *Report) checkMessage(p *processHistory, c *callEntry) {
	h := r.history
	r.Messages++
	name := func() string {
		return fmt.Sprintf("%v at %d: message for %v: %+v: %+v", c.Begin, p.Node+c.Via, c.ID, c.End-c.Begin, *c)
	}
	switch runs := r.served[c.Message]; {
	case len(runs) > 1: // that has been told
	case c.Err == "" && (len(runs) == 0 || !runs[0].answers(c)),
		c.Err != "" && c.Outcome == worker.OutcomeNotRun && len(runs) > 0,
		c.Err != "" && c.Outcome == worker.OutcomeRan && (len(runs) == 0 || !runs[0].Failed):
		r.violate(ruleOutcome, "%s; its runs: %+v", name(), runs)
	}
	if c.Err != "" {
		r.MessageErrors[c.Outcome]++
	}
	took := c.End - c.Begin - c.shared(r.stopped[p.Node], r.stopped[max(c.Via, p.Node)])
	failed := c.Err != "" && c.Outcome != worker.OutcomeRan && !c.hurried()
	if r.excused(p, c) {
		return
	}
	if failed && c.End < h.End {
		r.Recovered = max(r.Recovered, c.End-h.lastChange(c.End))
	}
	if took > callTime || failed && !h.shaken(c.End) && !r.queued(c, took) {
		r.violate(ruleThrough, "%s", name())
	}
}

// queued reports whether a message that failed had waited while servers of its id ran
// other messages. Then the message is not lost: a slow machine cannot run all that are
// sent.
func (r *Report) queued(c *callEntry, took time.Duration) bool {
	if !strings.Contains(c.Err, "deadline exceeded") {
		return false
	}
	var busy time.Duration
	for _, runs := range r.served {
		for _, run := range runs {
			if run.ID == c.ID {
				busy += c.shared([]span{run.span})
			}
		}
	}
	return busy > took*9/10
}

// answers reports whether the answer to c is that of the run.
func (s placedRun) answers(c *callEntry) bool {
	return s.Number == c.Value && s.ID == c.ID && hostNode(s.node) == c.Node && !s.Failed && c.Begin <= s.Begin && s.End <= c.End && s.End != 0
}

// shaken reports whether a recent fault may make messages fail at a time. A node that
// leaves or joins is no such fault.
func (h *history) shaken(at time.Duration) bool {
	return at > h.End || at-h.lastChange(at) < recoverTime
}

// lastChange returns when the last fault before a time began or ended, not counting
// graceful leaves and what a node must bear. While two nodes have one name, every moment
// is a change.
func (h *history) lastChange(before time.Duration) (last time.Duration) {
	for _, f := range h.Faults {
		if f.Kind == faultTwin && f.Begin <= before && before <= f.End {
			return before
		}
		for _, at := range []time.Duration{f.Begin, f.End} {
			if f.trouble().End > 0 && !f.graceful() && at <= before {
				last = max(last, at)
			}
		}
	}
	return last
}
