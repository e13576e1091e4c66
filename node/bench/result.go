package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Result is what came of a run.
type Result struct {
	Elapsed     time.Duration // until the last answer
	Interrupted bool          // the context of the run ended before
	Requests    int64         // that were answered, or failed
	Cached      int64         // answers that a worker had already
	Degraded    int64         // answers of a worker in the owner's place
	Failures    map[Failure]Failed
	Unanswered  int64 // in flight when the run was interrupted, and given up
	Unsent      int64 // of the open loop: due, but not made before the end

	// Latency has the nanoseconds of all requests, also those that failed, to three
	// digits and an hour at most: until the answer, from when a request was made or, in
	// the open loop, due.
	Latency *hdrhistogram.Histogram
}

// A Failure is a way to fail.
type Failure struct {
	Code    wire.Code
	Outcome worker.Outcome
}

// Failed is how many requests failed in one way, and what one of them said.
type Failed struct {
	Count   int64
	Example string
}

const maxLatency = time.Hour

func newResult() *Result {
	return &Result{Failures: map[Failure]Failed{}, Latency: hdrhistogram.New(1, int64(maxLatency), 3)}
}

// Errors is how many requests failed.
func (r *Result) Errors() (n int64) {
	for _, f := range r.Failures {
		n += f.Count
	}
	return n
}

// PerSecond is the throughput: answers, without errors.
func (r *Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Requests-r.Errors()) / r.Elapsed.Seconds()
}

// A tally is what some callers have noted since it was emptied last. It has the latencies
// as they are, since a histogram, of 270 kB, would be too many bytes for caches. Each
// caller with a tally of its own would be too many bytes as well; one for all would have
// them wait for its lock.
type tally struct {
	mu sync.Mutex
	// All of the following is guarded by mu.
	flushed    time.Duration // when it was emptied last
	took       [256]time.Duration
	requests   int // how many of took are set
	cached     int64
	degraded   int64
	unanswered int64
	failures   map[Failure]Failed // nil until there is one
}

const flushEvery = 100 * time.Millisecond

func (t *tally) full() bool { return t.requests == len(t.took) }

func (t *tally) note(a *answer) {
	t.took[t.requests] = a.took
	t.requests++
	if a.err != nil {
		t.noteFailure(a.err)
		return
	}
	if a.cached {
		t.cached++
	}
	if a.degraded {
		t.degraded++
	}
}

func (t *tally) noteFailure(err error) {
	f := Failure{Code: codeOf(err), Outcome: node.OutcomeOf(err)}
	failed, seen := t.failures[f]
	if !seen {
		failed.Example = err.Error()
	}
	failed.Count++
	if t.failures == nil {
		t.failures = map[Failure]Failed{}
	}
	t.failures[f] = failed
}

func codeOf(err error) wire.Code {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e.Code
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return wire.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return wire.Canceled
	}
	return wire.Internal
}

// add empties t into r.
func (r *Result) add(t *tally) {
	for _, took := range t.took[:t.requests] {
		_ = r.Latency.RecordValue(int64(min(took, maxLatency))) // it fits
	}
	r.Requests += int64(t.requests)
	r.Cached += t.cached
	r.Degraded += t.degraded
	r.Unanswered += t.unanswered
	for f, more := range t.failures {
		failed, seen := r.Failures[f]
		if !seen {
			failed.Example = more.Example
		}
		failed.Count += more.Count
		r.Failures[f] = failed
	}
	t.requests, t.cached, t.degraded, t.unanswered = 0, 0, 0, 0
	clear(t.failures)
}
