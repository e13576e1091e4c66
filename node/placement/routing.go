package placement

import (
	"fmt"
	"slices"

	"github.com/distproc/distproc/wire/text"
)

// A Routing is the rule by which the cluster chooses the owner of an id. All nodes must
// have the same.
type Routing uint8

const (
	// Modulo gives id n the slot n mod N, as the original does. When a member joins or
	// leaves for good, most ids move.
	Modulo Routing = iota

	// Rendezvous gives an id to the member with the highest score for it (highest random
	// weight; Thaler and Ravishankar, 1996). When a member joins N others, 1/(N+1) of the
	// ids move, all of them to it. To choose costs time in proportion to N.
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
