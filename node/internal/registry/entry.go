package registry

import (
	"math"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// An entry is the one place for its id on this node. It is loading until its source has returned,
// then it has a value, until it expires. It is no goroutine: only a running source has one. All of
// it is guarded by the lock of its shard.
type entry struct {
	id      worker.ID
	kind    *policy
	started time.Duration // on the registry's clock
	expires time.Duration // when its value is given no more, or as stale only; meaningless while it loads
	value   worker.Value
	err     *wire.Error // cached instead of a value, if the kind says so
	load    *load       // nil once it has a value
	mail    *mailbox    // of a serial kind, instead of value, err and load
	next    *entry      // in its chain of the index
	hits    uint32      // as far as it can count
	retry   uint32      // when a refresh may begin after one has failed, in pauseUnits; 0 if none has
	mark    uint32      // its place in the shard's loading, while it is there; otherwise when its value was last used: see useLocked
	moved   bool        // the id is another node's now: hand its answer over when the load ends
	counted bool        // its value counts as memory
	listed  bool        // it is in the expiry heap
}

// beginLocked notes that something runs for w.
func (s *shard) beginLocked(w *entry) {
	w.mark = uint32(len(s.loading))
	s.loading = append(s.loading, w)
}

// endRunLocked notes that nothing runs for w any more.
func (s *shard) endRunLocked(w *entry) {
	last := len(s.loading) - 1
	s.loading[w.mark] = s.loading[last]
	s.loading[w.mark].mark = w.mark
	s.loading[last] = nil
	s.loading = s.loading[:last]
}

// turn returns what a worker that loads or serves waits for, or has waited for, before it runs; or nil.
func (w *entry) turn() *entrance {
	if w.mail != nil {
		return w.mail.turn
	}
	return w.load.turn
}

// dies returns when its value is given no more, not even as stale.
func (w *entry) dies() time.Duration {
	if w.err != nil {
		return w.expires
	}
	return w.expires + w.kind.stale
}

// due reports whether a call is to replace w, which may be nil. It is not due while a refresh must wait.
func (w *entry) due(now time.Duration) bool {
	return w != nil && w.load == nil && w.expires <= now && !(w.usable(now) && w.pausesLocked(now))
}

// hitLocked counts a call that its value, or its server, has answered.
func (w *entry) hitLocked() {
	if w.hits < math.MaxUint32 {
		w.hits++
	}
}

const (
	pauseUnit = 10 * time.Millisecond // 32 bits of them are more than a year
	maxPause  = 7 * 24 * time.Hour
)

// pauseLocked has the next refresh wait, at most a week. Until then the value is given as stale.
func (w *entry) pauseLocked(now, pause time.Duration) {
	w.retry = max(1, uint32((now+min(pause, maxPause))/pauseUnit))
}

// pausesLocked reports whether a refresh must still wait.
func (w *entry) pausesLocked(now time.Duration) bool {
	return w.retry != 0 && int32(w.retry-uint32(now/pauseUnit)) > 0
}

// staleValue returns the worker whose value is given as stale instead of that of w: the one that w is to replace, or
// w itself while a refresh must wait. It is nil if there is none. W may be nil, and is not due.
func (w *entry) staleValue(now time.Duration) *entry {
	switch {
	case w == nil:
		return nil
	case w.load == nil && w.expires <= now:
		return w
	case w.load != nil && w.load.stale.usable(now):
		return w.load.stale
	}
	return nil
}

// usable reports whether its value may still be given as stale.
func (w *entry) usable(now time.Duration) bool { return w != nil && w.err == nil && now < w.dies() }

// dropLocked removes w, but not its successor.
func (r *Registry) dropLocked(s *shard, w *entry) {
	s.workers.remove(w)
	r.releaseLocked(w)
}
