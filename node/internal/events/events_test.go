package events

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/distproc/distproc/node/observe"
)

func seqs(page observe.Events) (list []uint64) {
	for _, e := range page.List {
		list = append(list, e.Seq)
	}
	return list
}

// TestSince reads pages of a ring whose first events have gone.
func TestSince(t *testing.T) {
	t.Parallel()
	r := New()
	if page := r.Since(observe.Mark{}, 10); len(page.List) != 0 || page.Next() != (observe.Mark{Run: r.run}) {
		t.Errorf("an empty ring has %+v", page)
	}
	for range observe.MaxEvents + 5 {
		r.Add(observe.Event{What: "x"})
	}
	const last = observe.MaxEvents + 5
	for _, c := range []struct {
		after  observe.Mark
		limit  int
		want   []uint64
		missed uint64
	}{
		{observe.Mark{}, 2, []uint64{last - 1, last}, 0},
		{observe.Mark{Run: r.run}, 2, []uint64{6, 7}, 5},
		{observe.Mark{Run: r.run, Seq: 3}, 2, []uint64{6, 7}, 2},
		{observe.Mark{Run: r.run, Seq: 5}, 2, []uint64{6, 7}, 0},
		{observe.Mark{Run: r.run, Seq: 6}, 2, []uint64{7, 8}, 0},
		{observe.Mark{Run: r.run, Seq: last - 1}, 2, []uint64{last}, 0},
		{observe.Mark{Run: r.run, Seq: last}, 2, nil, 0},
		{observe.Mark{Run: r.run, Seq: 1 << 63}, 2, nil, 0},
		{observe.Mark{Run: r.run, Seq: 1<<64 - 1}, 2, nil, 0},
		{observe.Mark{Run: r.run + 1, Seq: last}, 2, []uint64{6, 7}, 5}, // of another start
	} {
		page := r.Since(c.after, c.limit)
		if got := seqs(page); !slices.Equal(got, c.want) || page.Missed != c.missed || page.Last != last {
			t.Errorf("after %+v: %v, %d missed, want %v, %d", c.after, got, page.Missed, c.want, c.missed)
		}
	}
	for _, limit := range []int{-1, 0, 1 << 40} {
		if n := len(r.Since(observe.Mark{}, limit).List); n != observe.MaxPage {
			t.Errorf("limit %d: %d events, want %d", limit, n, observe.MaxPage)
		}
	}
}

// TestResume follows a ring while events are added, in pages, and misses none.
func TestResume(t *testing.T) {
	t.Parallel()
	r := New()
	var adding sync.WaitGroup
	for range 4 {
		adding.Go(func() {
			for range 1000 {
				r.Add(observe.Event{What: "x"})
			}
		})
	}
	mark, seen := observe.Mark{Run: r.run}, uint64(0)
	for seen < 4000 {
		page := r.Since(mark, 7)
		for _, e := range page.List {
			if e.Seq != seen+1 {
				t.Fatalf("event %d after %d", e.Seq, seen)
			}
			seen = e.Seq
		}
		mark = page.Next()
	}
	adding.Wait()
}

// TestRingIsBounded adds events with long and foul texts.
func TestRingIsBounded(t *testing.T) {
	t.Parallel()
	r := New()
	foul := strings.Repeat("\x1b[2J\xff\n", 1<<16)
	for range observe.MaxEvents {
		r.Add(observe.Event{Level: foul, What: foul, Node: foul, Kind: foul, Why: foul, More: foul})
	}
	total := 0
	for _, e := range r.list {
		total += size(&e)
		for _, s := range []string{e.Level, e.What, e.Node, e.Kind, e.Why, e.More} {
			if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsAny(s, "\x1b\n") {
				t.Fatalf("%q is kept", s)
			}
		}
	}
	if total != r.bytes || total > maxBytes || total < maxBytes/2 {
		t.Errorf("%d bytes, counted as %d, limit %d", total, r.bytes, maxBytes)
	}
	if c := cap(r.list); c > 2*observe.MaxEvents {
		t.Errorf("room for %d events", c)
	}
}

// TestTee has a log whose lines become events.
func TestTee(t *testing.T) {
	t.Parallel()
	r := New()
	var out bytes.Buffer
	log := slog.New(r.Tee(slog.NewTextHandler(&out, nil))).With("zone", "a")
	log.Debug("not an event")
	log.Log(context.Background(), Level, "not in the log", "node", "1@a")
	log.Warn("node down", "node", "2@a", "why", "EOF", "addr", "a:1")
	log.Error("worker panicked", "kind", "price", "id", "7", "panic", "oh", "stack", "main.go")
	want := []observe.Event{
		{Seq: 1, Level: "info", What: "not in the log", Node: "1@a", More: "zone=a"},
		{Seq: 2, Level: "warn", What: "node down", Node: "2@a", Why: "EOF", More: "zone=a addr=a:1"},
		{Seq: 3, Level: "error", What: "worker panicked", Kind: "price", Why: "oh", More: "zone=a id=7"},
	}
	got := r.Since(observe.Mark{}, 0).List
	for i := range got {
		if got[i].Time.IsZero() {
			t.Errorf("%+v has no time", got[i])
		}
		got[i].Time = want[min(i, 2)].Time
	}
	if !slices.Equal(got, want) {
		t.Errorf("events %+v\nwant %+v", got, want)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 2 || !strings.Contains(out.String(), "stack=main.go") {
		t.Errorf("the log is\n%s", &out)
	}
	// A log that wants nothing still has events.
	slog.New(r.Tee(slog.DiscardHandler)).Info("client attached")
	if page := r.Since(observe.Mark{}, 1); page.List[0].What != "client attached" {
		t.Errorf("%+v", page.List)
	}
}
