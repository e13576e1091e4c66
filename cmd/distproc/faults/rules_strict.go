//go:build unix

package faults

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// The rules for strict kinds. An id has one place or none, and its calls are
// linearizable.

const (
	ruleAtOnce   Rule = "two runs of an id overlap that were both acknowledged"
	ruleInside   Rule = "a run began while another one of its id ran that was acknowledged"
	ruleTokens   Rule = "the tokens of an id fell"
	ruleRefused  Rule = "a run with a lease had an old token"
	ruleCounted  Rule = "an increment was not counted once"
	ruleNotRun   Rule = "a call ran that is said not to have, or the other way round"
	ruleLinear   Rule = "the calls of an id are not linearizable"
	ruleStrict   Rule = "a call of a strict kind failed or was slow in a whole cluster"
	ruleStranger Rule = "calls ran although most voters had lost their disks"
)

// strictRules are those that must hold at any time.
var strictRules = []Rule{ruleAtOnce, ruleInside, ruleTokens, ruleRefused, ruleCounted, ruleNotRun, ruleLinear, ruleStranger}

// stallTime is how long before its entry a run may have been permitted, if its process
// did not run meanwhile.
const stallTime = time.Second

// StrictFigures are those of a run of strict kinds.
type StrictFigures struct {
	Calls, Acknowledged int
	Errors              [3]int // calls that failed, by outcome
	Open                int    // calls of processes that were killed
	Runs                int
	Writes, Refused     int
	Loose               []string // ids of the kind that is not strict whose calls are not linearizable
	Takeovers           []Takeover
}

// A strictHistory is what happened to strict kinds until the end of a history.
type strictHistory struct {
	calls  []*strictCall
	byNo   map[int64]*strictCall // by message
	runs   map[int64][]*placedStrict
	byKey  map[strictKey][]*placedStrict
	writes []writeEntry
}

// A placedStrict is a run, with the call that it was for, or nil.
type placedStrict struct {
	*strictRun
	end  time.Duration // of its process, if that was killed in it
	call *strictCall
	in   *processHistory
}

// strict returns what happened to strict kinds. Calls that had not ended by the end of
// the history are unknown. What came later is left out, because the records of some
// processes may have been read before it.
func (h *history) strict() strictHistory {
	s := strictHistory{byNo: map[int64]*strictCall{}, runs: map[int64][]*placedStrict{}, byKey: map[strictKey][]*placedStrict{}}
	for _, p := range h.Processes {
		for _, c := range p.StrictCalls {
			if c.Begin > h.End {
				continue
			}
			if c.End == 0 || c.End > h.End && p.Life.End >= h.End {
				open := *c
				open.End, open.Err, open.Outcome = never, "no answer yet", worker.OutcomeUnknown
				c = &open
			}
			s.calls, s.byNo[c.Message] = append(s.calls, c), c
		}
		for _, w := range p.Writes {
			if w.At <= h.End {
				s.writes = append(s.writes, w)
			}
		}
	}
	slices.SortFunc(s.calls, func(a, b *strictCall) int { return cmp.Compare(a.Begin, b.Begin) })
	for _, p := range h.Processes {
		for _, run := range p.StrictRuns {
			if run.Begin > h.End {
				continue
			}
			placed := &placedStrict{run, run.End, s.byNo[run.Message], p}
			if placed.end == 0 {
				placed.end = p.Life.End
			}
			key := strictKey{run.Kind, run.ID}
			s.runs[run.Message], s.byKey[key] = append(s.runs[run.Message], placed), append(s.byKey[key], placed)
		}
	}
	return s
}

// never is the end of a call that may take effect at any time.
const never time.Duration = 1<<63 - 1

func (r *placedStrict) acknowledged() bool { return r.call != nil && r.call.acknowledged() }

func (r *placedStrict) String() string {
	text := "no call"
	if r.call != nil {
		text = r.call.String()
	}
	return fmt.Sprintf("on node %d from %v to %v by %v (%s)", r.Node, r.Begin, r.end, r.Token, text)
}

// checkStrict checks the rules for strict kinds.
func (r *Report) checkStrict() {
	s, f := r.history.strict(), &StrictFigures{}
	r.Strict = f
	strict := func(kind string) bool { return kind != looseKind }
	var calls, loose []*strictCall
	for _, c := range s.calls {
		if !strict(c.Kind) {
			loose = append(loose, c)
			continue
		}
		calls = append(calls, c)
		f.Calls++
		switch {
		case c.acknowledged():
			f.Acknowledged++
		case c.End == never:
			f.Open++
		default:
			f.Errors[c.Outcome]++
		}
		r.checkStrictCall(c, s.runs[c.Message])
	}
	for key, runs := range s.byKey {
		if strict(key.kind) {
			r.checkPlaces(key, runs)
			f.Runs += len(runs)
		}
	}
	r.checkWrites(s)
	r.checkCounts(s)
	r.checkThrough(calls)
	r.checkStrangers(calls)
	for _, text := range checkLinear(calls, linearTime) {
		r.violate(ruleLinear, "%s", text)
	}
	f.Loose = checkLinear(loose, linearTime)
	f.Takeovers = r.history.takeovers(calls)
}

// checkStrictCall checks that what was said of a call is true.
func (r *Report) checkStrictCall(c *strictCall, runs []*placedStrict) {
	switch {
	case len(runs) > 1:
		r.violate(ruleNotRun, "it ran twice: %v: %v", c, runs)
	case len(runs) == 1 && c.Err != "" && c.Outcome == worker.OutcomeNotRun:
		r.violate(ruleNotRun, "%v: %v", c.span, runs[0])
	case c.acknowledged() && (len(runs) == 0 || runs[0].End == 0 || runs[0].End > c.End || runs[0].Node != c.Node):
		r.violate(ruleNotRun, "%v %v: its runs: %v", c.span, c, runs)
	}
	for _, run := range runs {
		if run.Refused && (c.acknowledged() || c.Outcome == worker.OutcomeRan) {
			r.violate(ruleRefused, "%v", run)
		}
		if run.Refused {
			r.Strict.Refused++
		}
	}
}

// checkPlaces checks that an id has one place at a time. A run that was acknowledged had
// a lease all the time, and nobody else may have begun one meanwhile.
func (r *Report) checkPlaces(key strictKey, runs []*placedStrict) {
	slices.SortFunc(runs, func(a, b *placedStrict) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), a.Token.Compare(b.Token))
	})
	var last *placedStrict // of those acknowledged, the one that ended last
	for _, run := range runs {
		if last != nil && run.Begin < last.end {
			switch {
			case run.acknowledged():
				r.violate(ruleAtOnce, "%s %d: %v, and %v", key.kind, key.id, last, run)
			case key.kind == counterKind && !r.stoodStill(run):
				r.violate(ruleInside, "%s %d: %v, and in it %v", key.kind, key.id, last, run)
			}
		}
		if !run.acknowledged() {
			continue
		}
		if last != nil && run.Token.Compare(last.Token) <= 0 {
			r.violate(ruleTokens, "%s %d: %v, and later %v", key.kind, key.id, last, run)
		}
		if last == nil || run.end > last.end {
			last = run
		}
	}
}

// stoodStill reports whether the process of a run may have been permitted to begin it,
// and then have stood still until it did.
func (r *Report) stoodStill(run *placedStrict) bool {
	before := span{run.Begin - stallTime, run.Begin + stallTime}
	return before.shared(inOrder(slices.Concat(run.in.Stalls, run.in.Pauses))) > 0
}

// checkWrites checks that the tokens that the resource accepted never fell.
func (r *Report) checkWrites(s strictHistory) {
	last := map[strictKey]writeEntry{}
	for _, w := range s.writes {
		key := strictKey{w.Kind, w.ID}
		if old := last[key]; w.Kind != looseKind && w.Token.Compare(old.Token) < 0 {
			r.violate(ruleTokens, "%s %d: the resource accepted %+v, and then %+v", w.Kind, w.ID, old, w)
		}
		last[key] = w
		if w.Kind != looseKind {
			r.Strict.Writes++
		}
	}
}

// checkCounts checks the sums of the counters, and that no message wrote twice.
func (r *Report) checkCounts(s strictHistory) {
	wrote, sums := map[int64]writeEntry{}, map[strictKey]int64{}
	for _, w := range s.writes {
		if old, ok := wrote[w.Message]; ok && w.Kind != looseKind {
			r.violate(ruleCounted, "%s %d, message %d: %+v, and again %+v", w.Kind, w.ID, w.Message, old, w)
		}
		wrote[w.Message] = w
		sums[strictKey{w.Kind, w.ID}] = w.Value
	}
	type bounds struct{ least, most int64 }
	counted := map[strictKey]bounds{}
	for _, c := range s.calls {
		if c.Kind != counterKind || c.Op != opAdd {
			continue
		}
		key := strictKey{c.Kind, c.ID}
		b := counted[key]
		switch w, ok := wrote[c.Message]; {
		case c.acknowledged():
			if !ok || w.Value != c.After {
				r.violate(ruleCounted, "%v %v: the resource has %+v", c.span, c, w)
			}
			b = bounds{b.least + 1, b.most + 1}
		case c.uncertain():
			b.most++
		case ok:
			r.violate(ruleNotRun, "%v %v: the resource has %+v", c.span, c, w)
		}
		counted[key] = b
	}
	for key, b := range counted {
		if sum := sums[key]; sum < b.least || sum > b.most {
			r.violate(ruleCounted, "%s %d: the sum is %d, with %d to %d increments", key.kind, key.id, sum, b.least, b.most)
		}
	}
}

// checkThrough checks that calls get through while the cluster has to be whole.
func (r *Report) checkThrough(calls []*strictCall) {
	quiet := r.history.quiet()
	for _, c := range calls {
		for _, s := range quiet {
			if c.Begin < s.Begin || c.Begin+callTime > s.End {
				continue
			}
			if took := c.End - c.Begin - c.shared(r.stopped[0], r.stopped[c.Via]); !c.acknowledged() || took > lateCall {
				r.violate(ruleStrict, "%v via %d: %v", c.span, c.Via, c)
			}
		}
	}
}

// checkStrangers checks that no call is acknowledged when a majority of the voters has
// lost their disks: nobody can know any more what those had promised.
func (r *Report) checkStrangers(calls []*strictCall) {
	wiped, from := map[int]bool{}, never
	for _, f := range r.history.Faults {
		if f.Kind == faultWipe {
			wiped[f.Nodes[0]] = true
		}
		if len(wiped) > strictVoters/2 {
			from = min(from, f.Begin+r.history.Lease)
		}
	}
	for _, c := range calls {
		if c.acknowledged() && c.Begin > from {
			r.violate(ruleStranger, "%v: %v", c.span, c)
		}
	}
}
