package node

import (
	"time"

	"github.com/distproc/distproc/wire"
)

// A worker is the one place for its id on this node. It is loading until its source has returned,
// then it has a value, until it expires. It is no goroutine: only a running source has one. All of
// it is guarded by the lock of its shard.
type worker struct {
	id      ID
	kind    *Kind
	started time.Duration // on the registry's clock
	expires time.Duration // when its value is given no more, or as stale only; meaningless while it loads
	value   Value
	err     *wire.Error // cached instead of a value, if the kind says so
	hits    uint64
	load    *load    // nil once it has a value
	mail    *mailbox // of a serial kind, instead of value, err and load
	next    *worker  // in its chain of the index
	mark    uint32   // its place in the shard's loading, while it is there; otherwise when its value was last used: see useLocked
	moved   bool     // the id is another node's now: hand its answer over when the load ends
	counted bool     // its value counts as memory
}

// beginLocked notes that something runs for w.
func (s *shard) beginLocked(w *worker) {
	w.mark = uint32(len(s.loading))
	s.loading = append(s.loading, w)
}

// endRunLocked notes that nothing runs for w any more.
func (s *shard) endRunLocked(w *worker) {
	last := len(s.loading) - 1
	s.loading[w.mark] = s.loading[last]
	s.loading[w.mark].mark = w.mark
	s.loading[last] = nil
	s.loading = s.loading[:last]
}

// turn returns what a worker that loads or serves waits for, or has waited for, before it runs; or nil.
func (w *worker) turn() *entrance {
	if w.mail != nil {
		return w.mail.turn
	}
	return w.load.turn
}

// dies returns when its value is given no more, not even as stale.
func (w *worker) dies() time.Duration {
	if w.err != nil {
		return w.expires
	}
	return w.expires + w.kind.ServeStale
}

// usable reports whether its value may still be given as stale.
func (w *worker) usable(now time.Duration) bool { return w != nil && w.err == nil && now < w.dies() }

// dropLocked removes w, but not its successor.
func (r *registry) dropLocked(s *shard, w *worker) {
	s.workers.remove(w)
	r.releaseLocked(w)
}
