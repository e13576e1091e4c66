package registry

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// TestKindStatsNow counts what there is, and what has expired.
func TestKindStatsNow(t *testing.T) {
	slow := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(time.Second)
		return worker.Value{}, nil
	}
	inBubble(t, worker.Cache{TTL: 2 * time.Second, Load: slow}, func(t *testing.T, r *Registry) {
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() { _, _ = r.request(t.Context(), worker.IntID(int64(i/2))) })
		}
		synctest.Wait()
		if s := r.Stats(); s.Waiting != 3 || s.Workers != 2 || total(s.Loads) != 0 {
			t.Errorf("%+v, want 3 that wait for 2 workers", s)
		}
		wg.Wait()
		if s := r.Stats(); s.Waiting != 0 || s.Workers != 2 || total(s.Loads) != 2 || s.Loads.Sum != 2*time.Second {
			t.Errorf("%+v, want 2 loads of a second", s)
		}
		time.Sleep(time.Second)
		_, _ = r.request(t.Context(), worker.IntID(0)) // which meets it as it has just expired
		time.Sleep(3 * time.Second)
		if s := r.Stats(); s.Expired != 3 || s.Workers != 0 {
			t.Errorf("%+v, want 3 expired", s)
		}
	})
}

func TestDurations(t *testing.T) {
	var d durations
	for _, took := range []time.Duration{0, 100 * time.Microsecond, 100*time.Microsecond + 1, 30 * time.Second, time.Hour} {
		d.observe(took)
	}
	h := d.histogram(7)
	want := make([]uint64, len(h.Bounds)+1)
	want[0], want[1], want[len(want)-2], want[len(want)-1] = 9, 1, 1, 1
	if !slices.Equal(h.Counts, want) || !slices.IsSorted(h.Bounds) {
		t.Errorf("%v, want %v", h.Counts, want)
	}
}
