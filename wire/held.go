package wire

import (
	"sync"
	"unsafe"
)

const (
	maxHeld     = 128 << 20 // bytes of values that may wait for peers to read them
	heldShare   = 16 << 20  // bytes of them for one session once half of maxHeld is taken
	heldAtLeast = 1 << 10   // bytes; smaller values do not count, as the number of calls bounds them
)

// held counts the values that wait to be sent. Sessions share it because they share the
// memory of the process.
var held = heldValues{limit: maxHeld, share: heldShare}

// heldValues counts bytes of values. A value that answers many calls counts once, for its
// first session.
type heldValues struct {
	limit, share int

	mu    sync.Mutex
	uses  map[*byte]heldValue // by the address of the first byte; guarded by mu
	bytes int                 // guarded by mu
}

type heldValue struct {
	uses, bytes int
	by          *holding // the session it counts for
}

// A holding counts the held bytes of one session.
type holding struct{ bytes int } // guarded by heldValues.mu

// take adds a value that waits to be sent on a session. It reports false if there is no
// room.
func (h *heldValues) take(v string, by *holding) bool {
	if len(v) < heldAtLeast {
		return true
	}
	p := unsafe.StringData(v)
	h.mu.Lock()
	defer h.mu.Unlock()
	u, known := h.uses[p]
	if !known {
		u.by = by
	}
	more := max(0, len(v)-u.bytes) // a prefix of it may be held already
	if sum := h.bytes + more; more > 0 && (sum > h.limit || sum > h.limit/2 && u.by.bytes+more > h.share) {
		return false
	}
	if h.uses == nil {
		h.uses = map[*byte]heldValue{}
	}
	h.uses[p] = heldValue{u.uses + 1, u.bytes + more, u.by}
	h.bytes += more
	u.by.bytes += more
	return true
}

// release undoes one successful take.
func (h *heldValues) release(v string) {
	if len(v) < heldAtLeast {
		return
	}
	p := unsafe.StringData(v)
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.uses[p]
	if u.uses--; u.uses > 0 {
		h.uses[p] = u
		return
	}
	h.bytes -= u.bytes
	u.by.bytes -= u.bytes
	if delete(h.uses, p); len(h.uses) == 0 {
		h.uses = nil // frees the memory of a burst
	}
}
