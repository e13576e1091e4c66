//go:build unix

package faults

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// The rules for the time without faults: the views agree, and nothing has grown.

// quiet returns the times at which the cluster had to be whole and settled.
func (h *history) quiet() (spans []span) {
	faults := slices.SortedFunc(slices.Values(h.Faults), func(a, b fault) int { return cmp.Compare(a.Begin, b.Begin) })
	if len(faults) == 0 {
		return nil
	}
	from := time.Duration(0)
	for i, f := range faults {
		trouble := f.trouble()
		if trouble.End == 0 {
			continue
		}
		if i > 0 && from < f.Begin {
			spans = append(spans, span{from, f.Begin})
		}
		from = max(from, trouble.End, f.unlike())
	}
	if from < h.End {
		spans = append(spans, span{from, h.End})
	}
	return spans
}

// viewsAt returns the view of each node at a time, "" for a node that was down.
func (h *history) viewsAt(at time.Duration) []string {
	views := make([]string, h.Nodes)
	for _, p := range h.Processes {
		if p.Node == 0 || p.Twin || at < p.Life.Begin || at >= p.Life.End {
			continue
		}
		for _, v := range p.Views {
			if v.At <= at {
				views[p.Node-1] = v.Text
			}
		}
	}
	return views
}

// whole reports whether all nodes see all nodes alive, and nothing else.
func (h *history) whole(views []string) bool {
	return len(slices.Compact(slices.Clone(views))) == 1 && strings.Count(views[0], " alive ") == h.Nodes &&
		strings.Count(views[0], ",") == h.Nodes
}

// changes returns the times at which a view changed within s, after the begin of s.
func (h *history) changes(s span) []time.Duration {
	at := []time.Duration{s.Begin}
	for _, p := range h.Processes {
		for _, v := range p.Views {
			if s.Begin < v.At && v.At < s.End {
				at = append(at, v.At)
			}
		}
	}
	slices.Sort(at)
	return at
}

// checkViews checks that the views agree whenever the cluster had to be settled, and
// measures how long that took.
func (r *Report) checkViews() {
	h := r.history
	for _, s := range h.quiet() {
		if h.Lease > 0 {
			r.checkAgreed(s)
			continue
		}
		for _, at := range h.changes(s) {
			if views := h.viewsAt(at); !h.whole(views) {
				r.violate(ruleViews, "%v, %v after the last fault:\n\t%s", at, at-s.Begin+settleTime, strings.Join(views, "\n\t"))
			}
		}
		r.Agreed = max(r.Agreed, h.agreed(span{s.Begin - settleTime, s.End}))
	}
}

// checkAgreed checks that the views agreed at some time in the second half of settleTime,
// which ends when s begins. A run of strict kinds is not alone on the machine, so a node may
// be taken for failed only because it is slow. TestFaults, which is alone, forbids that, too.
func (r *Report) checkAgreed(s span) {
	h := r.history
	r.Agreed = max(r.Agreed, h.agreed(span{s.Begin - settleTime, s.Begin}))
	for _, at := range h.changes(span{s.Begin - settleTime/2, s.Begin + 1}) {
		if h.whole(h.viewsAt(at)) {
			return
		}
	}
	r.violate(ruleViews, "%v, %v after the last fault:\n\t%s", s.Begin, settleTime, strings.Join(h.viewsAt(s.Begin), "\n\t"))
}

// agreed returns how long after the begin of s the views began to agree until its end.
func (h *history) agreed(s span) time.Duration {
	agreed := s.End - s.Begin
	for _, at := range slices.Backward(h.changes(s)) {
		if !h.whole(h.viewsAt(at)) {
			break
		}
		agreed = at - s.Begin
	}
	return agreed
}

// checkGrowth compares what the nodes use at the end with what they used before the first
// fault. It takes the smallest figures, as calls are in flight at other times. A process
// that was started in between is held to the same.
func (r *Report) checkGrowth() {
	h := r.history
	quiet := h.quiet()
	first, ok := h.atFirst()
	if !ok || len(quiet) == 0 {
		return
	}
	for _, p := range h.Processes {
		s, ok := p.least(span{quiet[len(quiet)-1].Begin, h.End})
		if ok && p.Node != 0 && (s.Goroutines > first.Goroutines*3/2+20 || s.Heap > first.Heap*2+4<<20 || s.Files > first.Files*3/2+20) {
			r.violate(ruleGrowth, "node %d: %d goroutines, %d KiB and %d files in use, at first at most %d, %d and %d",
				p.Node, s.Goroutines, s.Heap>>10, s.Files, first.Goroutines, first.Heap>>10, first.Files)
		}
	}
}

// atFirst returns what a node used at most before the first fault, not counting the start
// and starved nodes.
func (h *history) atFirst() (most sizeEntry, ok bool) {
	struck := slices.IndexFunc(h.Faults, func(f fault) bool { return f.Kind != faultStart && f.Kind != faultStarved })
	if struck < 0 {
		return most, false
	}
	first := span{h.Faults[0].End + formTime/2, h.Faults[struck].Begin} // the first one is the start
	for _, p := range h.Processes {
		if s, known := p.least(first); known && p.Node != 0 {
			most.Goroutines, most.Heap, most.Files = max(most.Goroutines, s.Goroutines), max(most.Heap, s.Heap), max(most.Files, s.Files)
			ok = true
		}
	}
	return most, ok
}

// least returns the smallest size of a process within s.
func (p *processHistory) least(s span) (least sizeEntry, ok bool) {
	for _, size := range p.Sizes {
		if s.Begin <= size.At && size.At < s.End {
			if !ok {
				least = size
			}
			least.Goroutines, least.Heap, least.Files = min(least.Goroutines, size.Goroutines), min(least.Heap, size.Heap), min(least.Files, size.Files)
			ok = true
		}
	}
	return least, ok
}
