package observe

import (
	"time"

	"github.com/distproc/distproc/node/worker"
)

// The past of a kind is Samples samples of SampleTime each: 15 minutes.
const (
	SampleTime = 5 * time.Second
	Samples    = 180
	MaxPasts   = 50 // kinds with a past in one answer, those with the most requests
	MaxHot     = 50 // ids of each list of a Hot
)

// A FiguresQuery asks a node for its figures.
type FiguresQuery struct {
	Node  string // NAME@HOST; empty is the node that is asked
	After Mark   // the samples after it; zero, or of another run: all that the node keeps
}

// Figures are what the kinds of one node do now, and what they did in the last 15 minutes.
type Figures struct {
	Node   string
	Run    uint64          // of the node: see [Mark]
	Last   uint64          // number of the newest sample; 0 if there is none yet
	Age    time.Duration   // since that sample ended, or since the node counts
	Clock  time.Time       // of the node
	Bounds []time.Duration // of the buckets of samples, as in worker.Histogram
	Kinds  []KindFigures   // by name; at most MaxKinds, those with the most requests
}

// Next returns the mark after the newest sample.
func (f Figures) Next() Mark { return Mark{Run: f.Run, Seq: f.Last} }

// KindFigures are those of one kind on one node. Requests count where they are made, as in
// [worker.Stats], all else where the workers are.
type KindFigures struct {
	Kind           string
	Serial, Strict bool
	Rate           float64       // requests per second over the last 5 s
	Workers        int           // live
	Bytes          int64         // of memory that their values take, about
	MaxBytes       int64         // that they may take; 0 if only the node limits them
	Waiting        int           // calls that wait for a worker
	Longest        int           // of the calls that wait for one id, the most
	Running        int           // runs of the source, or of a server's Call
	Concurrency    int           // the most that may go on at a time; 0 if there is no limit
	Queued         int           // runs that wait for others to end
	Stuck          int           // runs that go on although their time was up a second ago
	StuckFor       time.Duration // for which the first of these has gone on since its time was up
	Past           []Sample      // consecutive, up to the newest one; empty if nothing happened in any
}

// A Sample is what a kind did in one SampleTime.
type Sample struct {
	Latency    []uint32 // requests, by bucket of how long they took; nil if there were none
	Failed     uint32   // of these requests, like the next two
	Degraded   uint32
	Stale      uint32
	Runs       []uint32 // of the source, or of a server's Call, by bucket; nil if there were none
	RunsFailed uint32
	Evicted    uint32 // workers
}

// A HotQuery asks a node for its hottest ids.
type HotQuery struct {
	Node string // NAME@HOST; empty is the node that is asked
}

// Hot are the ids of one node that have the most to do.
type Hot struct {
	Node    string
	Busiest []HotID // those with the most answers per second, the busiest first
	Longest []HotID // those for which the most calls wait, the longest queue first
	Workers int     // live on the node
}

// A HotID is the worker of an id that has much to do.
type HotID struct {
	worker.Info
	Rate float64 // answers per second since it was looked at last, a second ago or so; else since it started
}
