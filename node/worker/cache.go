package worker

import (
	"context"
	"math/rand/v2"
	"time"
)

// A Source produces the value of the worker of an id. It should return soon after ctx
// ends: that is at the kind's Timeout, or when nobody waits for the value any more. Runs
// for one id never overlap; runs for different ids do. A panic becomes an error of its
// callers.
type Source func(ctx context.Context, id ID) (Value, error)

// RandomSource is the source of the demo: an integer from 1 to 1000.
func RandomSource(context.Context, ID) (Value, error) { return IntValue(rand.Int64N(1000) + 1), nil }

// A Cache is a [Kind] whose workers keep the value that a [Source] returned. Calls for
// one id share one run of the source. Every zero field but Load has a default.
type Cache struct {
	// Load is the source of the values. The function [Load] makes one of a function that
	// returns a type of Go.
	Load Source

	// TTL is how long a worker lives. It counts from the start of the run, so a value
	// whose run takes longer has expired when it comes. 0 means 5 s, [Forever] no end.
	TTL time.Duration

	// IdleTTL is how long a worker lives after its last use. It replaces TTL: a kind has
	// one of the two.
	IdleTTL time.Duration

	// Jitter is the largest share of TTL, from 0 to 1, that a worker may lack, so that
	// workers that start together do not expire together.
	Jitter float64

	// StaleWhileRevalidate is how long after its end a value is still given while the
	// source runs again. 0 means that callers wait for the new value.
	StaleWhileRevalidate time.Duration

	// ErrorTTL is how long an error of the source is the answer to later calls. 0 means
	// that the next call runs the source again, or a second later if there is a stale
	// value to give meanwhile.
	ErrorTTL time.Duration

	// Timeout is how long the source may run. 0 means 5 s.
	Timeout time.Duration

	// Queue is how many calls may wait for one id. More fail with node.ErrOverloaded. 0
	// means 4096.
	Queue int

	// Concurrency is how many runs may go on at a time on a node. 0 means no limit. It
	// has no effect on an Inline source.
	Concurrency int

	// MaxBytes is how much memory values may take on a node. Beyond it the least recently
	// used ones go before their time. 0 means no limit but the node's.
	MaxBytes int64

	// Inline says that Load takes microseconds, never blocks and never ends its
	// goroutine. The first caller then runs it on its own goroutine, without a deadline,
	// in a fifth of the time.
	Inline bool

	// Exclusive says that a call that may have run is not answered by another node
	// instead.
	Exclusive bool

	// Strict says that the source runs for an id at one place in the cluster or not at all,
	// also when the network is split or a node was paused. No answer is older than an
	// invalidation, whichever node has made that, and none is degraded. Values do not move
	// to other nodes. The nodes must have voters: see node.Config. Load finds the token of
	// its run by [TokenOf]. While too few voters can be reached requests fail with
	// node.ErrNoQuorum.
	Strict bool

	// Definition is a text that nodes compare, to report when they differ about the kind.
	// Nothing is compared if it is empty.
	Definition string
}

// Validate returns an error that names the first field that makes no sense.
func (c Cache) Validate() error {
	if err := checkLife(c.TTL, c.IdleTTL); err != nil {
		return err
	}
	return checkFields(
		field{"Load", "nil", c.Load == nil, "set the source of its values, such as RandomSource for a trial"},
		field{"Jitter", c.Jitter, !(c.Jitter >= 0 && c.Jitter <= 1), "a share of the TTL, from 0 to 1"},
		duration("StaleWhileRevalidate", c.StaleWhileRevalidate, "0 means that no value is given after its end"),
		duration("ErrorTTL", c.ErrorTTL, "0 means that no error is kept"),
		duration("Timeout", c.Timeout, zeroTimeout),
		number("Queue", c.Queue, zeroQueue),
		number("Concurrency", c.Concurrency, zeroConcurrency),
		number("MaxBytes", c.MaxBytes, "0 means no limit but the node's"),
	)
}

func (Cache) sealed() {}
