// Package worker is the vocabulary of workers: ids, values, replies, and what a kind of
// worker is. It is a leaf that every other package of a node uses.
//
// An [ID] names a piece of work. A cluster has at most one worker of an id and a [Kind].
// The worker of a [Cache] keeps the [Value] that a [Source] returned. The worker of a
// [Serial] is a [Server], which takes messages. A caller gets a [Reply], or an error that
// has an [Outcome]. [Load], [Serve], [ValueOf] and [As] let programs use their own types
// of Go in the place of values.
//
// Invariants:
//
//   - IDs and values are immutable and comparable: those that mean the same are ==.
//   - [ID.Mod] and [ID.Hash] are the same in all versions, because nodes of several
//     versions have to agree on the owner of an id.
//   - An error of a source or server means that it ran, unless [NotRun] or [MayHaveRun]
//     marks it. Only a call that did not run is tried again.
package worker

import "time"

// DefaultKind is the name of the kind that is meant if a call names none.
const DefaultKind = "default"

// DefaultTimeout is the time that a call has whose context has neither a deadline nor a
// time limit ([WithTimeLimit]), and that a source has unless its kind says otherwise.
const DefaultTimeout = 5 * time.Second

// A Key names a worker.
type Key struct {
	Kind string // "" is [DefaultKind]
	ID   ID
}

// Forever is the longest duration of a [Kind], 100 years. A longer one means Forever, so
// that sums of times do not overflow.
const Forever = 100 * 365 * 24 * time.Hour

// Info describes a live worker.
type Info struct {
	Kind  string
	ID    ID
	Node  string
	Age   time.Duration // since the worker started
	TTL   time.Duration // until it expires; 0 while it loads
	Hits  uint64        // calls answered from its value, or by its server
	Queue int           // calls that wait for it

	// LeftOut is the number of live workers, about, that a list leaves out behind this
	// one. See node.Node.Workers.
	LeftOut int
}
