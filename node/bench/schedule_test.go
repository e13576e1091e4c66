package bench

import (
	"math"
	"testing"
	"time"
)

func TestScheduleDue(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		batch int
		turn  int64
		want  time.Duration
	}{
		{1000, 1, 0, 0},
		{1000, 1, 1, time.Millisecond},
		{1000, 1, 60_000, time.Minute},
		{1000, 10, 3, 30 * time.Millisecond}, // ten requests each 10 ms
		{3, 1, 1, 333_333_333},
		{3, 1, 3 * 3600, time.Hour}, // no drift
		{29, 1, 29, time.Second},    // 1e9/29*29 < 1e9
		{0.5, 1, 2, 4 * time.Second},
		{1e-9, 1, 1e6, 1 << 62}, // never, rather than long ago
	} {
		s := newSchedule(Config{Rate: c.rate, Batch: c.batch, Concurrency: 1})
		if got := s.due(c.turn); got != c.want {
			t.Errorf("rate %g, batch %d: turn %d is due at %v, want %v", c.rate, c.batch, c.turn, got, c.want)
		}
	}
}

func TestScheduleDueBy(t *testing.T) {
	for _, c := range []struct {
		Config
		t    time.Duration
		want int64
	}{
		{Config{Rate: 1000, Batch: 1}, 0, 0},
		{Config{Rate: 1000, Batch: 1}, 1, 1}, // the first is due at once
		{Config{Rate: 1000, Batch: 1}, time.Millisecond, 1},
		{Config{Rate: 1000, Batch: 1}, time.Millisecond + 1, 2},
		{Config{Rate: 1000, Batch: 1, Duration: time.Second}, time.Hour, 1000},
		{Config{Rate: 1000, Batch: 1, Duration: time.Second, Requests: 7}, time.Hour, 7},
		{Config{Rate: 1000, Batch: 10, Duration: time.Second}, 15 * time.Millisecond, 20},
		{Config{Rate: 1000, Batch: 10, Requests: 15}, time.Hour, 15},
		{Config{Rate: 3, Batch: 1}, 10 * time.Second, 30},
	} {
		c.Concurrency = 1
		s := newSchedule(c.Config)
		if got := s.dueBy(c.t); got != c.want {
			t.Errorf("%+v: by %v %d requests are due, want %d", c.Config, c.t, got, c.want)
		}
	}
	// As due and over say it, for rates that do not divide a second.
	for _, rate := range []float64{0.7, 3, 7, 999, 12345.678} {
		s := newSchedule(Config{Rate: rate, Batch: 1, Duration: 3 * time.Second, Concurrency: 1})
		turns := int64(0)
		for !s.over(s.due(turns)) {
			turns++
		}
		if got := s.dueBy(math.MaxInt64); got != turns {
			t.Errorf("rate %g: %d are due, want %d", rate, got, turns)
		}
	}
}

func TestScheduleSize(t *testing.T) {
	s := newSchedule(Config{Requests: 10, Batch: 4, Concurrency: 1})
	for turn, want := range []int{4, 4, 2, 0, 0} {
		if got := s.size(int64(turn)); got != want {
			t.Errorf("turn %d has %d requests, want %d", turn, got, want)
		}
	}
	if got := newSchedule(Config{Batch: 4, Concurrency: 1}).size(1e12); got != 4 {
		t.Errorf("a turn of many has %d requests, want 4", got)
	}
}

// TestScheduleChunk holds that no caller claims more than an eighth of its share.
func TestScheduleChunk(t *testing.T) {
	for _, c := range []struct {
		Config
		want int64
	}{
		{Config{Duration: time.Second, Concurrency: 50, Batch: 1}, maxChunk},
		{Config{Requests: 1e9, Concurrency: 50, Batch: 1}, maxChunk},
		{Config{Requests: 8000, Concurrency: 50, Batch: 1}, 20},
		{Config{Requests: 8000, Concurrency: 50, Batch: 10}, 2},
		{Config{Requests: 10, Concurrency: 50, Batch: 1}, 1},
	} {
		if got := newSchedule(c.Config).chunk; got != c.want {
			t.Errorf("%+v: chunks of %d, want %d", c.Config, got, c.want)
		}
	}
}
