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

// TestStuck counts the sources that go on although their time is up.
func TestStuck(t *testing.T) {
	t.Parallel()
	deaf := func(_ context.Context, id worker.ID) (worker.Value, error) {
		if id == worker.IntID(1) {
			time.Sleep(10 * time.Second)
		}
		return worker.IntValue(1), nil
	}
	inBubble(t, worker.Cache{Load: deaf, Timeout: 2 * time.Second, TTL: time.Hour}, func(t *testing.T, r *Registry) {
		go r.request(t.Context(), worker.IntID(1))
		expect(t, r, 2, "1", false)
		synctest.Wait()
		for _, want := range []int{0, 0, 0, 0, 1} { // at 0 to 4 s; at 3 s it is just in time
			if n := r.Stuck(); n != want {
				t.Errorf("%d stuck after %v, want %d", n, r.Now(), want)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(5*time.Second + 1)
		if n := r.Stuck(); n != 0 {
			t.Errorf("%d stuck at the end", n)
		}
	})
}

// TestSerialCensus looks at a server that runs, and at one that rests.
func TestSerialCensus(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Minute}, func(t *testing.T, r *Registry, _ *diary) {
		tell(t, r, "8", "a", "a.")
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _, _ = r.await(t.Context(), worker.IntID(7), worker.BytesValue("sleep 2s"), r.Look()) })
		}
		time.Sleep(time.Second)
		list := r.Workers(10)
		slices.SortFunc(list, func(a, b worker.Info) int { return a.ID.Compare(b.ID) })
		want := []worker.Info{
			{Kind: "default", ID: worker.IntID(7), Node: "1@h", Age: time.Second, Queue: 2},
			{Kind: "default", ID: worker.IntID(8), Node: "1@h", Age: time.Second, TTL: 59 * time.Second, Hits: 1},
		}
		if !slices.Equal(list, want) {
			t.Errorf("workers = %+v, want %+v", list, want)
		}
		if st := r.Inspect(worker.IntID(7)); !st.Live || !st.Loading {
			t.Errorf("inspect(7) = %+v", st)
		}
		wg.Wait()
	})
}
