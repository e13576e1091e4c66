//go:build unix

package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// The plan of a run of strict kinds: one fault after the other, so that one can say how
// long each keeps calls from running. Now and then the next one comes before all is well
// again.

const (
	faultApart faultKind = "apart" // no two nodes can talk to each other
	faultRing  faultKind = "ring"  // each can talk to two others only
	faultSlow  faultKind = "slow"  // its link carries little, and delays what there is
	faultWipe  faultKind = "wipe"  // kill -9, and a new start without its disk

	strictEpisode = 50 * time.Second // of faults, before all has to be well
)

// A card is a fault to be drawn.
type card struct {
	kind          faultKind
	target        target
	least, length time.Duration // between these; shorter ones are more frequent
}

// strictCards are all faults but those that come once in a run.
var strictCards = func() (cards []card) {
	const ms = time.Millisecond
	add := func(kind faultKind, least, length time.Duration, targets ...target) {
		for _, t := range targets {
			cards = append(cards, card{kind, t, least, length})
		}
	}
	add(faultKill, 0, 6000*ms, anyNode, theLeader, twoNodes)
	add(faultKill, 0, 1*ms, anyNode, theLeader) // it is back at once
	add(faultTerm, 0, 3000*ms, anyNode, theLeader)
	add(faultPause, 500*ms, 20_000*ms, anyNode, theLeader, twoNodes)
	add(faultSplit, 1000*ms, 10_000*ms, anyNode, theLeader)
	add(faultMute, 1000*ms, 8000*ms, anyNode, theLeader)
	add(faultDeaf, 1000*ms, 8000*ms, anyNode, theLeader)
	add(faultCut, 1000*ms, 8000*ms, anyNode, theLeader)
	add(faultSlow, 2000*ms, 8000*ms, anyNode, theLeader)
	add(faultApart, 1000*ms, 8000*ms, everybody)
	add(faultRing, 1000*ms, 8000*ms, everybody)
	return cards
}()

// strictFaults are the kinds of faults of such a run.
var strictFaults = []faultKind{
	faultKill, faultTerm, faultPause, faultSplit, faultMute, faultDeaf, faultCut, faultSlow, faultApart, faultRing, faultRoll, faultWipe,
}

// A hand gives each card equally often, in random order.
type hand struct {
	rng  *rand.Rand
	left []card
}

func (h *hand) draw() card {
	if len(h.left) == 0 {
		h.left = slices.Clone(strictCards)
		h.rng.Shuffle(len(h.left), func(i, j int) { h.left[i], h.left[j] = h.left[j], h.left[i] })
	}
	c := h.left[0]
	h.left = h.left[1:]
	return c
}

func (h *hand) between(low, high time.Duration) time.Duration {
	return low + time.Duration(h.rng.Int64N(int64(high-low)))
}

// plan returns the fault of a card at a time.
func (h *hand) plan(c card, at time.Duration) plannedFault {
	f := plannedFault{kind: c.kind, target: c.target, at: at, length: min(h.between(c.least, c.length), h.between(c.least, c.length))}
	for _, i := range h.rng.Perm(faultNodes) {
		f.nodes = append(f.nodes, i+1)
	}
	ways := c.kind.ways()
	if f.how = ways[h.rng.IntN(len(ways))]; c.kind == faultPause {
		f.how = "idle"
	}
	return f
}

// strictEpisodes splits the time of a run: faults, and rest, and again. Each second
// episode ends with a rolling restart. In the last one a voter loses its disk. The seed
// alone decides.
func strictEpisodes(rng *rand.Rand, lease, total time.Duration) (plans [][]plannedFault) {
	const rest, roll = settleTime + calmTime, 15 * time.Second
	h := &hand{rng: rng}
	total -= formTime + 2*lease
	n := max(1, int(total/(strictEpisode+rest+(roll+rest)/2)))
	rolls := max(1, n/2)
	each := max(10*time.Second, (total-time.Duration(rolls)*(roll+rest))/time.Duration(n)-rest)
	for i := range n {
		var plan []plannedFault
		at := time.Duration(0)
		next := func(c card) {
			f := h.plan(c, at)
			plan = append(plan, f)
			at += f.length + lease*3/2 + h.between(time.Second, 2*time.Second)
			if h.rng.IntN(5) == 0 {
				at -= min(f.length, lease)
			}
		}
		wipes := i == n-1
		for at < each {
			if wipes && at > each*2/3 {
				wipes = false
				next(card{faultWipe, "", 0, time.Second})
				wiped := &plan[len(plan)-1]
				wiped.nodes = []int{1 + h.rng.IntN(strictVoters)}
			}
			next(h.draw())
		}
		plans = append(plans, plan)
		if i%2 == 1 || n == 1 {
			plans = append(plans, []plannedFault{h.plan(card{faultRoll, everybody, 0, 1}, 0)})
		}
	}
	return plans
}

// name returns what a fault is called in a table.
func (f fault) name() string {
	if f.target == "" {
		return string(f.Kind)
	}
	return fmt.Sprintf("%s %s", f.Kind, f.target)
}
