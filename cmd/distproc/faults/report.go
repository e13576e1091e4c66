//go:build unix

package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A Report is what a run was like, and which rules it broke. It prints itself.
type Report struct {
	Violations map[Rule][]string // each with what happened

	Calls      int
	Failed     int    // at a live node
	Excused    int    // failed with their own node
	CallErrors [3]int // all that failed, by outcome
	Degraded   int
	Slow       int         // took more than 500 ms
	SlowBy     map[int]int // slow calls by index of the fault that was the last to begin
	Longest    time.Duration
	Handed     int           // answers whose run was on another node
	Stale      time.Duration // age of such an answer beyond its time to live, at most
	Runs       int
	Splits     int // overlaps of runs of one id on two nodes
	SplitTime  time.Duration
	Agreed     time.Duration // from the end of the last fault until the views agreed, at most
	Stalled    time.Duration // of all processes, when the machine was too busy

	Messages      int           // calls of the serial kind
	MessageErrors [3]int        // of these, failed, by outcome
	Recovered     time.Duration // until messages got through after a fault, at most
	Served        int           // runs of messages
	Servers       int
	Twins         int // overlaps of servers of one id on two nodes
	TwinTime      time.Duration

	Programs     int // that began
	ProgramsDone int
	PeakHeap     uint64 // of a node
	PeakRSS      uint64 // of a node
	FloodLog     int64  // bytes that a node logged in the time of a flood, at most

	Strict *StrictFigures // nil if the run is about other kinds

	history *history
	served  map[int64][]placedRun // by message
	stopped map[int][]span        // times at which a process of a node did not run; 0 is the clients'
	starved map[int][]span        // times at which a process of a node hardly ran
}

func (r *Report) violate(rule Rule, format string, args ...any) {
	r.Violations[rule] = append(r.Violations[rule], fmt.Sprintf(format, args...))
}

// Passed reports whether no rule was broken.
func (r *Report) Passed() bool { return len(r.Violations) == 0 }

// String returns a table of figures. If rules were broken, the violations come before it,
// a few of each rule, and the faults.
func (r *Report) String() string {
	var b strings.Builder
	if !r.Passed() {
		fmt.Fprintf(&b, "%sfaults:\n%s", r.violations(), r.schedule())
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range r.rows() {
		fmt.Fprintf(w, "%s\t%v\n", row.name, row.value)
	}
	_ = w.Flush() // to a builder
	if r.Strict != nil {
		b.WriteString(takeoverTable(r.Strict.Takeovers, r.history.Lease))
	}
	return b.String()
}

// violations returns a few violations of each rule.
func (r *Report) violations() string {
	const few = 5
	var b strings.Builder
	for _, rule := range slices.Sorted(maps.Keys(r.Violations)) {
		list := r.Violations[rule]
		fmt.Fprintf(&b, "%s (%d times):\n", rule, len(list))
		for _, text := range list[:min(few, len(list))] {
			fmt.Fprintf(&b, "    %s\n", text)
		}
	}
	return b.String()
}

// schedule returns the faults as they came, with the calls that each made slow.
func (r *Report) schedule() string {
	var b strings.Builder
	for i, f := range r.history.Faults {
		fmt.Fprintf(&b, "%9.3f to %9.3f s  %-6s %v %s %s", f.Begin.Seconds(), f.End.Seconds(), f.Kind, f.Nodes, f.target, f.how)
		fmt.Fprintf(&b, ", %d slow calls\n", r.SlowBy[i])
	}
	return b.String()
}

// A row is one figure of the table.
type row struct {
	name  string
	value any
}

func (r *Report) rows() (rows []row) {
	if r.Strict != nil {
		return r.strictRows()
	}
	ms := func(d time.Duration) any { return d.Round(time.Millisecond) }
	add := func(name string, value any) { rows = append(rows, row{name, value}) }
	outcomes := func(name string, counts [3]int) {
		for _, o := range []worker.Outcome{worker.OutcomeNotRun, worker.OutcomeUnknown, worker.OutcomeRan} {
			add(name+", "+o.String(), counts[o])
		}
	}
	most := 0
	for _, n := range r.SlowBy {
		most = max(most, n)
	}
	add("time", ms(r.history.End))
	add("calls", r.Calls)
	add("failed at a live node", r.Failed)
	add("failed with their own node", r.Excused)
	outcomes("failed", r.CallErrors)
	add("degraded", r.Degraded)
	add("over 500 ms", r.Slow)
	add("longest", ms(r.Longest))
	add("answers handed off", fmt.Sprintf("%d, %v too old", r.Handed, ms(r.Stale)))
	add("runs", r.Runs)
	add("overlaps across nodes", fmt.Sprintf("%d, %v", r.Splits, ms(r.SplitTime)))
	add("overlaps outside of splits", len(r.Violations[ruleSplit])+len(r.Violations[ruleOverlap])+len(r.Violations[ruleServers]))
	for _, kind := range allFaults {
		add("faults: "+string(kind), r.count(kind))
	}
	add("times that a node was starved", r.count(faultStarved))
	add("slow calls of one fault, at most", most)
	add("until the views agree, at most", ms(r.Agreed))
	add("messages", r.Messages)
	outcomes("messages failed", r.MessageErrors)
	add("messages failed after a fault, at most", ms(r.Recovered))
	add("runs of messages, servers", fmt.Sprintf("%d, %d", r.Served, r.Servers))
	add("servers of one id on two nodes", fmt.Sprintf("%d, %v", r.Twins, ms(r.TwinTime)))
	add("programs begun, done", fmt.Sprintf("%d, %d", r.Programs, r.ProgramsDone))
	add("a node's heap and memory, at most", fmt.Sprintf("%d MiB, %d MiB", r.PeakHeap>>20, r.PeakRSS>>20))
	add("logged in a flood, at most", fmt.Sprintf("%d bytes", r.FloodLog))
	add("stalls of the machine", ms(r.Stalled))
	add("rules broken", len(r.Violations))
	return rows
}

func (r *Report) strictRows() (rows []row) {
	s := r.Strict
	add := func(name string, value any) { rows = append(rows, row{name, value}) }
	add("time", r.history.End.Round(time.Millisecond))
	add("calls of strict kinds", s.Calls)
	add("acknowledged", s.Acknowledged)
	for _, o := range []worker.Outcome{worker.OutcomeNotRun, worker.OutcomeUnknown, worker.OutcomeRan} {
		add(o.String(), s.Errors[o])
	}
	add("callers killed in a call", s.Open)
	add("runs", s.Runs)
	add("writes accepted, refused", fmt.Sprintf("%d, %d", s.Writes, s.Refused))
	for _, kind := range strictFaults {
		add("faults: "+string(kind), r.count(kind))
	}
	add("times that a node was starved", r.count(faultStarved))
	add("until the views agree, at most", r.Agreed.Round(time.Millisecond))
	add("a node's heap and memory, at most", fmt.Sprintf("%d MiB, %d MiB", r.PeakHeap>>20, r.PeakRSS>>20))
	add("stalls of the machine", r.Stalled.Round(time.Millisecond))
	add("rules broken", len(r.Violations))
	return rows
}

// count returns how many faults of a kind there were.
func (r *Report) count(kind faultKind) (n int) {
	for _, f := range r.history.Faults {
		if f.Kind == kind {
			n++
		}
	}
	return n
}
