// Package observe has what a node tells of what happens on it: events of the cluster, the
// requests of one id as they come, and how many requests there are of each kind.
//
// Texts in it that come from peers and users are clipped and printable.
package observe

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

// A Mark is a place in the events, or in the steps, of one run of a node. Marks of one run
// have the same Run and ascending Seqs from 1; a node that starts anew has another Run. The
// zero Mark is before everything.
type Mark struct {
	Run uint64
	Seq uint64
}

// String returns the mark as text, which [ParseMark] reads.
func (m Mark) String() string { return fmt.Sprintf("%x-%d", m.Run, m.Seq) }

// ParseMark reads what String returns.
func ParseMark(s string) (m Mark, err error) {
	run, seq, ok := strings.Cut(s, "-")
	if ok {
		m.Run, err = strconv.ParseUint(run, 16, 64)
	}
	if ok && err == nil {
		m.Seq, err = strconv.ParseUint(seq, 10, 64)
	}
	if !ok || err != nil {
		return Mark{}, fmt.Errorf("%s is no mark; take that of an earlier answer", text.Quote(s))
	}
	return m, nil
}

// Limits of one answer, and of what a node keeps.
const (
	MaxEvents = 10_000 // events that a node keeps; 2 MiB of them at most
	MaxPage   = 1000   // events, or steps, of one answer
	MaxSteps  = 1000   // steps that a node keeps of a traced id
	MaxTraces = 32     // ids that are traced on a node at a time
	MaxKinds  = 500    // kinds of a list of loads
	Seconds   = 60     // for which a node knows its loads
)

// An EventQuery asks a node for its events.
type EventQuery struct {
	Node  string // NAME@HOST; empty is the node that is asked
	After Mark   // zero: the newest events; else the oldest ones after it, from the first if its Run is another
	Max   int    // events; 0 is MaxPage, which is also the most
}

// An Event is something that happened on a node.
type Event struct {
	Seq   uint64
	Time  time.Time
	Level string // info, warn or error
	What  string // a constant text, that of the log: "node down"
	Node  string // the node that it is about, or empty
	Kind  string // of workers, or empty
	Why   string // the reason, or empty
	More  string // other facts, such as "by=client from=127.0.0.1:40000"
}

func (e Event) seq() uint64 { return e.Seq }

// A Page is what there is after a mark, the oldest first. The next page begins after Next.
type Page[T interface{ seq() uint64 }] struct {
	Node   string // where it happened
	Run    uint64
	Last   uint64 // Seq of the newest one of the node; 0 if there is none yet
	Missed uint64 // those after the mark that the node does not keep any more
	List   []T
}

// Next returns the mark after the page.
func (p Page[T]) Next() Mark {
	m := Mark{p.Run, p.Last}
	if n := len(p.List); n > 0 {
		m.Seq = p.List[n-1].seq()
	}
	return m
}

type (
	Events = Page[Event] // of a node
	Steps  = Page[Step]  // of an id; its Node is the one that acts for the id
)

// A TraceQuery asks for what happened to an id after a mark, on the node that acts for it.
// To trace an id, ask again and again, a few times a second; the node stops 2 s after the
// last time.
type TraceQuery struct {
	worker.Key
	After Mark // zero: nothing yet, and the trace begins
}

// A Step is a request or a call that a node has answered.
type Step struct {
	Seq      uint64
	Time     time.Time // when it was answered
	What     string    // request, refresh, call
	From     string    // the node or client that asked; the node itself for what its own program asks
	Took     time.Duration
	By       string // the node that answered
	Cached   bool   // as in worker.Reply, like the next two
	Stale    bool
	Degraded bool
	Message  string // of a call, clipped
	Value    string // of the answer, clipped
	Err      string // empty if it was answered
}

func (s Step) seq() uint64 { return s.Seq }

// A Load is the requests of a kind in the last [Seconds], on one node or on all. Requests
// count at the node where they are made: see [worker.Stats].
type Load struct {
	Kind      string
	PerSecond []uint32         // requests in each second, the last one at the end; fewer than Seconds on a new node
	Failed    uint64           // of the requests of the last 56 to 60 s, like the next one
	Latency   worker.Histogram // Sum is 0
}

// Rate returns the requests per second over the last 5 s.
func (l Load) Rate() float64 {
	last := l.PerSecond[max(0, len(l.PerSecond)-rateOver):]
	if len(last) == 0 {
		return 0
	}
	sum := 0.0
	for _, n := range last {
		sum += float64(n)
	}
	return sum / float64(len(last))
}

const rateOver = 5 // seconds

// Quantile returns the latency that a part of the requests, such as 0.99, did not exceed,
// as far as the buckets tell: the upper bound of its bucket. Above the last bound it
// returns that bound. It is 0 if there were no requests.
func (l Load) Quantile(part float64) time.Duration {
	h := l.Latency
	total, sum := uint64(0), uint64(0)
	for _, n := range h.Counts {
		total += n
	}
	if total == 0 || len(h.Bounds) == 0 {
		return 0
	}
	for i, n := range h.Counts {
		if sum += n; float64(sum) >= part*float64(total) && i < len(h.Bounds) {
			return h.Bounds[i]
		}
	}
	return h.Bounds[len(h.Bounds)-1]
}
