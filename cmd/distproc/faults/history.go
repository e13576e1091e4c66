//go:build unix

package faults

import (
	"cmp"
	"slices"
	"time"
)

// A history is all that happened in one run of the harness.
type history struct {
	TTL       time.Duration
	Lease     time.Duration // of strict kinds; 0 if the run is about others
	Nodes     int           // 1 to Nodes
	End       time.Duration // when the harness began to stop all
	Processes []*processHistory
	Faults    []fault // in order; the first is the start
}

// A fault that was on from Begin to End: restarted nodes are up by then.
type fault struct {
	Kind  faultKind
	Nodes []int
	span
	Logged int64         // bytes that the first of the nodes logged in that time, lines of level debug apart
	Healed time.Duration // when the split of a twin was over
	target target        // in a run of strict kinds
	how    string
	before int64 // what Logged counts from
}

// trouble returns the time in which f may make views differ and calls slow. Faults that a
// node must bear cause none. Two nodes that do not reach each other cause none as soon as
// they know it: their calls go by a third node.
func (f fault) trouble() span {
	switch {
	case slices.Contains(hostileFaults, f.Kind):
		return span{}
	case f.Kind == faultPair:
		return span{f.Begin, f.Begin + pairTime}
	}
	return span{f.Begin, f.End + settleTime}
}

// starved returns the times at which a process hardly ran although nothing was done to
// it. Others may take its node for failed, as if it had been paused.
func (p *processHistory) starved() (spans []span) {
	for _, s := range p.Stalls {
		before := span{min(s.Begin, s.End-signTime), s.End}
		if before.shared(p.Stalls)-before.shared(p.Pauses) > pauseTime {
			spans = append(spans, before)
		}
	}
	return inOrder(spans)
}

// withStarved returns h with an additional fault for each time at which a node was
// starved.
func (h *history) withStarved() *history {
	with := *h
	with.Faults = slices.Clone(h.Faults)
	for _, p := range h.Processes {
		p.starving = p.starved()
		if p.Node == 0 {
			continue
		}
		for _, s := range p.starving {
			with.Faults = append(with.Faults, fault{Kind: faultStarved, Nodes: []int{p.Node}, span: s})
		}
	}
	slices.SortStableFunc(with.Faults, func(a, b fault) int { return cmp.Compare(a.Begin, b.Begin) })
	return &with
}

// unlike returns the time until which nodes may disagree because of f about which nodes
// are alive. A node lists a member that it does not reach itself as failed, even if calls
// go by a third node.
func (f fault) unlike() time.Duration { return f.End + settleTime }

// graceful reports whether f asks nodes to leave, which must fail no call.
func (f fault) graceful() bool { return f.Kind == faultTerm || f.Kind == faultRoll }

// troubled reports whether a fault of node i, or of any node if i is 0, was on during s
// or within the settle time before.
func (h *history) troubled(s span, i int) bool {
	return s.End > h.End || slices.ContainsFunc(h.Faults, func(f fault) bool { return f.strikes(s, i) })
}

// failing is troubled, but does not count graceful faults.
func (h *history) failing(s span, i int) bool {
	return s.End > h.End || slices.ContainsFunc(h.Faults, func(f fault) bool { return !f.graceful() && f.strikes(s, i) })
}

func (f fault) strikes(s span, i int) bool {
	return s.overlaps(f.trouble()) && (i == 0 || slices.Contains(f.Nodes, i))
}

// A processHistory is the life of one process.
type processHistory struct {
	Node     int           // 0 for clients
	Twin     bool          // another process of that name, on another host
	Life     span          // End is when it was seen to have ended
	Asked    time.Duration // when it was sent SIGTERM; 0 if it was not
	Pauses   []span
	Problems []string // how it ended, if that is wrong, and panics in its log

	Runs     map[int64]*runEntry
	Servers  map[int64]*serverEntry
	Served   map[int64]*servedEntry
	Programs []programEntry
	Calls    []callEntry

	StrictCalls map[int64]*strictCall // by message
	StrictRuns  map[int64]*strictRun
	Writes      []writeEntry // in order

	Views    []viewEntry
	Sizes    []sizeEntry
	Peak     uint64 // bytes of memory, at most
	Stalls   []span
	starving []span // see starved; withStarved sets it
}

func (s span) overlaps(o span) bool { return s.Begin < o.End && o.Begin < s.End }

// shared returns how long s and any of the others were on at the same time. Each of the
// others is in order.
func (s span) shared(others ...[]span) (sum time.Duration) {
	var all []span
	for _, o := range others {
		i, _ := slices.BinarySearchFunc(o, s.Begin, func(o span, at time.Duration) int { return cmp.Compare(o.End, at) })
		for ; i < len(o) && o[i].Begin < s.End; i++ {
			all = append(all, o[i])
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.Begin, b.Begin) })
	from := s.Begin
	for _, o := range all {
		if begin, end := max(from, o.Begin), min(s.End, o.End); begin < end {
			sum += end - begin
			from = end
		}
	}
	return sum
}

// inOrder joins spans that overlap.
func inOrder(spans []span) (joined []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.Begin, b.Begin) })
	for _, s := range spans {
		if n := len(joined); n > 0 && s.Begin <= joined[n-1].End {
			joined[n-1].End = max(joined[n-1].End, s.End)
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}

// A placed thing was on a node for a time.
type placed struct {
	span
	node int
}

// place returns a thing of the process that existed for s. Without an End it lasted until
// the process was killed.
func (p *processHistory) place(s span) placed {
	if s.End == 0 {
		s.End = p.Life.End
	}
	return placed{s, p.host()}
}

// overlaps calls found for each two things that overlap in time.
func overlaps(list []placed, found func(a, b placed, both span)) {
	slices.SortFunc(list, func(a, b placed) int { return cmp.Compare(a.Begin, b.Begin) })
	var on []placed // at the time
	for _, b := range list {
		on = slices.DeleteFunc(on, func(a placed) bool { return a.End <= b.Begin })
		for _, a := range on {
			if both := (span{b.Begin, min(a.End, b.End)}); both.Begin < both.End {
				found(a, b, both)
			}
		}
		on = append(on, b)
	}
}

// host returns the number of the process's host. A twin has another one than its node.
func (p *processHistory) host() int {
	if p.Twin {
		return p.Node + faultNodes
	}
	return p.Node
}

// hostNode returns the node that is on a host.
func hostNode(host int) int { return (host-1)%faultNodes + 1 }
