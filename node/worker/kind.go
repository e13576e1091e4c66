package worker

import (
	"context"
	"errors"
	"fmt"
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

// A Kind is a family of workers with one source and one policy. It needs a Source, or
// Serial. Other zero fields mean the default.
type Kind struct {
	Source      Source        // what a value comes from; a kind has either this or Serial
	Inline      bool          // Source takes microseconds, never blocks, and never ends its goroutine: who asks first runs it, with no deadline, in a fifth of the time
	TTL         time.Duration // 5 s; how long a worker lives, Forever at most. It counts from the start of the run: what takes longer is stale when it comes
	FromUse     bool          // TTL counts from the last use, not from the worker's start
	TTLJitter   float64       // 0 to 1: how much of its TTL, at most, a worker may lack, so that not all expire at once
	ServeStale  time.Duration // 0: a value that has expired is given to those who wait for it alone; for how long after its TTL it is given while a refresh runs
	Timeout     time.Duration // 5 s; how long the source may run
	Queue       int           // 4096; calls that may wait for one id
	Concurrency int           // no limit; runs at a time on a node, of the source or of messages to servers. An Inline source has no use for it
	MaxBytes    int64         // no limit but the node's; bytes of values on a node, beyond which the least recently used ones go before their time
	CacheErrors time.Duration // 0: the next call after an error runs the source again; one for which there is a stale value a second later
	Exclusive   bool          // a call that may have run is not answered by another node instead
	Serial      Factory       // of servers that take calls instead: the kind has no Source, and no more of the above than TTL, FromUse, Timeout, Queue and Concurrency
	Definition  string        // what nodes compare, to tell when they differ about the kind; empty: nothing
}

// Validate returns an error if it is not clear what answers the calls of the kind, or if
// a field has a value that makes no sense.
func (k Kind) Validate() error {
	switch {
	case k.Source == nil && k.Serial == nil:
		return errors.New("it has no Source, and no Serial: set what answers its calls, such as RandomSource for a trial")
	case k.Source != nil && k.Serial != nil:
		return errors.New("it has a Source and Serial: it has either values to request or servers to call, so leave one out")
	}
	for _, f := range []struct {
		name  string
		value any
		wrong bool
		rule  string
	}{
		{"TTL", k.TTL, k.TTL < 0, "0 means 5s, Forever that a worker does not expire"},
		{"TTLJitter", k.TTLJitter, !(k.TTLJitter >= 0 && k.TTLJitter <= 1), "a share of the TTL, from 0 to 1"},
		{"ServeStale", k.ServeStale, k.ServeStale < 0, "0 means that no value is given after its TTL"},
		{"Timeout", k.Timeout, k.Timeout < 0, "0 means 5s"},
		{"Queue", k.Queue, k.Queue < 0, "0 means 4096"},
		{"Concurrency", k.Concurrency, k.Concurrency < 0, "0 means no limit"},
		{"MaxBytes", k.MaxBytes, k.MaxBytes < 0, "0 means no limit but the node's"},
		{"CacheErrors", k.CacheErrors, k.CacheErrors < 0, "0 means that no error is kept"},
	} {
		if f.wrong {
			return fmt.Errorf("%s must not be %v: %s", f.name, f.value, f.rule)
		}
	}
	return nil
}
