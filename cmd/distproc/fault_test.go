package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// The fault harness. TestFaults runs five real nodes under load, with faults that follow
// from a seed, and checks what they recorded:
//
//	fault_node_test.go     a node: the real one, with a source and callers that record
//	fault_server_test.go   its serial kind, and fault_program_test.go the one of programs
//	fault_http_test.go     callers over HTTP
//	fault_record_test.go   the record of a process
//	fault_process_test.go  a process as the test sees it
//	fault_cluster_test.go  all processes of a run, and what befalls them
//	fault_net_test.go      connections and partitions, and fault_twin_test.go two hosts with one address
//	fault_hostile_test.go  who uses a node badly, and what a node must bear
//	fault_solo_test.go     faults that have the cluster for themselves, and their rules
//	fault_log_test.go      the stderr of a process
//	fault_plan_test.go     the faults of a seed
//	fault_history_test.go  what happened in a run
//	fault_check_test.go    the rules, and fault_quiet_test.go those for when no fault is on,
//	                       and fault_serial_test.go those of the serial kind
//	fault_rules_test.go    each rule can be broken, and fault_solo_rules_test.go those of leave-takings, HTTP and solo faults
//	fault_mutant_test.go   a broken product is found out, and fault_mutants_test.go the ways to break it
//
// Without flags a few faults are tried. For an hour of them, and with the records and the
// logs of all processes kept in DIR:
//
//	go test ./cmd/distproc -run TestFaults$ -v -faults.for 60m -timeout 2h -artifacts -outputdir DIR

var (
	faultsFor     = flag.Duration("faults.for", 0, "how long TestFaults runs, half of it on loopback and half in namespaces; mind -timeout (default a few faults on loopback)")
	faultsSeed    = flag.Uint64("faults.seed", 0, "of the faults of TestFaults; 0 chooses one")
	faultsOnly    = flag.String("faults.only", "", "kinds of faults, such as kill,roll,pair (default all)")
	faultsMutants = flag.Int("faults.mutants", 0, "how many mutants TestFaultsFound tries, drawn with the seed; -1 means all")
)

// faultSeed returns the seed to use.
var faultSeed = sync.OnceValue(func() uint64 {
	if *faultsSeed != 0 {
		return *faultsSeed
	}
	return rand.Uint64()
})

func TestFaults(t *testing.T) {
	needFaultNode(t)
	seed, total := faultSeed(), *faultsFor
	if !hasFlock() {
		t.Log("no programs: there is no flock, which is part of util-linux")
	}
	modes := []string{"loopback", "namespaces"}
	if total == 0 {
		modes = modes[:1]
	}
	again := fmt.Sprintf("-v -faults.seed=%d -faults.for=%v -faults.only=%q", seed, total, *faultsOnly)
	fmt.Println("faults:", again)
	reports := map[string]*report{}
	for i, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			run := faultRun{binary: "distproc-fault", net: loopbackNet{testHost(), canReset(t)}, rest: settleTime + calmTime}
			kinds, solo := slices.Concat(processFaults, hostileFaults), soloFaults
			if mode == "namespaces" {
				run.net = newNamespaces(t)
				kinds, solo = slices.Concat(kinds, partitionFaults), slices.Concat(solo, soloPartitionFaults)
			}
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			run.episodes = episodes(rng, chosen(kinds, *faultsOnly), chosen(solo, *faultsOnly), total/time.Duration(len(modes)))
			r := check(runFaults(t, run))
			reports[mode] = r
			if len(r.Violations) > 0 {
				t.Errorf("seed %d:\n%s\nfaults:\n%s", seed, r, r.faults())
			}
			if t.Failed() {
				t.Logf("again, with the same faults: go test ./cmd/distproc -count 1 -run 'TestFaults$/^%s$' %s", mode, again)
			}
		})
	}
	fmt.Printf("faults: seed %d\n%s", seed, summary(modes, reports))
}

// faults is the schedule as it was executed, with the calls that each made slow.
func (r *report) faults() string {
	var b strings.Builder
	for i, f := range r.history.Faults {
		fmt.Fprintf(&b, "%9.3f to %9.3f s  %-6s %v %s", f.Begin.Seconds(), f.End.Seconds(), f.Kind, f.Nodes, f.how)
		fmt.Fprintf(&b, ", %d slow calls\n", r.SlowBy[i])
	}
	return b.String()
}

// summary is a table of the figures of each mode.
func summary(modes []string, reports map[string]*report) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name string, value func(*report) any) {
		fmt.Fprint(w, name)
		for _, mode := range modes {
			if r := reports[mode]; r != nil {
				fmt.Fprintf(w, "\t%v", value(r))
			}
		}
		fmt.Fprintln(w)
	}
	ms := func(d time.Duration) any { return d.Round(time.Millisecond) }
	fmt.Fprint(w, "\t"+strings.Join(modes, "\t")+"\n")
	row("time", func(r *report) any { return ms(r.history.End) })
	row("calls", func(r *report) any { return r.Calls })
	row("failed at a live node", func(r *report) any { return r.Failed })
	row("failed with their own node", func(r *report) any { return r.Excused })
	for _, o := range []worker.Outcome{worker.OutcomeNotRun, worker.OutcomeUnknown, worker.OutcomeRan} {
		row("failed, "+o.String(), func(r *report) any { return r.CallErrors[o] })
	}
	row("degraded", func(r *report) any { return r.Degraded })
	row("over 500 ms", func(r *report) any { return r.Slow })
	row("longest", func(r *report) any { return ms(r.Longest) })
	row("answers handed over", func(r *report) any { return fmt.Sprintf("%d, %v too old", r.Handed, ms(r.Stale)) })
	row("runs", func(r *report) any { return r.Runs })
	row("overlaps across nodes", func(r *report) any { return fmt.Sprintf("%d, %v", r.Splits, ms(r.SplitTime)) })
	row("overlaps outside of splits", func(r *report) any {
		return len(r.Violations[ruleSplit]) + len(r.Violations[ruleOverlap]) + len(r.Violations[ruleServers])
	})
	for _, kind := range allFaults {
		row("faults: "+string(kind), func(r *report) any {
			n := 0
			for _, f := range r.history.Faults {
				if f.Kind == kind {
					n++
				}
			}
			return n
		})
	}
	row("times that a node was starved", func(r *report) any {
		return len(slices.DeleteFunc(slices.Clone(r.history.Faults), func(f fault) bool { return f.Kind != faultStarved }))
	})
	row("slow calls of one fault, at most", func(r *report) any {
		most := 0
		for _, n := range r.SlowBy {
			most = max(most, n)
		}
		return most
	})
	row("until the views agree, at most", func(r *report) any { return ms(r.Agreed) })
	row("messages", func(r *report) any { return r.Messages })
	for _, o := range []worker.Outcome{worker.OutcomeNotRun, worker.OutcomeUnknown, worker.OutcomeRan} {
		row("messages failed, "+o.String(), func(r *report) any { return r.MessageErrors[o] })
	}
	row("messages failed after a fault, at most", func(r *report) any { return ms(r.Recovered) })
	row("runs of messages, servers", func(r *report) any { return fmt.Sprintf("%d, %d", r.Served, r.Servers) })
	row("servers of one id on two nodes", func(r *report) any { return fmt.Sprintf("%d, %v", r.Twins, ms(r.TwinTime)) })
	row("programs begun, done", func(r *report) any { return fmt.Sprintf("%d, %d", r.Programs, r.ProgramsDone) })
	row("a node's heap and memory, at most", func(r *report) any {
		return fmt.Sprintf("%d MiB, %d MiB", r.PeakHeap>>20, r.PeakRSS>>20)
	})
	row("logged in a flood, at most", func(r *report) any { return fmt.Sprintf("%d bytes", r.FloodLog) })
	row("stalls of the machine", func(r *report) any { return ms(r.Stalled) })
	row("violations", func(r *report) any { return len(r.Violations) })
	w.Flush()
	return b.String()
}
