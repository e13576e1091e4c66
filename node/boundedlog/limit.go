package boundedlog

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	linesPerSecond = 100
	repeatAfter    = time.Minute
	maxKeys        = 1000
)

// A Limit lets 100 lines a second pass. It may be used from any number of goroutines.
type Limit struct {
	rate    *rate.Limiter
	leftOut atomic.Int64 // lines that no written line mentions yet
}

// NewLimit returns a Limit that has let nothing pass yet.
func NewLimit() *Limit { return &Limit{rate: rate.NewLimiter(linesPerSecond, linesPerSecond)} }

// Allow reports whether a line may be written now. If lines were left out since the last
// one that was written, fields holds "left_out" and their number, to be added to this
// line.
func (l *Limit) Allow() (fields []any, ok bool) {
	if !l.rate.Allow() {
		l.leftOut.Add(1)
		return nil, false
	}
	return leftOut(l.leftOut.Swap(0)), true
}

func leftOut(n int64) []any {
	if n == 0 {
		return nil
	}
	return []any{"left_out", n}
}

// Repeats lets one line a minute pass for each key, and for at most 1,000 keys a minute.
// The zero value is ready to use. It may be used from any number of goroutines.
type Repeats struct {
	mu      sync.Mutex
	last    map[string]time.Time // of each key's line; guarded by mu
	leftOut int64                // lines that no written line mentions yet; guarded by mu
}

// Allow reports whether a line for key may be written now. The fields are those of
// [Limit.Allow] and count the lines of all keys.
func (r *Repeats) Allow(key string) (fields []any, ok bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.last) >= maxKeys {
		for k, at := range r.last {
			if now.Sub(at) >= repeatAfter {
				delete(r.last, k)
			}
		}
	}
	at, known := r.last[key]
	if known && now.Sub(at) < repeatAfter || !known && len(r.last) >= maxKeys {
		r.leftOut++
		return nil, false
	}
	if r.last == nil {
		r.last = map[string]time.Time{}
	}
	r.last[key] = now
	fields, r.leftOut = leftOut(r.leftOut), 0
	return fields, true
}
