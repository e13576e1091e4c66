package wire

import (
	"container/list"
	"errors"
	"sync"
	"time"
)

const (
	maxWriting   = 128 << 20              // bytes of large frames in all sessions
	largeFrame   = 64 << 10               // bytes; smaller frames do not count
	writingGrace = 250 * time.Millisecond // minimum time for a write
)

// writing holds the large frames that are being written. Sessions share it because they
// share the memory of the process.
var writing = writes{limit: maxWriting}

// writes bounds the bytes of frames that are being written. Beyond the limit, the session
// with the oldest frame ends, because its peer reads most slowly.
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

// begin records that a frame of so many bytes is being written. The caller must call done
// after that.
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
		w.slow.Remove(e) // does nothing if the session has ended
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
