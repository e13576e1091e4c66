// Package placement decides which member of a cluster owns an id, and which one acts for
// it while the owner has failed. Its functions are pure: there is no I/O, no clock and no
// state in it.
//
// A [Ring] holds the members in the order of [Name.Compare], and [Ring.Acting] is what a
// request asks of it.
//
// Invariants:
//
//   - Nodes that know the same members, in the same states and with the same [Routing], find the same
//     acting member for every id, and have rings of the same [Ring.Epoch].
//   - The failure of a member moves the ids of its slot and no others.
//   - A port is no part of who a node is: it changes the place of no id.
package placement

import (
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/distproc/distproc/node/worker"
)

// A Slot is the place of a member in a [Ring].
type Slot struct {
	Name   Name
	Failed bool // the member cannot be reached: another one acts for it

	hash uint64 // FNV-1a-64 of the name
}

// A Ring holds the members in the order that every node computes. It never changes.
type Ring struct {
	routing Routing
	slots   []Slot
	epoch   uint64
}

// NewRing returns the ring of these members. It sorts them by [Name.Compare].
func NewRing(routing Routing, slots []Slot) *Ring {
	r := &Ring{routing: routing, slots: slices.Clone(slots)}
	slices.SortFunc(r.slots, func(a, b Slot) int { return a.Name.Compare(b.Name) })
	epoch := fnv.New64a()
	epoch.Write([]byte{byte(routing)})
	for i := range r.slots {
		s := &r.slots[i]
		h := fnv.New64a()
		h.Write([]byte(s.Name.String()))
		s.hash = h.Sum64()
		epoch.Write([]byte(s.Name.String()))
		if s.Failed {
			epoch.Write([]byte(" failed"))
		}
		epoch.Write([]byte{'\n'})
	}
	r.epoch = epoch.Sum64()
	return r
}

// Routing returns the rule by which the ring chooses owners.
func (r *Ring) Routing() Routing { return r.routing }

// Epoch returns a number that is the same for the same members in the same state, under
// the same routing.
func (r *Ring) Epoch() uint64 { return r.epoch }

// Len returns the number of members.
func (r *Ring) Len() int { return len(r.slots) }

// Slot returns the slot at index i.
func (r *Ring) Slot(i int) Slot { return r.slots[i] }

// Owner returns the index of the slot that id belongs to, whether its member has failed
// or not.
func (r *Ring) Owner(id worker.ID) int {
	if r.routing == Modulo {
		return id.Mod(len(r.slots))
	}
	best, top := 0, uint64(0)
	for i := range r.slots {
		if score := r.slots[i].score(id); score > top {
			best, top = i, score
		}
	}
	return best
}

// Acting returns the index of the slot whose member answers for id: its owner, or while
// that has failed the fallback. So a crash moves the ids of one slot and no others, and
// what falls to the fallbacks is spread over all members.
func (r *Ring) Acting(id worker.ID) int {
	owner := r.Owner(id)
	if !r.slots[owner].Failed {
		return owner
	}
	if i, ok := r.Fallback(id); ok {
		return i
	}
	return owner
}

// Fallback returns the index of the slot whose member acts for id while the owner has
// failed: of the members that live, the one with the highest score for the id. It reports
// false if no other member lives.
func (r *Ring) Fallback(id worker.ID) (index int, ok bool) {
	owner, top := r.Owner(id), uint64(0)
	for i := range r.slots {
		if i == owner || r.slots[i].Failed {
			continue
		}
		if score := r.slots[i].score(id); !ok || score > top {
			index, top, ok = i, score, true
		}
	}
	return index, ok
}

// Rule returns the calculation that chose the owner of id, for people.
func (r *Ring) Rule(id worker.ID) string {
	switch n := len(r.slots); {
	case r.routing == Rendezvous:
		return fmt.Sprintf("highest of %d scores", n)
	case id.IsInt():
		return fmt.Sprintf("%s mod %d = %d", id, n, id.Mod(n))
	default:
		return fmt.Sprintf("FNV-1a-64(%q) mod %d = %d", id.String(), n, id.Mod(n))
	}
}

// score returns the score of the slot for the id, by rendezvous hashing. Integers of at
// most 64 bits, other integers, and strings are three classes, whose hashes are told
// apart.
func (s *Slot) score(id worker.ID) uint64 {
	class := uint64(0)
	if _, small := id.Int64(); !small {
		if class = 2; id.IsInt() {
			class = 1
		}
	}
	return mix(id.Hash() ^ mix(s.hash+class))
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014): each bit of x changes
// half of the bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
