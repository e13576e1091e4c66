package node

import (
	"time"

	"github.com/distproc/distproc/wire/text"
)

// A Connection is what became of one name of [Node.Connect]. Err is nil if the node is
// connected, or is this node.
type Connection struct {
	Name string
	Err  error
}

// State is what a node thinks of a member.
type State uint8

const (
	StateAlive  State = iota // the member answers
	StateFailed              // it cannot be reached; it keeps its slot until it leaves or is reaped
	StateStuck               // it answers pings but no calls
)

func (s State) String() string {
	switch s {
	case StateFailed:
		return "failed"
	case StateStuck:
		return "stuck"
	}
	return "alive"
}

// A Member is one slot of the cluster, as one node sees it.
type Member struct {
	Name        string // NAME@HOST
	Addr        string // where it listens, host:port
	State       State
	Incarnation uint64 // of the process: a later start has a higher one

	// Since is the time for which it has been in that State, as far as the node knows
	// that tells: of an older member that may be the time since the node joined. Kept is
	// the time for which a member that the cluster counts as failed keeps its slot yet:
	// until then its ids wait for its return. It is [worker.Forever] if that is not
	// limited. Nodes of older versions leave both 0.
	Since, Kept time.Duration
}

// MarshalText returns the name of the state.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads alive, failed or stuck.
func (s *State) UnmarshalText(name []byte) error {
	return text.Parse(s, "state", []string{StateAlive.String(), StateFailed.String(), StateStuck.String()}, name)
}
