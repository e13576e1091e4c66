package node

import (
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/distproc/distproc/node/internal/text"
	"github.com/distproc/distproc/node/worker"
)

// A Routing is the rule by which the cluster chooses the owner of an id. All nodes must have the same.
type Routing uint8

const (
	// Modulo gives id n the seat n mod N, as the original does. When a member joins or leaves for good,
	// most ids move.
	Modulo Routing = iota

	// Rendezvous gives an id to the member with the highest score for it (highest random weight;
	// Thaler and Ravishankar, 1996). When a member joins N others, 1/(N+1) of the ids move, all of
	// them to it. To choose costs time in proportion to N.
	Rendezvous
)

var routingNames = [...]string{Modulo: "modulo", Rendezvous: "rendezvous"}

// ParseRouting reads modulo or rendezvous.
func ParseRouting(s string) (Routing, error) {
	if i := slices.Index(routingNames[:], s); i >= 0 {
		return Routing(i), nil
	}
	return 0, fmt.Errorf("routing %q: say modulo or rendezvous", s)
}

// String returns what [ParseRouting] reads.
func (r Routing) String() string {
	if int(r) < len(routingNames) {
		return routingNames[r]
	}
	return "unknown"
}

// MarshalText returns the name of the routing.
func (r Routing) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads modulo or rendezvous.
func (r *Routing) UnmarshalText(name []byte) error {
	return text.Parse(r, "routing", routingNames[:], name)
}

// owner returns the index of the seat that id belongs to. Seats are sorted by [Name.Compare], so all who
// know the same members choose the same one.
func (r Routing) owner(id worker.ID, seats []seat) int {
	if r == Modulo {
		return id.Mod(len(seats))
	}
	best, top := 0, uint64(0)
	for i := range seats {
		if score := seats[i].score(id); score > top {
			best, top = i, score
		}
	}
	return best
}

// place returns the index of the seat whose member answers for id: its owner, or while that has failed a
// stand-in, the living member with the highest score for the id. So a crash moves the ids of one seat and no
// others, all who see it choose the same places, and what falls to a stand-in is spread over all of them.
func (r Routing) place(id worker.ID, seats []seat) int {
	owner := r.owner(id, seats)
	if !seats[owner].failed {
		return owner
	}
	if i, ok := standIn(id, seats, owner); ok {
		return i
	}
	return owner
}

// standIn returns the index of the seat that stands in for the owner of id when that fails, and whether there
// is one.
func standIn(id worker.ID, seats []seat, owner int) (index int, ok bool) {
	top := uint64(0)
	for i := range seats {
		if i == owner || seats[i].failed {
			continue
		}
		if score := seats[i].score(id); !ok || score > top {
			index, top, ok = i, score, true
		}
	}
	return index, ok
}

// rule is the calculation that chose a seat, for people.
func (r Routing) rule(id worker.ID, n int) string {
	switch {
	case r == Rendezvous:
		return fmt.Sprintf("highest of %d scores", n)
	case id.IsInt():
		return fmt.Sprintf("%s mod %d = %d", id, n, id.Mod(n))
	default:
		return fmt.Sprintf("FNV-1a-64(%q) mod %d = %d", id.String(), n, id.Mod(n))
	}
}

// A seat is what routing knows of a member.
type seat struct {
	name   Name
	hash   uint64 // FNV-1a-64 of the name
	failed bool   // its member cannot be reached: another one stands in for it
}

func seatOf(name Name) seat {
	h := fnv.New64a()
	h.Write([]byte(name.String()))
	return seat{name: name, hash: h.Sum64()}
}

// score is how much the seat wants the id, by rendezvous hashing. Integers of at most 64 bits, other integers,
// and strings have hashes of three classes.
func (s *seat) score(id worker.ID) uint64 {
	class := uint64(0)
	if _, small := id.Int64(); !small {
		if class = 2; id.IsInt() {
			class = 1
		}
	}
	return mix(id.Hash() ^ mix(s.hash+class))
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014): each bit of x changes half of the bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// A Plan tells how many of a sample of ids a change of the members would move.
type Plan struct {
	Routing Routing
	IDs     int // in the sample
	Moved   int // to another owner
	Largest int // ids of the member that has the most, after the change
}

// PlanChange counts, for each routing, how many of the integer ids from 0 to sample-1 would move if the
// members were after instead of before. Both must name at least one node.
func PlanChange(before, after []Name, sample int) []Plan {
	from, to := seatsOf(before), seatsOf(after)
	var plans []Plan
	for r := range routingNames {
		p := Plan{Routing: Routing(r), IDs: sample}
		load := make([]int, len(to))
		for i := range sample {
			id := worker.IntID(int64(i))
			owner := p.Routing.owner(id, to)
			if from[p.Routing.owner(id, from)] != to[owner] {
				p.Moved++
			}
			load[owner]++
			p.Largest = max(p.Largest, load[owner])
		}
		plans = append(plans, p)
	}
	return plans
}

func seatsOf(names []Name) []seat {
	names = slices.Clone(names)
	slices.SortFunc(names, Name.Compare)
	var seats []seat
	for _, n := range slices.Compact(names) {
		seats = append(seats, seatOf(n))
	}
	return seats
}
