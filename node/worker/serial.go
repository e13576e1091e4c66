package worker

import "time"

// A Serial is a [Kind] whose workers are servers that take messages. Messages for one id
// run one after the other. Every zero field but Open has a default.
type Serial struct {
	// Open makes the server of an id. The function [Serve] makes one of a function that
	// returns a server with messages and answers of types of Go.
	Open Factory

	// TTL is how long a server lives after its first message. 0 means 5 s, [Forever] no
	// end.
	TTL time.Duration

	// IdleTTL is how long a server lives after its last message. It replaces TTL: a kind
	// has one of the two.
	IdleTTL time.Duration

	// Timeout is how long Open and a message may run together, and how long Terminate may
	// run. 0 means 5 s. A Strict kind must not have Forever: an id waits for the end of its
	// call, so a call that never ends would keep it.
	Timeout time.Duration

	// Queue is how many messages may wait for one id. More fail with node.ErrOverloaded.
	// 0 means 4096.
	Queue int

	// Concurrency is how many messages may run at a time on a node. 0 means no limit.
	Concurrency int

	// Inline says that Call takes microseconds, never blocks and never ends its goroutine.
	// A message to a server that does nothing else then runs on the goroutine of its
	// caller, which saves more than half of the time.
	Inline bool

	// Strict says that a message runs at one place in the cluster or not at all, also when
	// the network is split or a node was paused. The nodes must have voters: see
	// node.Config. Call finds its token by [TokenOf], for what it changes to refuse an older
	// one. While too few voters can be reached calls fail with node.ErrNoQuorum.
	Strict bool

	// Definition is a text that nodes compare, to report when they differ about the kind.
	// Nothing is compared if it is empty.
	Definition string
}

// Validate returns an error that names the first field that makes no sense.
func (s Serial) Validate() error {
	if err := checkLife(s.TTL, s.IdleTTL); err != nil {
		return err
	}
	return checkFields(
		field{"Open", "nil", s.Open == nil, "set what makes its servers, such as Serve(start)"},
		duration("Timeout", s.Timeout, zeroTimeout),
		field{"Timeout", "forever", s.Strict && s.Timeout >= Forever, "a call of a strict kind keeps its id until it ends, so set how long it may run; 0 means 5s"},
		number("Queue", s.Queue, zeroQueue),
		number("Concurrency", s.Concurrency, zeroConcurrency),
	)
}

func (Serial) sealed() {}
