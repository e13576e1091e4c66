//go:build unix

package faults

import (
	"cmp"
	"slices"
	"time"
)

// Rules that only faults of more than one step can break: two nodes of one name, and
// servers with an old state.

const (
	pairTime = 6 * time.Second // until two nodes that do not reach each other do without
	twinTime = 6 * time.Second // from when a split is over, until the later one of two nodes of one name has left
)

const (
	ruleTwin  Rule = "of two nodes of one name, the later one has not left"
	ruleStale Rule = "a server ran messages although another one had had its id"
)

// checkTwins checks that the later one of two nodes of one name was alone soon after the
// split.
func (r *Report) checkTwins() {
	for _, f := range r.history.Faults {
		due := f.Healed + twinTime
		if f.Healed == 0 || f.End <= due {
			continue
		}
		for _, p := range r.history.Processes {
			if p.Twin && p.Life.Begin >= f.Begin && p.Life.Begin < f.End && !p.aloneAt(due) {
				r.violate(ruleTwin, "%v node %d, %v after the split: %+v", due, p.Node, twinTime, p.Views)
			}
		}
	}
}

// aloneAt reports whether the process knew of no other node at a time, but had before.
func (p *processHistory) aloneAt(at time.Duration) bool {
	alone := false
	for _, v := range p.Views {
		if v.At <= at {
			alone = p.met() < v.At && !v.cluster()
		}
	}
	return alone
}

// A tenure is all that one server ran.
type tenure struct {
	runs  []placedRun   // in order
	ended time.Duration // when the first that ended did; 0 if none has
}

// tenures returns the tenures of one id in the order of their begins.
func tenures(runs []placedRun) []*tenure {
	slices.SortFunc(runs, func(a, b placedRun) int { return cmp.Compare(a.Begin, b.Begin) })
	byServer, list := map[int64]*tenure{}, []*tenure(nil)
	for _, run := range runs {
		t := byServer[run.Server]
		if t == nil {
			t = &tenure{}
			byServer[run.Server], list = t, append(list, t)
		}
		t.runs = append(t.runs, run)
		if run.End != 0 && (t.ended == 0 || run.End < t.ended) {
			t.ended = run.End
		}
	}
	return list
}

// checkStale looks for servers that ran messages after another server of their id, on
// another node, had run one: the second server has the newer state. One message is
// allowed, because it may have been on its way when its process was paused. In a
// partition each part has its own server.
func (r *Report) checkStale(id int64, runs []placedRun) {
	list := tenures(runs)
	for i, older := range list {
		last := older.runs[len(older.runs)-1]
		for _, newer := range list[i+1:] {
			if newer.runs[0].Begin > last.Begin {
				break
			}
			stale := slices.DeleteFunc(slices.Clone(older.runs), func(run placedRun) bool {
				return newer.ended == 0 || run.Begin < newer.ended || r.history.parted(span{newer.ended, run.Begin})
			})
			if newer.runs[0].node != last.node && len(stale) > 1 && !r.stands(last.node, newer.runs[0].node, newer.ended) {
				r.violate(ruleStale, "id %d: %+v on node %d, and node %d had run %+v", id, *stale[1].servedEntry, last.node,
					newer.runs[0].node, *newer.runs[0].servedEntry)
			}
		}
	}
}

// stands reports whether one of two nodes hardly ran when the newer server began. A node
// that is merely slow does not notice that others take it for failed.
func (r *Report) stands(a, b int, at time.Duration) bool {
	for _, p := range r.history.Processes {
		if p.host() == a || p.host() == b {
			before := span{at - signTime - settleTime, at}
			if before.shared(p.Stalls)-before.shared(p.Pauses) > pauseTime {
				return true
			}
		}
	}
	return false
}

// parted reports whether nodes could not reach each other in s, or had not all met yet.
func (h *history) parted(s span) bool {
	for _, f := range h.Faults {
		switch f.Kind {
		case faultStart, faultCut, faultSplit, faultMute, faultDeaf, faultTwin, faultPair:
			if s.overlaps(f.trouble()) {
				return true
			}
		}
	}
	return false
}
