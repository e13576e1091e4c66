package wire

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowFrameThenPause has a frame come slowly, and the next one only after more than
// giveUp: the deadline of the former is not one of the latter.
func TestSlowFrameThenPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var frames bytes.Buffer
		w := newFrameWriter(&frames)
		var ends []int
		for i := range 3 {
			if err := w.write(callBatch{Seq: []uint64{uint64(i)}, Data: bytes.Repeat([]byte("x"), chunkSize)}); err != nil {
				t.Fatal(err)
			}
			ends = append(ends, frames.Len())
		}
		near, far := net.Pipe()
		defer far.Close()
		go func() {
			at := 0
			for _, end := range ends {
				time.Sleep(10 * giveUp)
				near.Write(frames.Bytes()[at : end-10])
				time.Sleep(giveUp / 2)
				near.Write(frames.Bytes()[end-10 : end])
				at = end
			}
		}()
		r := newFrameReader(far, smallBuffer)
		for i := range ends {
			var b callBatch
			if err := r.read(&b); err != nil || b.Seq[0] != uint64(i) {
				t.Errorf("frame %d: %+v, %v", i, b.Seq, err)
				far.Close()
				time.Sleep(time.Hour) // the writer ends
				return
			}
		}
	})
}

// TestFrameWriterLetsGo writes a large frame between small ones: its buffer does not
// stay.
func TestFrameWriterLetsGo(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := newFrameWriter(&out)
	for _, size := range []int{1, MaxValue, 1} {
		if err := w.write(callBatch{Data: make([]byte, size)}); err != nil {
			t.Fatal(err)
		}
		if got := w.buf.Cap(); got > maxData {
			t.Errorf("a buffer of %d bytes stays after a message of %d", got, size)
		}
	}
}

// TestBatchTakes adds large values to batches: none is more than a message may have,
// however full the batch.
func TestBatchTakes(t *testing.T) {
	t.Parallel()
	large, largest := strings.Repeat("x", 200<<10), strings.Repeat("x", MaxValue)
	for name, b := range map[string]interface {
		takes(bytes int) bool
	}{
		"calls": func() *callBatch {
			b := new(callBatch)
			if !b.takes(len(largest)) {
				t.Error("an empty batch of calls does not take the largest message")
			}
			b.add(1, &Request{IsCall: true, Data: large}, time.Second)
			return b
		}(),
		"replies": func() *replyBatch {
			b := new(replyBatch)
			if !b.takes(len(largest)) {
				t.Error("an empty batch of replies does not take the largest value")
			}
			b.add(1, &Reply{Data: large})
			return b
		}(),
	} {
		if b.takes(len(largest)) {
			t.Errorf("%s: 200 KiB and 1 MiB in one batch", name)
		}
		if !b.takes(1000) {
			t.Errorf("%s: 200 KiB and 1,000 bytes not in one batch", name)
		}
	}
}
