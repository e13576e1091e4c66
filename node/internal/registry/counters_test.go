package registry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestKindStatsNow counts what there is, and what has expired.
func TestKindStatsNow(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	var d durations
	for _, took := range []time.Duration{0, 100 * time.Microsecond, 100*time.Microsecond + 1, 30 * time.Second, time.Hour} {
		d.observe(took)
	}
	h := d.histogram(7, 0)
	want := make([]uint64, len(h.Bounds)+1)
	want[0], want[1], want[len(want)-2], want[len(want)-1] = 9, 1, 1, 1
	if !slices.Equal(h.Counts, want) || !slices.IsSorted(h.Bounds) {
		t.Errorf("%v, want %v", h.Counts, want)
	}
}

// TestAnswersAreCounted counts the answers that workers give: values, new and old, and
// errors.
func TestAnswersAreCounted(t *testing.T) {
	t.Parallel()
	answer := func(id worker.ID) (worker.Value, error) {
		if id == worker.IntID(13) {
			return worker.Value{}, errors.New("13")
		}
		return worker.IntValue(1), nil
	}
	source := func(_ context.Context, id worker.ID) (worker.Value, error) { return answer(id) }
	for name, kind := range map[string]worker.Kind{
		"load":   worker.Cache{TTL: time.Hour, Load: source},
		"inline": worker.Cache{TTL: time.Hour, Load: source, Inline: true},
		"serial": worker.Serial{TTL: time.Hour, Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
			return serverFunc(func(context.Context, worker.Value) (worker.Value, error) { return answer(id) }), nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, kind, func(t *testing.T, r *Registry) {
				for _, id := range []int64{1, 1, 13, 2, 13} {
					_, _ = r.request(t.Context(), worker.IntID(id))
				}
				if _, answers, _ := r.Count(); answers != 5 {
					t.Errorf("%d answers, want 5", answers)
				}
			})
		})
	}
}

// TestRead has what is counted read in both ways.
func TestRead(t *testing.T) {
	t.Parallel()
	answer := func(id worker.ID) (worker.Value, error) {
		if time.Sleep(time.Duration(num(id)) * time.Millisecond); id == worker.IntID(13) {
			return worker.Value{}, errors.New("13")
		}
		return worker.BytesValue("x"), nil
	}
	for name, kind := range map[string]worker.Kind{
		"cache": worker.Cache{
			TTL: time.Second, StaleWhileRevalidate: time.Hour, MaxBytes: 1000,
			Load: func(_ context.Context, id worker.ID) (worker.Value, error) { return answer(id) },
		},
		"serial": worker.Serial{TTL: time.Hour, Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
			return serverFunc(func(context.Context, worker.Value) (worker.Value, error) { return answer(id) }), nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, kind, func(t *testing.T, r *Registry) {
				for _, id := range []int64{0, 13, 1, 20, 0, 30, 31, 32, 33, 13, 0, 33} {
					reply, took, err := r.Await(t.Context(), worker.IntID(id), worker.Value{})
					reply.Degraded = err == nil && id == 30
					r.NoteRequest(worker.IntID(id), took, &reply, err)
					time.Sleep(400 * time.Millisecond)
				}
				got, want := r.Read(), r.Stats()
				if !slices.Equal(got.Latency[:], want.Latency.Counts) || !slices.Equal(got.Loads[:], want.Loads.Counts) || got.Loads[0] == 0 {
					t.Errorf("durations %+v, want those of %+v", got, want)
				}
				if got.Failed != want.Failed[wire.SourceFailed.Error()] || got.Degraded != want.Degraded || got.Stale != want.Stale || got.LoadErrs != want.LoadErrs || got.Evicted != want.Evicted {
					t.Errorf("%+v, want %+v", got, want)
				}
				cache := name == "cache"
				if got.Failed != 2 || got.Degraded != 1 || got.LoadErrs != 2 || (got.Stale > 0) != cache || (got.Evicted > 0) != cache {
					t.Errorf("it counts %+v", got)
				}
			})
		})
	}
}
