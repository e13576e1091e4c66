package registry

import (
	"slices"
	"sync"
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
	w.load.ctx.postpone(c.clock.When(w.started + w.policy.timeout))
	return true
}

// runners are goroutines for runs. Idle ones are kept for a while, because a new one has
// to grow its stack again, which takes longer than most runs (BenchmarkStartWorker,
// BenchmarkCallRemote). A few are kept for good.
type runners struct {
	wg sync.WaitGroup

	mu    sync.Mutex
	idle  []*runner   // the last one has run something last; guarded by mu
	spare int         // how many have been idle ever since the last trim; guarded by mu
	timer *time.Timer // of the next trim; nil if too few are idle; guarded by mu
	ended bool        // none is kept any more; guarded by mu
}

// A runner is a goroutine that does one run after another.
type runner struct {
	next chan run // of capacity 1; a run of nothing ends it
}

const (
	fewRunners  = 16          // that are kept for good
	mostRunners = 1024        // that are kept
	trimEvery   = time.Second // those that nobody has needed for that long end
)

// start has a goroutine do r. It does not wait.
func (p *runners) start(r run) {
	p.mu.Lock()
	last := len(p.idle) - 1
	if last < 0 {
		p.mu.Unlock()
		p.wg.Go(func() { p.work(r) })
		return
	}
	k := p.idle[last]
	p.idle = p.idle[:last]
	p.spare = min(p.spare, last)
	p.mu.Unlock()
	k.next <- r
}

func (p *runners) work(r run) {
	k := &runner{next: make(chan run, 1)}
	for r.of != nil {
		r.of.run(r)
		if !p.keep(k) {
			return
		}
		r = <-k.next
	}
}

// keep makes an idle runner wait for its next run. It reports false if that one is to end.
func (p *runners) keep(k *runner) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || len(p.idle) == mostRunners {
		return false
	}
	p.idle = append(p.idle, k)
	if p.timer == nil && len(p.idle) > fewRunners {
		p.timer = time.AfterFunc(trimEvery, p.trim)
	}
	return true
}

// trim ends the runners that were idle since it last did so, but for a few.
func (p *runners) trim() {
	p.mu.Lock()
	n := max(0, min(p.spare, len(p.idle)-fewRunners))
	surplus := slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	p.spare, p.timer = len(p.idle), nil
	if len(p.idle) > fewRunners && !p.ended {
		p.timer = time.AfterFunc(trimEvery, p.trim)
	}
	p.mu.Unlock()
	for _, k := range surplus {
		k.next <- run{}
	}
}

// end ends the goroutines, those that run something when they have done that, and waits
// for them.
func (p *runners) end() {
	p.mu.Lock()
	p.ended = true
	idle := p.idle
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	for _, k := range idle {
		k.next <- run{}
	}
	p.wg.Wait()
}
