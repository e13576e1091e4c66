package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A faultKind is what befalls a node.
type faultKind string

const (
	faultStart faultKind = "start" // all nodes at once: how each history begins
	faultKill  faultKind = "kill"  // kill -9, and a new start under the same name
	faultTerm  faultKind = "term"  // SIGTERM, and a new start
	faultPause faultKind = "pause" // SIGSTOP, SIGCONT
	faultReset faultKind = "reset" // all its TCP connections are reset
	faultCut   faultKind = "cut"   // its link is down
	faultSplit faultKind = "split" // it and another can talk to each other only
	faultMute  faultKind = "mute"  // the others hear nothing of it
	faultDeaf  faultKind = "deaf"  // it hears nothing of the others

	faultGreedy faultKind = "greedy" // a client asks for more than it can read, and is killed
	faultLog    faultKind = "log"    // nobody reads its stderr
	faultFlood  faultKind = "flood"  // it gets many connections that say nothing of use

	faultNodes = 5
	majority   = faultNodes/2 + 1
)

var (
	processFaults   = []faultKind{faultKill, faultTerm, faultPause, faultReset}
	hostileFaults   = []faultKind{faultGreedy, faultLog, faultFlood}
	partitionFaults = []faultKind{faultCut, faultSplit, faultMute, faultDeaf}
)

// excuses reports whether calls may be slow because of such a fault, and the cluster be at odds.
func (k faultKind) excuses() bool { return !slices.Contains(hostileFaults, k) }

// ways returns how such a fault can come about. Those that are there twice are more frequent.
func (k faultKind) ways() []string {
	switch k {
	case faultCut, faultSplit, faultMute, faultDeaf:
		return []string{"lost", "lost", "refused"} // the system says at once that there is no route, instead of losing packets
	case faultGreedy:
		return []string{"reading", "stuck"}
	case faultLog:
		return []string{"stuck", "stuck", "gone"} // for a time, or for the rest of the process's life
	case faultFlood:
		return []string{"silent", "garbage", "hello"} // what the connections say; the last is a long ClientHello
	}
	return []string{""}
}

// A plannedFault befalls nodes at a time, counted from the first one, and for a time.
type plannedFault struct {
	kind   faultKind
	nodes  []int
	at     time.Duration
	length time.Duration
	how    string // one of the kind's ways
}

func (f plannedFault) String() string {
	return fmt.Sprintf("%8.3fs %-6s %v for %.3fs %s", f.at.Seconds(), f.kind, f.nodes, f.length.Seconds(), f.how)
}

// planFaults returns faults that last for the given time altogether. Mostly one or two nodes are struck at a time, now
// and then a majority. The plan follows from the arguments alone, and has each kind equally often.
func planFaults(rng *rand.Rand, kinds []faultKind, length time.Duration) (plan []plannedFault) {
	var deck []faultKind
	draw := func() faultKind {
		if len(deck) == 0 {
			deck = slices.Clone(kinds)
			rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		kind := deck[0]
		deck = deck[1:]
		return kind
	}
	between := func(low, high time.Duration) time.Duration { return low + time.Duration(rng.Int64N(int64(high-low))) }
	const shortest = 500 * time.Millisecond
	for at := time.Duration(0); at+shortest < length; at += between(200*time.Millisecond, 2*time.Second) {
		nodes := rng.Perm(faultNodes)
		struck := []int{1, 1, 1, 1, 2, 2, 2, majority}[rng.IntN(8)]
		end := at
		for i := range struck {
			f := plannedFault{kind: draw(), nodes: []int{nodes[i] + 1}, at: at}
			ways := f.kind.ways()
			f.how = ways[rng.IntN(len(ways))]
			if i > 0 {
				f.at += between(0, time.Second)
			}
			if f.kind == faultSplit {
				f.nodes = append(f.nodes, nodes[faultNodes-1]+1)
			}
			f.length = lengthOf(f, between)
			f.length = max(0, min(f.length, length-f.at))
			end = max(end, f.at+f.length)
			plan = append(plan, f)
		}
		at = end
	}
	slices.SortStableFunc(plan, func(a, b plannedFault) int { return cmp.Compare(a.at, b.at) })
	return plan
}

// lengthOf draws how long a fault lasts; short ones are more frequent.
func lengthOf(f plannedFault, between func(low, high time.Duration) time.Duration) time.Duration {
	const ms = time.Millisecond
	switch {
	case f.kind == faultReset, f.how == "gone":
		return 0
	case f.kind == faultGreedy:
		return between(100*ms, 1000*ms)
	case f.kind == faultKill, f.kind == faultTerm:
		return min(between(0, 6000*ms), between(0, 6000*ms))
	default:
		return min(between(500*ms, 10_000*ms), between(500*ms, 10_000*ms))
	}
}
