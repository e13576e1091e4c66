package placement

import (
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

// PlanChange counts, for each routing, how many of the integer ids from 0 to sample-1
// would move if the members were after instead of before. Both must name at least one
// node.
func PlanChange(before, after []Name, sample int) []Plan {
	var plans []Plan
	for r := range routingNames {
		p := Plan{Routing: Routing(r), IDs: sample}
		from, to := ringOf(p.Routing, before), ringOf(p.Routing, after)
		load := make([]int, to.Len())
		for i := range sample {
			id := worker.IntID(int64(i))
			owner := to.Owner(id)
			if from.Slot(from.Owner(id)) != to.Slot(owner) {
				p.Moved++
			}
			load[owner]++
			p.Largest = max(p.Largest, load[owner])
		}
		plans = append(plans, p)
	}
	return plans
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
