//go:build unix

package faults

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
	faultRoll  faultKind = "roll"  // the same for one node after the other; each waits until /readyz is content
	faultPause faultKind = "pause" // SIGSTOP, SIGCONT
	faultReset faultKind = "reset" // all its TCP connections are reset
	faultCut   faultKind = "cut"   // its link is down
	faultSplit faultKind = "split" // it and another can talk to each other only
	faultMute  faultKind = "mute"  // the others hear nothing of it
	faultDeaf  faultKind = "deaf"  // it hears nothing of the others
	faultPair  faultKind = "pair"  // it and another cannot talk to each other, but both to all the rest
	faultTwin  faultKind = "twin"  // in a split, the other part starts a node of its name at its address

	faultGreedy faultKind = "greedy" // a client asks for more than it can read, and is killed
	faultLog    faultKind = "log"    // nobody reads its stderr
	faultFlood  faultKind = "flood"  // it gets many connections that say nothing of use

	faultStarved faultKind = "starved" // its process hardly runs, as the machine is busy; nobody plans this one

	faultNodes = 5
	majority   = faultNodes/2 + 1
)

// Faults of the first three lists come at random and overlap. Solo faults come one at a
// time in a whole cluster, because some rules hold for them only while nothing else is
// wrong.
var (
	processFaults   = []faultKind{faultKill, faultTerm, faultPause, faultReset}
	hostileFaults   = []faultKind{faultGreedy, faultLog, faultFlood}
	partitionFaults = []faultKind{faultCut, faultSplit, faultMute, faultDeaf, faultPair}

	soloFaults          = []faultKind{faultRoll, faultPause}
	soloPartitionFaults = []faultKind{faultPair, faultTwin}

	allFaults = slices.Concat(processFaults, hostileFaults, partitionFaults, []faultKind{faultRoll, faultTwin})
)

// ways returns the ways in which such a fault can come about. A way that is listed twice
// is drawn more often.
func (k faultKind) ways() []string {
	switch k {
	case faultCut, faultSplit, faultMute, faultDeaf, faultPair, faultApart, faultRing:
		return []string{"lost", "lost", "refused"} // the system says at once that there is no route, instead of losing packets
	case faultKill, faultTerm, faultWipe:
		return []string{"join", "state"} // the new process is told whom to join, or knows it by its folder
	case faultPause:
		return []string{"idle", "full"} // full: all queues of serial ids are
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
	target target // in a run of strict kinds; then nodes has all of them in random order
}

func (f plannedFault) String() string {
	return fmt.Sprintf("%8.3fs %-6s %v for %.3fs %s", f.at.Seconds(), f.kind, f.nodes, f.length.Seconds(), f.how)
}

// A deck gives each of its cards equally often, in random order.
type deck struct {
	rng         *rand.Rand
	kinds, left []faultKind
}

func (d *deck) draw() faultKind {
	if len(d.left) == 0 {
		d.left = slices.Clone(d.kinds)
		d.rng.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	kind := d.left[0]
	d.left = d.left[1:]
	return kind
}

// between draws a time.
func (d *deck) between(low, high time.Duration) time.Duration {
	return low + time.Duration(d.rng.Int64N(int64(high-low)))
}

// planFaults returns faults that last for the given time altogether. Mostly one or two
// nodes are struck at a time, now and then a majority. The plan follows from the state of
// the deck alone.
func (d *deck) planFaults(length time.Duration) (plan []plannedFault) {
	const shortest = 500 * time.Millisecond
	for at := time.Duration(0); at+shortest < length; at += d.between(200*time.Millisecond, 2*time.Second) {
		nodes := d.rng.Perm(faultNodes)
		struck := []int{1, 1, 1, 1, 2, 2, 2, majority}[d.rng.IntN(8)]
		end := at
		for i := range struck {
			f := plannedFault{kind: d.draw(), nodes: []int{nodes[i] + 1}, at: at}
			ways := f.kind.ways()
			f.how = ways[d.rng.IntN(len(ways))]
			if i > 0 {
				f.at += d.between(0, time.Second)
			}
			if f.kind == faultSplit || f.kind == faultPair {
				f.nodes = append(f.nodes, nodes[faultNodes-1]+1)
			}
			f.length = max(0, min(d.lengthOf(f), length-f.at))
			end = max(end, f.at+f.length)
			plan = append(plan, f)
		}
		at = end
	}
	slices.SortStableFunc(plan, func(a, b plannedFault) int { return cmp.Compare(a.at, b.at) })
	return plan
}

// lengthOf draws how long a fault lasts; short ones are more frequent.
func (d *deck) lengthOf(f plannedFault) time.Duration {
	const ms = time.Millisecond
	switch {
	case f.kind == faultReset, f.how == "gone":
		return 0
	case f.kind == faultGreedy:
		return d.between(100*ms, 1000*ms)
	case f.kind == faultKill, f.kind == faultTerm:
		return min(d.between(0, 6000*ms), d.between(0, 6000*ms))
	default:
		return min(d.between(500*ms, 10_000*ms), d.between(500*ms, 10_000*ms))
	}
}

// planSolo returns one fault that has the cluster for itself.
func (d *deck) planSolo() plannedFault {
	f := plannedFault{kind: d.draw()}
	for _, i := range d.rng.Perm(faultNodes) {
		f.nodes = append(f.nodes, i+1)
	}
	switch f.kind {
	case faultPause:
		f.nodes, f.how, f.length = f.nodes[:1], "full", d.between(2*time.Second, 5*time.Second)
	case faultPair:
		ways := f.kind.ways()
		f.nodes, f.how, f.length = f.nodes[:2], ways[d.rng.IntN(len(ways))], pairTime+d.between(4*time.Second, 8*time.Second)
	case faultTwin:
		f.nodes, f.length = f.nodes[:majority], d.between(8*time.Second, 12*time.Second) // the name, and whom the new one reaches
	}
	return f
}

// episodes splits the time of a run: faults for 15 to 40 s and one solo fault, each with
// as long as it takes to settle and calm after it, and again. The seed alone decides, and
// each kind is drawn equally often.
func episodes(rng *rand.Rand, kinds, solo []faultKind, total time.Duration) (plans [][]plannedFault) {
	const rest, most, one = settleTime + calmTime, 40 * time.Second, 15 * time.Second
	mixed, alone := deck{rng: rng, kinds: kinds}, deck{rng: rng, kinds: solo}
	pause := time.Duration(0) // of a round, all rest and the solo fault
	if len(kinds) > 0 {
		pause += rest
	}
	if len(solo) > 0 {
		pause += rest + one
	}
	total -= formTime
	n := max(1, int((total+most)/(pause+most)))
	for range n {
		if len(kinds) > 0 {
			plans = append(plans, mixed.planFaults(max(3*time.Second, total/time.Duration(n)-pause)))
		}
		if len(solo) > 0 {
			plans = append(plans, []plannedFault{alone.planSolo()})
		}
	}
	return plans
}
