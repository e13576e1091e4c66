package placement

import (
	"cmp"
	"slices"

	"github.com/distproc/distproc/node/worker"
)

// A Plan tells how many of a sample of ids a change of the members would move.
type Plan struct {
	Routing Routing
	IDs     int // in the sample
	Moved   int // to another owner
	Largest int // ids of the member that has the most, after the change
}

// A Share is the part of a sample of ids that belongs to a member.
type Share struct {
	Name Name
	IDs  int
}

// A Move is the part of a sample of ids that a change takes from one member to another.
type Move struct {
	From, To Name
	IDs      int
}

// A Change is a [Plan] with the members that it concerns.
type Change struct {
	Plan
	Before, After []Share // of all members, in the order of the ring
	Moves         []Move  // the largest one first
}

// PlanChange counts, for each routing, how many of the integer ids from 0 to sample-1
// would move if the members were after instead of before. Both must name at least one
// node.
func PlanChange(before, after []Name, sample int) []Plan {
	var plans []Plan
	for r := range routingNames {
		plans = append(plans, ChangeOf(Routing(r), before, after, sample).Plan)
	}
	return plans
}

// ChangeOf counts, for one routing, which of the integer ids from 0 to sample-1 would move if
// the members were after instead of before. Both must name at least one node. It takes time
// in proportion to the sample, and with [Rendezvous] to the members, too.
func ChangeOf(r Routing, before, after []Name, sample int) Change {
	from, to := ringOf(r, before), ringOf(r, after)
	c := Change{Plan: Plan{Routing: r, IDs: sample}, Before: sharesOf(from), After: sharesOf(to)}
	moves := make(map[[2]int]int)
	for i := range sample {
		id := worker.IntID(int64(i))
		old, owner := from.Owner(id), to.Owner(id)
		if from.Slot(old) != to.Slot(owner) {
			c.Moved++
			moves[[2]int{old, owner}]++
		}
		c.Before[old].IDs++
		c.After[owner].IDs++
		c.Largest = max(c.Largest, c.After[owner].IDs)
	}
	for at, n := range moves {
		c.Moves = append(c.Moves, Move{from.Slot(at[0]).Name, to.Slot(at[1]).Name, n})
	}
	slices.SortFunc(c.Moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(b.IDs, a.IDs), a.From.Compare(b.From), a.To.Compare(b.To))
	})
	return c
}

// sharesOf returns the shares of the members of a ring, of no ids yet.
func sharesOf(r *Ring) []Share {
	shares := make([]Share, r.Len())
	for i := range shares {
		shares[i].Name = r.Slot(i).Name
	}
	return shares
}

// ringOf returns the ring of members that all live, each of them once.
func ringOf(r Routing, names []Name) *Ring {
	names = slices.Clone(names)
	slices.SortFunc(names, Name.Compare)
	var slots []Slot
	for _, n := range slices.Compact(names) {
		slots = append(slots, Slot{Name: n})
	}
	return NewRing(r, slots)
}
