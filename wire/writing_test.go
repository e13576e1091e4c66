package wire

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWriting has more frames be written than there is room for: the peers that have been
// reading for longest lose their sessions, until there is room, but not those that have
// just begun.
func TestWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := writes{limit: 4 * largeFrame}
		var ended [9]bool
		var done [9]func()
		begin := func(i, bytes int) {
			done[i] = w.begin(bytes, func(err error) { ended[i] = err != nil })
		}
		check := func(what string, want ...int) {
			t.Helper()
			synctest.Wait()
			for i, got := range ended {
				expect := false
				for _, n := range want {
					expect = expect || n == i
				}
				if got != expect {
					t.Errorf("%s: session %d has ended: %v", what, i, got)
				}
			}
		}
		for i := range 4 {
			begin(i, largeFrame)
			time.Sleep(writingGrace / 8)
		}
		begin(4, largeFrame-1) // which does not count
		check("as much as there is room for")
		begin(5, largeFrame)
		check("one more at once")
		time.Sleep(writingGrace * 5 / 8)
		begin(6, largeFrame)
		check("when two have had their time", 0, 1)
		for i := range 6 {
			done[i]()
		}
		if w.bytes != largeFrame || w.slow.Len() != 1 {
			t.Errorf("%d bytes of %d frames, want %d of 1", w.bytes, w.slow.Len(), largeFrame)
		}
		time.Sleep(time.Minute)
		begin(7, largeFrame)
		check("slow ones while there is room", 0, 1)
		begin(8, 3*largeFrame)
		check("a slow one, when there is none", 0, 1, 6)
	})
}

// TestSlowReadersEnd has peers read none of their large answers, while there is little
// room for these: their sessions end before the time that each has alone.
func TestSlowReadersEnd(t *testing.T) { bubble(t, testSlowReadersEnd) }

func testSlowReadersEnd(t *testing.T) {
	limit := func(n int) {
		writing.mu.Lock()
		defer writing.mu.Unlock()
		writing.limit = n
	}
	limit(2 << 20)
	defer limit(maxWriting)
	big := strings.Repeat("x", MaxValue)
	var victims []*Session
	for range 6 {
		near, far := net.Pipe()
		mux, victim := rawPeerOn(t, near, far, handler{call: func(c Call) { c.Reply(&Reply{Data: big}) }})
		for _, kind := range []string{"\x01", "\x03"} {
			stream, err := mux.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			stream.Write([]byte(kind))
			if kind == "\x01" {
				ask(t, stream, 1)
			}
		}
		victims = append(victims, victim)
		time.Sleep(writingGrace / 2)
	}
	select {
	case <-victims[0].Done():
		if err := victims[0].Err(); err.Error() != "unreachable: the peer reads too slowly while memory is short" {
			t.Error(err)
		}
	case <-victims[len(victims)-1].Done():
		t.Error("the last one has ended first")
	}
}
