package registry

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// withDefaults returns k with the defaults of zero fields, and with durations of at most Forever.
func withDefaults(k worker.Kind) worker.Kind {
	k.TTL = min(cmp.Or(k.TTL, 5*time.Second), worker.Forever)
	k.Timeout = min(cmp.Or(k.Timeout, worker.DefaultTimeout), worker.Forever)
	k.ServeStale, k.CacheErrors = min(k.ServeStale, worker.Forever), min(k.CacheErrors, worker.Forever)
	k.Queue = cmp.Or(k.Queue, 4096)
	return k
}

// life is how long a new worker has its value.
func life(k *worker.Kind) time.Duration {
	if k.TTLJitter <= 0 {
		return max(1, k.TTL)
	}
	lack := min(k.TTLJitter, 1) * rand.Float64()
	return max(1, k.TTL-time.Duration(lack*float64(k.TTL)))
}
