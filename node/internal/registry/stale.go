package registry

import "time"

// Freshness and usability are two questions. A value is fresh until it expires. After
// that it is usable for a while: callers get it as stale while a refresh runs, or while
// the next refresh must wait because one has failed.

const (
	// refreshPause is how long the next refresh waits after one has failed, if the kind
	// keeps no errors.
	refreshPause = time.Second

	pauseUnit = 10 * time.Millisecond // 32 bits of them are more than a year
	maxPause  = 7 * 24 * time.Hour
)

// dies returns when the value of w is given no more, not even as stale.
func (w *entry) dies() time.Duration {
	if w.err != nil {
		return w.expires
	}
	return w.expires + w.policy.stale
}

// due reports whether a call must replace w, which may be nil. W is not due while a
// refresh must wait.
func (w *entry) due(now time.Duration) bool {
	return w != nil && w.load == nil && w.expires <= now && !(w.usable(now) && w.pausesLocked(now))
}

// usable reports whether the value of w, which may be nil, may still be given as stale.
func (w *entry) usable(now time.Duration) bool { return w != nil && w.err == nil && now < w.dies() }

// staleValue returns the worker whose value is given as stale instead of that of w: the
// one that w replaces, or w itself while a refresh must wait. It is nil if there is none.
// W may be nil, and is not due.
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

// pauseLocked lets the next refresh wait, at most a week.
func (w *entry) pauseLocked(now, pause time.Duration) {
	w.retry = max(1, uint32((now+min(pause, maxPause))/pauseUnit))
}

// pausesLocked reports whether a refresh must still wait.
func (w *entry) pausesLocked(now time.Duration) bool {
	return w.retry != 0 && int32(w.retry-uint32(now/pauseUnit)) > 0
}

// renewLocked removes a worker that has expired and was not swept yet. If its value may
// be given as stale, a successor loads.
func (c *cache) renewLocked(s *shard, w *entry, now time.Duration) (successor *entry) {
	s.workers.remove(w)
	s.expired++
	if !w.usable(now) || s.closed {
		c.releaseLocked(w)
		return nil
	}
	successor = c.startLocked(s, w.id, now, nil)
	successor.load.stale = w
	return successor
}
