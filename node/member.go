package node

import "github.com/distproc/distproc/internal/text"

// A Connection is what became of one name of [Node.Connect]. Err is nil if the node is connected,
// or is this node.
type Connection struct {
	Name string
	Err  error
}

// State is what a node thinks of a member.
type State uint8

const (
	Alive  State = iota // all is well with it
	Failed              // it cannot be reached; it keeps its seat until it leaves or is reaped
	Stuck               // it answers pings but no calls
)

func (s State) String() string {
	switch s {
	case Failed:
		return "failed"
	case Stuck:
		return "stuck"
	}
	return "alive"
}

// A Member is one seat of the cluster, as one node sees it.
type Member struct {
	Name        string // NAME@HOST
	Addr        string // where it listens, host:port
	State       State
	Incarnation uint64 // of the process: a later start has a higher one
}

// MarshalText returns the name of the state.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads alive, failed or stuck.
func (s *State) UnmarshalText(name []byte) error {
	return text.Parse(s, "state", []string{Alive.String(), Failed.String(), Stuck.String()}, name)
}
