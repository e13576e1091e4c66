// Package bench makes load and measures how it is answered.
//
// [Run] starts callers. A caller takes its next turn from the schedule, waits until it is
// due, chooses an id for each of the turn's requests, makes them at once, and notes the
// answers in a tally, which is emptied into the one [Result] now and then. A few callers
// share a tally. The time at which a request is answered is that at which the caller's
// next one is made, unless that is due at a time of its own.
//
// In the closed loop a caller takes its next turn when it has the answers of the last
// one. That finds what a cluster can do, but a stall holds back the very requests that
// would have shown it. In the open loop (Config.Rate) turns are due at fixed times,
// whatever becomes of the others, and latency counts from then: see Gil Tene on
// coordinated omission, https://github.com/giltene/wrk2#readme.
package bench

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// An Ask makes one request, and returns when it is answered, or the time limit of ctx is
// over: see [worker.WithTimeLimit]. Ctx itself never ends. The requests of a caller run at
// the same time if there is a Batch.
type Ask func(ctx context.Context, id worker.ID) (worker.Reply, error)

// A Config says what load to make. Fields without a note must be positive.
type Config struct {
	Asks        []Ask          // the ways to the cluster: caller i takes Asks[i % len(Asks)]
	Concurrency int            // callers
	Batch       int            // requests in a turn of a caller: made at once, and the turn ends with the last answer
	Duration    time.Duration  // until when a turn may begin, or be due; 0 is for ever
	Requests    int64          // to be made in all; 0 is any number
	Rate        float64        // requests that are due in a second; 0 is the closed loop
	IDs         int64          // the ids are 0 to IDs-1
	Zipf        float64        // over 1: id k is asked in proportion to (1+k)^-Zipf; 0 is uniformly
	Seed        uint64         // of the ids; any
	Timeout     time.Duration  // of a request, from when it is made
	Watch       func(Progress) // nil, or told five times a second how it goes
	GiveUp      func()         // nil, or ends all requests in flight, and those made later, with context.Canceled or node.ErrClosed

	timers bool // tests: no alarm but a timer of Go, which synctest knows
}

// Progress is what is known while the load runs; the counts are up to 0.1 s old.
type Progress struct {
	Elapsed          time.Duration
	Requests, Errors int64
}

const (
	watchEvery   = 200 * time.Millisecond
	refusedPause = 10 * time.Millisecond // of a caller in the closed loop whose request did not run
	maxChunk     = 64                    // turns that a caller claims together
	notDue       = -1                    // when a turn of the closed loop is due
)

// Run makes the load, until all of it is made or ctx ends, and returns what came of it.
// In the open loop requests that are due by the end of Duration, but late, are made until
// Timeout after it.
func Run(ctx context.Context, c Config) *Result {
	r := newRun(ctx, c)
	defer r.pacer.alarm.close()
	defer context.AfterFunc(ctx, r.stop)()
	var callers, watch sync.WaitGroup
	for i := range c.Concurrency {
		caller := newCaller(r, i)
		callers.Go(func() { caller.work(ctx) })
	}
	watching, done := context.WithCancel(ctx)
	watch.Go(func() { r.watch(watching) })
	callers.Wait()
	for i := range r.tallies {
		r.tallies[i].mu.Lock()
		r.flushLocked(&r.tallies[i])
		r.tallies[i].mu.Unlock()
	}
	done()
	watch.Wait()
	return r.finish(ctx)
}

// A run is what all callers know.
type run struct {
	Config
	schedule schedule
	began    time.Time
	turns    atomic.Int64    // that have been claimed
	stopped  atomic.Bool     // its context has ended
	limited  context.Context // of all requests
	tallies  []tally
	pacer    pacer // of the open loop
	mu       sync.Mutex
	result   *Result // guarded by mu until all callers have returned
}

func newRun(ctx context.Context, c Config) *run {
	r := &run{Config: c, schedule: newSchedule(c), result: newResult()}
	r.limited = worker.WithTimeLimit(context.Background(), c.Timeout) // without an end, for which a caller would take longer to wait
	r.tallies = make([]tally, min(c.Concurrency, 8*runtime.GOMAXPROCS(0)))
	r.pacer = pacer{waits: make(chan struct{}, 1), alarm: newAlarm(ctx)}
	if c.timers {
		r.pacer.alarm.close()
		r.pacer.alarm = newTimerAlarm(ctx)
	}
	r.began = time.Now()
	return r
}

// stop has no more turns begin, and gives up those that have.
func (r *run) stop() {
	r.stopped.Store(true)
	if r.GiveUp != nil {
		r.GiveUp()
	}
}

// now is the time since the run began.
func (r *run) now() time.Duration { return time.Since(r.began) }

func (r *run) watch(ctx context.Context) {
	if r.Watch == nil {
		return
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		p := Progress{Requests: r.result.Requests, Errors: r.result.Errors()}
		r.mu.Unlock()
		p.Elapsed = r.now()
		r.Watch(p)
	}
}

func (r *run) finish(ctx context.Context) *Result {
	res := r.result
	res.Elapsed = r.now()
	res.Interrupted = ctx.Err() != nil
	if made := res.Requests + res.Unanswered; r.schedule.open() {
		res.Unsent = max(0, r.schedule.dueBy(res.Elapsed)-made)
	}
	return res
}
