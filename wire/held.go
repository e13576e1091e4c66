package wire

import (
	"sync"
	"unsafe"
)

const (
	maxHeld     = 128 << 20 // bytes of values that may wait for peers to read them
	heldShare   = 16 << 20  // bytes of them that one session may cause once half of maxHeld is taken
	heldAtLeast = 1 << 10   // bytes from which a value counts; there are at most as many answers as calls
)

// held counts the values that wait to be sent, on all sessions of the process, as its memory is one.
var held = heldValues{limit: maxHeld, share: heldShare}

// heldValues counts bytes. A value that answers many calls counts once, for the session that came
// first.
type heldValues struct {
	limit, share int

	mu    sync.Mutex
	uses  map[*byte]heldValue // by the address of the first byte; guarded by mu
	bytes int                 // guarded by mu
}

type heldValue struct {
	uses, bytes int
	by          *holding // whose share it is of
}

// A holding is what one session causes to be held.
type holding struct{ bytes int } // guarded by heldValues.mu

// take notes that v waits to be sent on a session, and reports whether there is room for it.
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
	more := max(0, len(v)-u.bytes) // a shorter part of it may be held already
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

// release undoes a take that succeeded.
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
		h.uses = nil // a burst must not keep its memory
	}
}
