package registry

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	tracing "github.com/distproc/distproc/node/internal/trace"
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
	by := origin{trace: trace}
	if c.guard != nil {
		token, stood, permitted, _ := c.guard.Begin(worker.Key{Kind: c.name, ID: id}, 0, c.clock.Boot())
		if !permitted {
			s.mu.Unlock()
			return worker.Reply{}, nil, false
		}
		by.token, p = token, c.since(p, stood)
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
	if !by.token.IsZero() {
		ctx = context.WithValue(ctx, tracing.TokenKey{}, by.token)
	}
	c.callSource(ctx, p.load, id, func(v worker.Value, e *wire.Error) { reply, err = c.finish(s, w, by, v, e) })
	return reply, err, true
}

// A run is what a goroutine is to do for a worker.
type run struct {
	of   interface{ run(run) } // its machine
	s    *shard
	w    *entry
	late bool // it is a load that has waited for its turn

	quick bool   // it may wait for a runner
	epoch uint32 // of a quick run that has a runner: that of the runners when it got it
}

// run runs the source, and ends the load with the result.
func (c *cache) run(r run) {
	defer c.wg.Done()
	l := r.w.load
	defer func() {
		if !l.left {
			c.gate.leave()
		}
	}()
	ctx := l.ctx
	defer ctx.release()
	if err := c.prepare(r, ctx); err != nil {
		_, _ = c.finish(r.s, r.w, origin{trace: ctx.trace}, worker.Value{}, err)
		return
	}
	c.callSource(ctx, r.w.policy.load, r.w.id, func(v worker.Value, err *wire.Error) {
		_, _ = c.finish(r.s, r.w, origin{ctx.trace, ctx.token}, v, err)
	})
}

// An origin says on whose behalf a source ran.
type origin struct {
	trace string
	token worker.Token // of a strict kind; else zero
}

// prepare waits until a load may run, or returns why it must not.
func (c *cache) prepare(r run, ctx *runContext) *wire.Error {
	if r.late && !c.begin(r.s, r.w) {
		return errAbandoned
	}
	if err := c.awaitPredecessor(ctx); err != nil {
		return err
	}
	if c.guard != nil {
		return c.permit(r.s, r.w, ctx)
	}
	return nil
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
