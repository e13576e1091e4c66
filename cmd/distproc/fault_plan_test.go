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
	faultNodes           = 5
	majority             = faultNodes/2 + 1
)

var (
	processFaults   = []faultKind{faultKill, faultTerm, faultPause, faultReset}
	partitionFaults = []faultKind{faultCut, faultSplit, faultMute, faultDeaf}
)

// A plannedFault befalls nodes at a time, counted from the first one, and for a time.
type plannedFault struct {
	kind    faultKind
	nodes   []int
	at      time.Duration
	length  time.Duration
	refused bool // a partition: the system says at once that there is no route, instead of losing packets
}

func (f plannedFault) String() string {
	how := ""
	if f.refused {
		how = ", refused"
	}
	return fmt.Sprintf("%8.3fs %-5s %v for %.3fs%s", f.at.Seconds(), f.kind, f.nodes, f.length.Seconds(), how)
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
			f := plannedFault{kind: draw(), nodes: []int{nodes[i] + 1}, at: at, refused: rng.IntN(3) == 0}
			if i > 0 {
				f.at += between(0, time.Second)
			}
			if f.kind == faultSplit {
				f.nodes = append(f.nodes, nodes[faultNodes-1]+1)
			}
			f.length = lengthOf(f.kind, between)
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
func lengthOf(kind faultKind, between func(low, high time.Duration) time.Duration) time.Duration {
	const ms = time.Millisecond
	switch kind {
	case faultReset:
		return 0
	case faultKill, faultTerm:
		return min(between(0, 6000*ms), between(0, 6000*ms))
	default:
		return min(between(500*ms, 10_000*ms), between(500*ms, 10_000*ms))
	}
}
