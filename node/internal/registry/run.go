package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// runInline is [Registry.RunInline].
func (c *cache) runInline(
	id worker.ID, trace, links string, deadline, now time.Duration,
) (reply worker.Reply, err error, ran bool) {
	p := c.policy.Load()
	if !p.inline || !c.first() {
		return worker.Reply{}, nil, false
	}
	s := c.shard(id)
	s.mu.Lock()
	w := s.workers.get(id)
	if w.due(now) {
		w = c.renewLocked(s, w, now)
	}
	if w != nil || s.closed || deadline <= now {
		s.mu.Unlock()
		return worker.Reply{}, nil, false
	}
	w = c.addLoadingLocked(s, id, p, inlineLoad, now)
	s.mu.Unlock()
	defer c.wg.Done()
	ctx := c.ctx
	if trace != "" {
		ctx = worker.WithTrace(ctx, trace)
	}
	if links != "" {
		ctx = chain.With(ctx, chain.Cause{Chain: links, Of: worker.Key{Kind: c.name, ID: id}})
	}
	c.callSource(ctx, p.load, id, func(v worker.Value, e *wire.Error) { reply, err = c.finish(s, w, trace, v, e) })
	return reply, err, true
}

// A run is what a goroutine is to do for a worker.
type run struct {
	of   interface{ run(run) } // its machine
	s    *shard
	w    *entry
	late bool // it is a load that has waited for its turn
}

// run runs the source, and ends the load with the result.
func (c *cache) run(r run) {
	defer c.wg.Done()
	defer c.gate.leave()
	ctx := r.w.load.ctx
	defer ctx.release()
	if r.late && !c.begin(r.s, r.w) {
		_, _ = c.finish(r.s, r.w, ctx.trace, worker.Value{}, errAbandoned)
		return
	}
	if err := c.awaitPredecessor(ctx); err != nil {
		_, _ = c.finish(r.s, r.w, ctx.trace, worker.Value{}, err)
		return
	}
	c.callSource(ctx, r.w.policy.load, r.w.id, func(v worker.Value, err *wire.Error) {
		_, _ = c.finish(r.s, r.w, ctx.trace, v, err)
	})
}

// begin starts the time of a load that has waited. It reports whether anybody waits for
// it.
func (c *cache) begin(s *shard, w *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.load.abandoned {
		return false
	}
	w.started = c.Now()
	w.load.ctx.postpone(c.when(w.started + w.policy.timeout))
	return true
}

// runners are goroutines for runs. A few idle ones are kept, because a new one has to
// grow its stack again (BenchmarkStartWorker).
type runners struct {
	wg    sync.WaitGroup
	next  chan run // what an idle one is to do; nothing ends it
	idle  atomic.Int32
	ended atomic.Bool // none is kept any more
}

const maxIdleRunners = 16

func newRunners() *runners { return &runners{next: make(chan run)} }

// start has a goroutine do r. It does not wait.
func (p *runners) start(r run) {
	select {
	case p.next <- r:
	default:
		p.wg.Go(func() { p.work(r) })
	}
}

func (p *runners) work(r run) {
	for r.of != nil {
		r.of.run(r)
		if p.idle.Add(1) > maxIdleRunners || p.ended.Load() {
			p.idle.Add(-1)
			return
		}
		r = <-p.next
		p.idle.Add(-1)
	}
}

// end ends the goroutines, those that run something when they have done that, and waits
// for them.
func (p *runners) end() {
	p.ended.Store(true)
	gone := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(gone)
	}()
	for {
		select {
		case p.next <- run{}:
		case <-gone:
			return
		}
	}
}
