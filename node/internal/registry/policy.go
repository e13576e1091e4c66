package registry

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A policy is a kind with its defaults filled in and its durations clamped to
// [worker.Forever].
type policy struct {
	load worker.Source  // of a cache
	open worker.Factory // of a serial kind

	ttl         time.Duration // how long a worker lives
	fromUse     bool          // ttl counts from its last use
	jitter      float64
	stale       time.Duration
	errorTTL    time.Duration
	timeout     time.Duration
	queue       int
	concurrency int
	maxBytes    int64
	inline      bool
	exclusive   bool
	definition  string
}

// policyOf returns the policy of a kind, which is valid.
func policyOf(kind worker.Kind) *policy {
	p := &policy{}
	var ttl, idle time.Duration
	switch k := kind.(type) {
	case worker.Cache:
		p.load, p.inline, p.exclusive, p.definition = k.Load, k.Inline, k.Exclusive, k.Definition
		p.jitter, p.stale, p.errorTTL, p.maxBytes = k.Jitter, k.StaleWhileRevalidate, k.ErrorTTL, k.MaxBytes
		ttl, idle, p.timeout, p.queue, p.concurrency = k.TTL, k.IdleTTL, k.Timeout, k.Queue, k.Concurrency
	case worker.Serial:
		p.open, p.definition = k.Open, k.Definition
		ttl, idle, p.timeout, p.queue, p.concurrency = k.TTL, k.IdleTTL, k.Timeout, k.Queue, k.Concurrency
	}
	p.fromUse = idle > 0
	p.ttl = min(cmp.Or(idle, ttl, worker.DefaultTTL), worker.Forever)
	p.timeout = min(cmp.Or(p.timeout, worker.DefaultTimeout), worker.Forever)
	p.stale, p.errorTTL = min(p.stale, worker.Forever), min(p.errorTTL, worker.Forever)
	p.queue = cmp.Or(p.queue, worker.DefaultQueue)
	return p
}

// life returns how long a new worker has its value.
func (p *policy) life() time.Duration {
	if p.jitter <= 0 {
		return max(1, p.ttl)
	}
	lack := min(p.jitter, 1) * rand.Float64()
	return max(1, p.ttl-time.Duration(lack*float64(p.ttl)))
}
