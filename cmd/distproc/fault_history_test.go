package main

import (
	"cmp"
	"slices"
	"time"
)

// A history is all that happened in one run of the harness.
type history struct {
	TTL       time.Duration
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
	Logged int64 // bytes that the first of the nodes logged in that time, lines of level debug apart
}

// A processHistory is the life of one process.
type processHistory struct {
	Node     int           // 0 for clients
	Life     span          // End is when it was seen to have ended
	Asked    time.Duration // when it was sent SIGTERM; 0 if it was not
	Pauses   []span
	Problems []string // how it ended, if that is wrong, and panics in its log

	Runs     map[int64]*runEntry
	Servers  map[int64]*serverEntry
	Served   map[int64]*servedEntry
	Programs []programEntry
	Calls    []callEntry
	Views    []viewEntry
	Sizes    []sizeEntry
	Peak     uint64 // bytes of memory, at most
	Stalls   []span
}

func (s span) overlaps(o span) bool { return s.Begin < o.End && o.Begin < s.End }

// shared returns how long s and any of the others were on at the same time. Each of the others is in order.
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
