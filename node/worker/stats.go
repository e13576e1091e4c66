package worker

import "time"

// Stats are counts of the workers of one kind on one node, since it started, and what
// there is now. Requests are counted where they are made: by this node's own program, its
// shell, its HTTP clients, and by the clients that ask it. Loads are counted where they
// run.
type Stats struct {
	Kind     string
	Local    uint64            // requests that a worker of this node answered, as the owner of their ids
	Remote   uint64            // requests that another node answered
	Degraded uint64            // requests answered in place of an owner that could not be reached
	Stale    uint64            // requests, of the above, answered from a value past its time, as the kind allows
	Failed   map[string]uint64 // requests, by their error, such as "overloaded"
	Latency  Histogram         // of requests; those answered from a value on this node count as 0
	Loads    Histogram         // runs of the source, or of a server's Call, and how long they took
	LoadErrs uint64            // those that failed
	Stuck    int               // those that go on although their time was up a second ago
	Strict   bool              // the kind is strict
	Fenced   uint64            // runs of a strict kind whose right to run ended before they did
	Expired  uint64            // workers
	Evicted  uint64            // workers that went before their time, to free memory
	Workers  int               // live now
	Bytes    int64             // of memory that their values take, about
	Waiting  int               // calls that wait for a worker now
	Running  int               // runs of the source, or of a server's Call, that go on now; not those of an Inline source
	Queued   int               // runs that wait for others to end, as the kind's Concurrency says
}

// A Histogram counts durations.
type Histogram struct {
	Bounds []time.Duration // upper ones, inclusive, ascending
	Counts []uint64        // one for each bound, not cumulative, and one for what is above the last
	Sum    time.Duration
}
