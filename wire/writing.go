package wire

import (
	"container/list"
	"errors"
	"sync"
	"time"
)

const (
	maxWriting   = 128 << 20              // bytes of large frames that may be on their way at a time
	largeFrame   = 64 << 10               // bytes from which a frame counts
	writingGrace = 250 * time.Millisecond // that a write has, however many others there are
)

// writing holds the large frames that are being written, on all sessions of the process, as its memory
// is one.
var writing = writes{limit: maxWriting}

// writes bounds the bytes of frames that are being written. Beyond the limit, the peer that has been
// reading one for longest loses its session: those that read fast have read theirs by then.
type writes struct {
	limit int

	mu    sync.Mutex
	bytes int       // guarded by mu
	slow  list.List // of *write, the oldest first; guarded by mu
}

type write struct {
	bytes int
	began time.Time
	end   func(error) // ends the session; does not block
}

// begin notes that a frame of so many bytes is written. The caller calls done when it has been.
func (w *writes) begin(bytes int, end func(error)) (done func()) {
	if bytes < largeFrame {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += bytes
	e := w.slow.PushBack(&write{bytes, time.Now(), end})
	w.shedLocked()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.slow.Remove(e) // does nothing if its session has been ended
		w.bytes -= bytes
	}
}

func (w *writes) shedLocked() {
	excess := w.bytes - w.limit
	for excess > 0 && w.slow.Len() > 0 {
		oldest := w.slow.Front().Value.(*write)
		if time.Since(oldest.began) < writingGrace {
			return
		}
		w.slow.Remove(w.slow.Front())
		excess -= oldest.bytes
		oldest.end(errors.New("the peer reads too slowly while memory is short"))
	}
}
