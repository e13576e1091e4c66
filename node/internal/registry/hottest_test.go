package registry

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// idsOf returns ids with their rates, as texts.
func idsOf(list []observe.HotID) string {
	var texts []string
	for _, h := range list {
		texts = append(texts, fmt.Sprintf("%s:%.0f", h.ID, h.Rate))
	}
	return strings.Join(texts, " ")
}

// ask makes so many requests for an id.
func ask(t *testing.T, r *Registry, id int64, times int) {
	t.Helper()
	for range times {
		if _, err := r.request(t.Context(), worker.IntID(id)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFindAll finds the hottest of a few workers: at first by what they have answered since
// they started, and then by what they have answered since the last look.
func TestFindAll(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{TTL: time.Hour, Load: constant, Inline: true}, func(t *testing.T, r *Registry) {
		var f Finder
		for id := range int64(300) {
			ask(t, r, id, 1) // whose load is no hit
		}
		ask(t, r, 7, 1000)
		ask(t, r, 8, 100)
		time.Sleep(100 * time.Second)
		expectHot := func(want string) {
			t.Helper()
			h := f.Find([]*Registry{r})
			if got := idsOf(h.Busiest); got != want || len(h.Longest) > 0 {
				t.Errorf("%s, want %s; queues %v", got, want, h.Longest)
			}
		}
		expectHot("7:10 8:1")
		ask(t, r, 8, 50)
		ask(t, r, 9, 20)
		ask(t, r, 1000, 5)
		time.Sleep(lookEvery - 1)
		expectHot("7:10 8:1") // as it was: others have asked just now
		time.Sleep(lookEvery + 1)
		expectHot("8:50 9:20 1000:4") // the last one is new, and its load is no hit
		r.Stop(worker.IntID(8))
		ask(t, r, 9, 10)
		time.Sleep(2 * time.Second)
		expectHot("9:5")
		r.SetKind(worker.Cache{TTL: time.Second, Load: constant})
		ask(t, r, 2000, 100)
		time.Sleep(2 * time.Second)
		expectHot("")
	})
}

// TestFindSaysWhat has all that is told of an id.
func TestFindSaysWhat(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{TTL: time.Hour, Load: constant, Inline: true}, func(t *testing.T, r *Registry) {
		var f Finder
		ask(t, r, 7, 11)
		time.Sleep(time.Second)
		want := observe.Hot{Workers: 1, Busiest: []observe.HotID{{
			Info: worker.Info{Kind: "default", ID: worker.IntID(7), Node: "1@h", Age: time.Second, TTL: time.Hour - time.Second, Hits: 10}, Rate: 10,
		}}}
		if h := f.Find([]*Registry{r}); h.Workers != 1 || !slices.Equal(h.Busiest, want.Busiest) || h.Longest != nil {
			t.Errorf("%+v, want %+v", h, want)
		}
		if h := f.Find(nil); h.Busiest != nil {
			t.Errorf("without kinds %+v", h)
		}
	})
}

// TestFindRenewed has an id whose value lives shorter than a look takes to come again, and is
// given as stale meanwhile.
func TestFindRenewed(t *testing.T) {
	t.Parallel()
	source := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(30 * time.Millisecond)
		return worker.IntValue(1), nil
	}
	slow := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(4 * time.Second)
		return worker.IntValue(1), nil
	}
	for _, ttl := range []time.Duration{time.Hour, 5 * time.Second, 3 * time.Second, 700 * time.Millisecond, 200 * time.Millisecond} {
		for _, exact := range []int{exactUpTo, -1} {
			t.Run(fmt.Sprint(ttl, exact), func(t *testing.T) {
				kind := worker.Cache{TTL: ttl, StaleWhileRevalidate: time.Second, Load: source}
				if ttl == 5*time.Second {
					kind.StaleWhileRevalidate, kind.Load = time.Hour, slow
				}
				inBubble(t, kind, func(t *testing.T, r *Registry) {
					f := Finder{exact: exact, some: 100}
					for i := range 2000 { // 100 per second
						ask(t, r, 7, 1)
						if time.Sleep(10 * time.Millisecond); i%100 != 99 {
							continue
						}
						h := f.Find([]*Registry{r})
						if i > 100 && (len(h.Busiest) != 1 || h.Busiest[0].ID != worker.IntID(7) || h.Busiest[0].Rate < 60 || h.Busiest[0].Rate > 125) {
							t.Errorf("%v: %s, want 7:100, about", r.Now(), idsOf(h.Busiest))
						}
					}
				})
			})
		}
	}
}

// TestFindAgain has a worker that gives more answers than it can count, and one that begins
// anew.
func TestFindAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		before uint32
		more   int
		stops  bool
		want   float64
	}{{5, 10, false, 10}, {1<<32 - 3, 10, false, 10}, {manyHits, 10, false, 10}, {100, 10, true, 10}, {5, 10, true, 10}} {
		w := &entry{hits: c.before}
		g := glimpse{w: w, hits: c.before, at: 4 * time.Second}
		if c.stops {
			w.hits, w.started = 0, 4*time.Second
		}
		for range c.more {
			w.hitLocked()
		}
		if got := g.again(5 * time.Second).rate; got != c.want {
			t.Errorf("%+v: %v, %d hits", c, got, w.hits)
		}
	}
}

// TestFindSome has more workers than a look is at: an id that has become hot is found within
// a round, and then stays.
func TestFindSome(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]worker.Kind{
		"cache":  worker.Cache{TTL: time.Hour, Load: constant, Inline: true},
		"serial": worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, kind, func(t *testing.T, r *Registry) {
				const workers, some = 5000, 500
				f := Finder{exact: 100, some: some}
				for id := range int64(workers) {
					ask(t, r, id, 3)
				}
				time.Sleep(time.Hour / 2)
				found := 0
				for range workers/some + 3 + 10 {
					h := f.Find([]*Registry{r})
					if h.Workers != workers {
						t.Errorf("%d workers", h.Workers)
					}
					if n := len(f.knows.block); n > some+atOnce {
						t.Errorf("a look was at %d workers", n)
					}
					hot := 0
					for _, w := range h.Busiest[:min(5, len(h.Busiest))] {
						if num(w.ID)%1000 == 7 && math.Abs(w.Rate-20) < 1 {
							hot++
						}
					}
					if hot == 5 {
						found++
					}
					for i := range int64(5) {
						ask(t, r, i*1000+7, 20)
					}
					time.Sleep(time.Second)
				}
				if found < 10 {
					t.Errorf("the hot ids were found by %d looks, want the last 10", found)
				}
			})
		})
	}
}

// TestFindBusyServer has a server that never rests, so that it has no time to expire.
func TestFindBusyServer(t *testing.T) {
	t.Parallel()
	slow := func(context.Context, worker.Value) (worker.Value, error) {
		time.Sleep(10 * time.Millisecond)
		return worker.Value{}, nil
	}
	kind := worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) { return serverFunc(slow), nil }}
	inBubble(t, kind, func(t *testing.T, r *Registry) {
		f := Finder{exact: 1, some: 50}
		for id := range int64(10) {
			ask(t, r, 100+id, 1)
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { ask(t, r, 7, 300) })
		}
		for range 10 {
			time.Sleep(time.Second)
			h := f.Find([]*Registry{r})
			if len(h.Busiest) == 0 || h.Busiest[0].ID != worker.IntID(7) || math.Abs(h.Busiest[0].Rate-100) > 5 ||
				len(h.Longest) != 1 || h.Longest[0].Queue < 3 || math.Abs(h.Longest[0].Rate-100) > 5 {
				t.Errorf("%v: %s, queues %s", r.Now(), idsOf(h.Busiest), idsOf(h.Longest))
			}
		}
		wg.Wait()
	})
}

// TestFindLongest has more queues than are told.
func TestFindLongest(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{TTL: time.Hour, Timeout: time.Hour, Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		<-ctx.Done()
		return worker.Value{}, ctx.Err()
	}}, func(t *testing.T, r *Registry) {
		r.admission.size = 1 << 20
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		const ids = 130
		for i := range ids {
			for range i + 1 {
				go r.request(ctx, worker.IntID(int64(i)))
			}
		}
		synctest.Wait()
		var f Finder
		h := f.Find([]*Registry{r})
		if len(h.Longest) != observe.MaxHot || len(h.Busiest) > 0 {
			t.Fatalf("%d queues, %d busy", len(h.Longest), len(h.Busiest))
		}
		for i, w := range h.Longest {
			if w.ID != worker.IntID(int64(ids-1-i)) || w.Queue != ids-i {
				t.Errorf("queue %d is %+v", i, w)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// TestFinderRests has nobody ask for a while.
func TestFinderRests(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{TTL: time.Hour, Load: constant, Inline: true}, func(t *testing.T, r *Registry) {
		var f Finder
		f.Rest(r.Now())
		ask(t, r, 7, 10)
		f.Find([]*Registry{r})
		time.Sleep(tiredAfter)
		if f.Rest(r.Now()); f.knows == nil {
			t.Error("it forgets too soon")
		}
		time.Sleep(time.Nanosecond)
		if f.Rest(r.Now()); f.knows != nil {
			t.Error("it keeps what nobody asks for")
		}
	})
}

// TestFindMeanwhile looks while workers come, answer, expire and go.
func TestFindMeanwhile(t *testing.T) {
	t.Parallel()
	r := testRegistry(worker.Cache{TTL: 5 * time.Millisecond, StaleWhileRevalidate: 5 * time.Millisecond, Load: constant}, "1@h", 1000)
	defer r.Close(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for k := range int64(4) {
		wg.Go(func() {
			for i := k; ctx.Err() == nil; i++ {
				_, _ = r.request(ctx, worker.IntID(i%3000))
				if i%100 == 0 {
					r.Stop(worker.IntID(i % 3000))
				}
			}
		})
	}
	for _, f := range []*Finder{{}, {exact: 1, some: 200}} {
		wg.Go(func() {
			for ctx.Err() == nil {
				f.mu.Lock()
				f.lookLocked([]*Registry{r})
				for _, h := range f.knows.found.Busiest {
					if h.Rate <= 0 || math.IsInf(h.Rate, 0) || math.IsNaN(h.Rate) {
						t.Errorf("%+v", h)
					}
				}
				f.mu.Unlock()
			}
		})
	}
	wg.Wait()
}
