package wire

import (
	"sync"
	"unsafe"
)

const (
	maxHeld     = 128 << 20 // bytes of values that may wait for peers to read them
	heldAtLeast = 1 << 10   // bytes from which a value counts; there are at most as many answers as calls
)

// held counts the values that wait to be sent, on all sessions of the process, as its memory is one.
var held = heldValues{limit: maxHeld}

// heldValues counts bytes. A value that answers many calls counts once.
type heldValues struct {
	limit int

	mu    sync.Mutex
	uses  map[*byte]heldValue // by the address of the first byte; guarded by mu
	bytes int                 // guarded by mu
}

type heldValue struct{ uses, bytes int }

// take notes that v waits to be sent, and reports whether there is room for it.
func (h *heldValues) take(v string) bool {
	if len(v) < heldAtLeast {
		return true
	}
	p := unsafe.StringData(v)
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.uses[p]
	more := max(0, len(v)-u.bytes) // a shorter part of it may be held already
	if h.bytes+more > h.limit {
		return false
	}
	if h.uses == nil {
		h.uses = map[*byte]heldValue{}
	}
	h.uses[p] = heldValue{u.uses + 1, u.bytes + more}
	h.bytes += more
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
	if delete(h.uses, p); len(h.uses) == 0 {
		h.uses = nil // a burst must not keep its memory
	}
}
