package registry

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// TestHeld has several members ask, after a change of the view, which servers of theirs
// are still here: the servers are scanned once for each view, and a server that has ended
// is not named.
func TestHeld(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, _ *diary) {
		const servers = 200
		for i := range servers {
			if _, err := r.await(t.Context(), worker.IntID(int64(i)), worker.BytesValue("x"), r.Look()); err != nil {
				t.Fatal(err)
			}
		}
		looked := 0
		ask := func(view any, least int64, limit int) (ids []int64, more bool) {
			held, more := r.Held(view, func(id worker.ID) bool { looked++; return num(id) >= least }, limit)
			for _, id := range held {
				ids = append(ids, num(id))
			}
			slices.Sort(ids)
			return ids, more
		}
		first, second := new(int), new(int)
		for range 3 {
			if ids, more := ask(first, 3, 10); !slices.Equal(ids, []int64{0, 1, 2}) || more {
				t.Errorf("%v, more %v; want 0, 1 and 2", ids, more)
			}
		}
		if looked != servers {
			t.Errorf("%d looks at servers for one view, want %d", looked, servers)
		}
		r.Stop(worker.IntID(1))
		synctest.Wait()
		if ids, _ := ask(first, 3, 10); !slices.Equal(ids, []int64{0, 2}) {
			t.Errorf("%v, want 0 and 2", ids)
		}
		if ids, more := ask(first, 3, 1); len(ids) != 1 || !more {
			t.Errorf("%v, more %v; want one of two", ids, more)
		}
		if ids, _ := ask(second, 1, 10); !slices.Equal(ids, []int64{0}) {
			t.Errorf("under another view: %v, want 0", ids)
		}
		third := new(int)
		if ids, more := ask(third, servers, 10); len(ids) != 10 || !more {
			t.Errorf("%v, more %v; want 10 and more", ids, more)
		}
		r.Retain(func(id worker.ID) bool { return num(id) >= servers-2 })
		synctest.Wait()
		fourth := new(int)
		r.Settled(fourth)
		looked = 0
		if ids, more := ask(fourth, servers-2, 10); len(ids) > 0 || more || looked > 0 {
			t.Errorf("%v, more %v, %d looks, though Retain has been over all servers and none runs", ids, more, looked)
		}
		if ids, more := ask(third, servers, 10); !slices.Equal(ids, []int64{servers - 2, servers - 1}) || more {
			t.Errorf("%v, more %v; want the last two", ids, more)
		}
	})
}

// TestHeldSettled has servers that still run when Retain has gone over all of them: they
// are named until they have ended.
func TestHeldSettled(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, _ *diary) {
		tell(t, r, "1", "x", "x.")
		done := post(r, "sleep 1s", time.Minute, func() {})
		synctest.Wait()
		none := func(worker.ID) bool { return false }
		r.Retain(none)
		r.Settled(1)
		synctest.Wait()
		if ids, more := r.Held(1, none, 10); !slices.Equal(ids, []worker.ID{worker.IntID(7)}) || more {
			t.Errorf("%v, more %v; want 7, which runs", ids, more)
		}
		if ids, more := r.Held(1, none, 0); len(ids) > 0 || !more {
			t.Errorf("%v, more %v; want more than none", ids, more)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if ids, more := r.Held(1, none, 10); len(ids) > 0 || more {
			t.Errorf("%v, more %v, after the last one has ended", ids, more)
		}
	})
}
