package registry

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A policy is what both machines need of a kind, with its defaults filled in and its
// durations clamped to [worker.Forever].
type policy struct {
	ttl         time.Duration // how long a worker lives
	fromUse     bool          // ttl counts from the last use, not from the start
	timeout     time.Duration
	queue       int
	concurrency int
	definition  string
}

// A cachePolicy is the policy of a [worker.Cache].
type cachePolicy struct {
	policy
	load      worker.Source
	jitter    float64
	stale     time.Duration
	errorTTL  time.Duration
	maxBytes  int64
	inline    bool
	exclusive bool

	stood uint64       // of a worker of a strict kind: see [cache.since]; else 0
	base  *cachePolicy // with a stood of 0
}

// An actorPolicy is the policy of a [worker.Serial].
type actorPolicy struct {
	policy
	open   worker.Factory
	inline bool
}

func newPolicy(ttl, idleTTL, timeout time.Duration, queue, concurrency int, definition string) policy {
	return policy{
		ttl:         min(cmp.Or(idleTTL, ttl, worker.DefaultTTL), worker.Forever),
		fromUse:     idleTTL > 0,
		timeout:     min(cmp.Or(timeout, worker.DefaultTimeout), worker.Forever),
		queue:       cmp.Or(queue, worker.DefaultQueue),
		concurrency: concurrency,
		definition:  definition,
	}
}

func cachePolicyOf(k worker.Cache) *cachePolicy {
	p := &cachePolicy{
		policy:    newPolicy(k.TTL, k.IdleTTL, k.Timeout, k.Queue, k.Concurrency, k.Definition),
		load:      k.Load,
		jitter:    k.Jitter,
		stale:     min(k.StaleWhileRevalidate, worker.Forever),
		errorTTL:  min(k.ErrorTTL, worker.Forever),
		maxBytes:  k.MaxBytes,
		inline:    k.Inline,
		exclusive: k.Exclusive,
	}
	p.base = p
	return p
}

func actorPolicyOf(k worker.Serial) *actorPolicy {
	return &actorPolicy{newPolicy(k.TTL, k.IdleTTL, k.Timeout, k.Queue, k.Concurrency, k.Definition), k.Open, k.Inline}
}

// life returns how long a new worker has its value.
func (p *cachePolicy) life() time.Duration {
	if p.jitter <= 0 {
		return max(1, p.ttl)
	}
	lack := min(p.jitter, 1) * rand.Float64()
	return max(1, p.ttl-time.Duration(lack*float64(p.ttl)))
}
