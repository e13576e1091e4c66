package tap

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

func key(i int) observe.TraceQuery {
	return observe.TraceQuery{Key: worker.Key{ID: worker.IntID(int64(i))}}
}

// TestSlowTracer reads less often than steps come: it misses the oldest ones, and is told.
func TestSlowTracer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Board
		q := key(1)
		page, begins, err := b.Poll(q)
		if err != nil || !begins || len(page.List) > 0 {
			t.Fatal(page, begins, err)
		}
		q.After = page.Next()
		long := errors.New(strings.Repeat("\xff\n", 10_000))
		for range observe.MaxSteps + 7 {
			b.Of("", worker.IntID(1)).Requested("x", false, 0, nil, long)
		}
		page, begins, err = b.Poll(q)
		if err != nil || begins || page.Missed != 7 || len(page.List) != observe.MaxSteps || page.List[0].Seq != 8 {
			t.Fatalf("%d steps, %d missed, %v %v", len(page.List), page.Missed, begins, err)
		}
		if e := page.List[0].Err; len(e) > 300 || strings.Contains(e, "\n") {
			t.Errorf("%q is kept", e)
		}
		q.After = page.Next()
		if page, _, _ = b.Poll(q); len(page.List) > 0 || page.Missed > 0 {
			t.Errorf("it says again %v", page)
		}
	})
}

// TestManyTaps has too many ids traced, until some end because nobody asks for them.
func TestManyTaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Board
		for i := range observe.MaxTraces {
			if _, _, err := b.Poll(key(i)); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := b.Poll(key(observe.MaxTraces)); !errors.Is(err, wire.Overloaded) {
			t.Errorf("one more: %v", err)
		}
		if _, begins, err := b.Poll(observe.TraceQuery{Key: worker.Key{Kind: worker.DefaultKind, ID: worker.IntID(0)}}); err != nil || begins {
			t.Errorf("one of these again: %v, %v", begins, err)
		}
		for range 3 {
			time.Sleep(Lease - time.Millisecond)
			if _, begins, err := b.Poll(key(0)); begins || err != nil {
				t.Errorf("one that is asked for begins anew: %v, %v", begins, err)
			}
		}
		if b.Of("", worker.IntID(0)) == nil || b.Of("", worker.IntID(1)) != nil {
			t.Error("not the one is there that was asked for")
		}
		if _, begins, err := b.Poll(key(1)); err != nil || !begins {
			t.Errorf("anew: %v, %v", begins, err)
		}
		time.Sleep(Lease + time.Millisecond)
		if b.taps.Load() != nil {
			t.Error("a board without taps is not empty")
		}
	})
}

// BenchmarkUntraced is what each request pays while nothing is traced.
func BenchmarkUntraced(b *testing.B) {
	var board Board
	id := worker.IntID(1)
	for b.Loop() {
		if board.Of("", id) != nil {
			b.Fatal("a tap")
		}
	}
}
