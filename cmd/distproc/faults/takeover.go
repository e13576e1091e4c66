//go:build unix

package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// How long faults keep calls of strict kinds from running. The figures compare with the
// table of the model, where a lease is 5 s.

const takeoverTime = 8 * time.Second // after the end of a fault, in which it may still have an effect

// A Takeover is the times without an acknowledged call of an id in and after faults of a
// kind: those of the ids of the nodes that were struck, and of all others.
type Takeover struct {
	Fault       string
	Faults      int
	Own, Others []time.Duration // in order
}

// takeovers returns a line for each kind of fault that was struck while all was well: not
// soon after another one, nor after a voter has lost its disk.
func (h *history) takeovers(calls []*strictCall) (list []Takeover) {
	type place struct {
		kind string
		slot int64
	}
	answers := map[place][]time.Duration{}
	for _, c := range calls {
		if c.acknowledged() {
			p := place{c.Kind, slotOf(c.ID)}
			answers[p] = append(answers[p], c.End)
		}
	}
	for _, ends := range answers {
		slices.Sort(ends)
	}
	byName := map[string]*Takeover{}
	ended, wiped := time.Duration(0), false
	for i, f := range h.Faults {
		clean := f.Begin > ended+h.Lease && !wiped && f.Kind != faultStart && f.Kind != faultStarved
		together := []fault{f} // that strike at the same time
		next := h.End
		for _, g := range h.Faults[i+1:] {
			if g.Begin > f.Begin+h.Lease/10 {
				next = g.Begin
				break
			}
			together = append(together, g)
		}
		if ended = max(ended, f.End); f.Kind == faultWipe {
			wiped = true
		}
		if !clean {
			continue
		}
		t := byName[f.name()]
		if t == nil {
			t = &Takeover{Fault: f.name()}
			byName[f.name()] = t
		}
		t.Faults++
		for p, ends := range answers {
			gap := longestGap(ends, span{f.Begin, min(next, f.End+takeoverTime)})
			own := slices.ContainsFunc(together, func(f fault) bool { return slices.Contains(f.Nodes, int(p.slot)%faultNodes+1) })
			if own {
				t.Own = append(t.Own, gap)
			} else {
				t.Others = append(t.Others, gap)
			}
		}
	}
	for _, t := range byName {
		slices.Sort(t.Own)
		slices.Sort(t.Others)
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b Takeover) int { return cmp.Compare(a.Fault, b.Fault) })
	return list
}

// longestGap returns the longest time within s without any of the times, which are in
// order.
func longestGap(times []time.Duration, s span) (gap time.Duration) {
	i, _ := slices.BinarySearch(times, s.Begin)
	from := s.Begin
	for ; i < len(times) && times[i] < s.End; i++ {
		gap = max(gap, times[i]-from)
		from = times[i]
	}
	return max(gap, s.End-from)
}

// takeoverTable returns the takeovers as text.
func takeoverTable(list []Takeover, lease time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seconds without an answer, p50 / max, with a lease of %v:\n", lease)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	figures := func(gaps []time.Duration) string {
		if len(gaps) == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f / %.2f", gaps[len(gaps)/2].Seconds(), gaps[len(gaps)-1].Seconds())
	}
	for _, t := range list {
		fmt.Fprintf(w, "%s\t%d times\tits ids %s\tothers %s\n", t.Fault, t.Faults, figures(t.Own), figures(t.Others))
	}
	_ = w.Flush() // to a builder
	return b.String()
}
