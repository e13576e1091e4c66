package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

var three = []string{"1@a", "2@b", "3@c"}

// TestWatch opens one page: what it is sent, and what the figures of three nodes add up to.
func TestWatch(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		v := watch(t, h, Choice{})
		pass(0)
		if got := fmt.Sprint(v.all); got != "[past state]" {
			t.Fatalf("at once: %s, want the past and a state", got)
		}
		past := v.pasts[0]
		k := past.kind("price")
		if past.Steps < observe.Samples-1 || past.Step != 5000 || k == nil || len(past.Kinds) != 2 {
			t.Fatalf("past of %d steps of %d ms: %+v", past.Steps, past.Step, past.Kinds)
		}
		for i := range past.Steps {
			if *k.Requests[i] != 30 || *k.Failed[i] != 3 || *k.Runs[i] != 3 || *k.P50[i] != 1 || *k.P99[i] != 5000 || *k.RunP99[i] != 10 {
				t.Fatalf("step %d: %v requests, %v failed, %v runs, p50 %v, p99 %v, runs %v", i, *k.Requests[i], *k.Failed[i], *k.Runs[i], *k.P50[i], *k.P99[i], *k.RunP99[i])
			}
		}
		pass(61 * time.Second)
		if n := len(v.states); n < 61 || n > 63 {
			t.Errorf("%d states in a minute, want one a second", n)
		}
		s := v.last()
		if s.Node != "1@a" || s.Version != "v1 go1.26" || s.Routing != "modulo" || s.Pages != 1 || s.Every != 1000 || len(s.Members) != 3 || s.Live != 30 || s.Run == "" {
			t.Errorf("state %+v", s.commonState)
		}
		if age := time.Since(s.Time); age < 0 || age > time.Second {
			t.Errorf("the state is %v old", age)
		}
		price := s.kind("price")
		if price == nil || price.Nodes != 3 || price.Rate != 6 || price.Workers != 21 {
			t.Fatalf("kind price: %+v", price)
		}
		m := price.Minute
		if m.Requests != 360 || m.Failed != 36 || m.Runs != 36 || *m.P50 != 1 || m.P50Over || *m.P99 != 5000 || !m.P99Over || *m.RunP99 != 10 {
			t.Errorf("the last minute of price: %+v", m)
		}
		next := past.Seq
		for _, step := range v.steps {
			if next++; step.Seq != next || step.Steps != 1 {
				t.Fatalf("step %d of %d, want %d", step.Seq, step.Steps, next)
			}
			if k := step.kind("price"); k == nil || *k.Requests[0] != 30 {
				t.Fatalf("step %d: %+v", step.Seq, k)
			}
			if late := v.state(0).Time.Add(time.Duration(next-past.Seq) * 5 * time.Second).Sub(step.End); late < 0 || late > 5*time.Second+lateness {
				t.Errorf("step %d ends %v before it could be known", step.Seq, late)
			}
		}
		if n := len(v.steps); n < 12 || n > 13 {
			t.Errorf("%d steps in a minute", n)
		}
		if h.latest.tracks[""].past != nil {
			t.Error("the past is kept as JSON although no page waits for it")
		}
		v.cancel()
		pass(0)
		if !errors.Is(v.err, t.Context().Err()) && v.err == errWatching {
			t.Errorf("a page that was closed: %v", v.err)
		}
	})
}

// TestWatchersShare counts the questions for one page and for 200.
func TestWatchersShare(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		one := watch(t, h, Choice{Hot: true})
		pass(30 * time.Second)
		alone := f.asks()
		if alone["nodes"] != 31 || alone["figures of 2@b"] != 31 || alone["hottest of 3@c"] != 31 || alone["figures of 1@a"] != 31 {
			t.Errorf("in 30 s for one page: %v, want a question a second", alone)
		}
		var pages []*viewer
		for range 199 {
			pages = append(pages, watch(t, h, Choice{Hot: true}))
		}
		pass(30 * time.Second)
		if many := f.asks(); many["nodes"] != 30 || many["figures of 2@b"] != 30 || many["hottest of 3@c"] != 30 {
			t.Errorf("in 30 s for 200 pages: %v, want what one page costs", many)
		}
		for _, v := range pages {
			if len(v.states) != 31 {
				t.Fatalf("a page has %d states", len(v.states))
			}
			if &v.states[20][0] != &pages[0].states[20][0] {
				t.Fatal("two pages do not share a state")
			}
		}
		if got := one.last().Pages; got != 200 {
			t.Errorf("%d pages, want 200", got)
		}
	})
}

// TestNobodyWatches looks for what is left when nobody has watched for 10 s.
func TestNobodyWatches(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		pages := []*viewer{watch(t, h, Choice{}), watch(t, h, Choice{Node: "2@b", Hot: true}), watchID(t, h, worker.Key{ID: worker.IntID(7)})}
		pass(20 * time.Second)
		h.mu.Lock()
		left := weak.Make(h.loop.collection)
		h.mu.Unlock()
		for _, v := range pages {
			v.cancel()
		}
		pass(9 * time.Second)
		if f.asks()["nodes"] == 0 {
			t.Error("the hub does not go on for a page that comes back")
		}
		pass(3 * time.Second)
		f.asks()
		pass(time.Minute)
		if asked := f.asks(); len(asked) > 0 {
			t.Errorf("asked %v for nobody", asked)
		}
		h.running.Wait() // no goroutine is left
		if h.loop != nil || h.latest != nil || len(h.choices)+len(h.fresh)+len(h.ids)+h.pages+h.watchers != 0 {
			t.Errorf("left: %+v", h)
		}
		for range 3 {
			runtime.GC()
		}
		if left.Value() != nil {
			t.Error("what the hub had collected is still in memory")
		}

		v := watch(t, h, Choice{})
		pass(7 * time.Second)
		if len(v.pasts) != 1 || v.pasts[0].Steps < observe.Samples-1 || len(v.states) < 7 || len(v.steps) == 0 {
			t.Errorf("a page that comes later: %v", v.all)
		}
	})
}

// TestNodeCloses closes the node before the hub.
func TestNodeCloses(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		v := watch(t, h, Choice{})
		pass(2500 * time.Millisecond)
		f.change(func() { f.err = node.ErrClosed })
		pass(time.Second)
		if s := v.last(); len(s.Attention) == 0 || s.Attention[0].Level != "error" {
			t.Errorf("attention: %+v", s.Attention)
		}
		v.cancel()
		began := time.Now()
		h.running.Wait()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the hub asks a closed node for another %v", took)
		}
	})
}

// TestClose closes a hub with pages.
func TestClose(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		f.nodes[2].silent = true
		pages := []*viewer{watch(t, h, Choice{}), watchID(t, h, worker.Key{ID: worker.IntID(7)})}
		pass(1500 * time.Millisecond)
		h.Close()
		synctest.Wait()
		pages = append(pages, watch(t, h, Choice{}), watchID(t, h, worker.Key{}))
		synctest.Wait()
		for _, v := range pages {
			if !errors.Is(v.err, node.ErrClosed) {
				t.Errorf("after Close: %v", v.err)
			}
		}
		if _, err := h.Members(t.Context()); !errors.Is(err, node.ErrClosed) {
			t.Errorf("Members after Close: %v", err)
		}
	})
}

// TestSlowWatcher has a page that does not read for a while. It gets the newest state, and all
// steps if it was not away for long; else their numbers say so. Nobody else waits.
func TestSlowWatcher(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		quick, slow := watch(t, h, Choice{}), watch(t, h, Choice{})
		pass(500 * time.Millisecond)
		numbers := func(v *viewer) (holes int) {
			last := v.pasts[0].Seq
			for _, s := range v.steps {
				if s.Seq != last+1 {
					holes++
				}
				last = s.Seq
			}
			return holes
		}
		for _, c := range []struct {
			away  time.Duration
			holes int
		}{{40 * time.Second, 0}, {5 * time.Minute, 1}} {
			release := slow.hold()
			before := len(quick.states)
			pass(c.away)
			if n := len(quick.states) - before; n < int(c.away/time.Second) {
				t.Errorf("%d states for the other page in %v", n, c.away)
			}
			release()
			had := len(slow.states)
			pass(2 * time.Second)
			if n := len(slow.states) - had; n > 4 {
				t.Errorf("after %v the slow page is sent %d states", c.away, n)
			}
			if !slow.last().Time.Equal(quick.last().Time) {
				t.Errorf("after %v the slow page shows %v, want %v", c.away, slow.last().Time, quick.last().Time)
			}
			if got := numbers(slow); got != c.holes {
				t.Errorf("after %v: %d holes in the steps, want %d", c.away, got, c.holes)
			}
		}
		if numbers(quick) != 0 {
			t.Error("the other page has a hole")
		}
	})
}

// TestSilentMember has a member that does not answer, and lists of members that take 1 s.
// States come every second, and the figures of the others are right.
func TestSilentMember(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		f.node("3@c").silent, f.slow = true, time.Second
		v := watch(t, h, Choice{})
		pass(2 * time.Second)
		if len(v.states) == 0 {
			t.Fatal("no state within 2 s")
		}
		before := len(v.states)
		pass(30 * time.Second)
		if n := len(v.states) - before; n < 29 {
			t.Errorf("%d states in 30 s", n)
		}
		s := v.last()
		if k := s.kind("price"); k.Nodes != 2 || k.Rate != 4 || k.Minute.Requests != 240 {
			t.Errorf("kind price: %+v", k)
		}
		if m := s.member("3@c"); m.Figures == "" || s.member("2@b").Figures != "" {
			t.Errorf("3@c has the problem %q, 2@b %q", m.Figures, s.member("2@b").Figures)
		}
		if len(v.pasts) != 1 || len(v.steps) < 5 {
			t.Errorf("the past: %d times, %d steps", len(v.pasts), len(v.steps))
		}
		f.change(func() { f.node("3@c").silent = false })
		pass(10 * time.Second)
		if s := v.last(); s.kind("price").Nodes != 3 || s.member("3@c").Figures != "" {
			t.Errorf("it answers again: %+v", s.kind("price"))
		}
		f.change(func() { f.node("3@c").silent = true })
		pass(7 * time.Second)
		if s := v.last(); s.kind("price").Nodes != 2 || s.member("3@c").Figures == "" {
			t.Errorf("it is silent again: %+v", s.kind("price"))
		}
		f.change(func() { f.node("3@c").silent = false })
		pass(5 * time.Second)
		f.change(func() { f.node("2@b").slow = 900 * time.Millisecond })
		before = len(v.states)
		pass(20 * time.Second)
		if n := len(v.states) - before; n < 19 || v.last().kind("price").Nodes != 3 {
			t.Errorf("a slow one: %d states in 20 s, %+v", n, v.last().kind("price"))
		}
	})
}

// TestLies has a member that says what makes no sense. All that pages are sent is JSON of a
// bounded size, and what the others say is shown as it is.
func TestLies(t *testing.T) {
	run := uint64(0)
	for name, lie := range map[string]func(*observe.Figures){
		"numbers": func(f *observe.Figures) {
			f.Age, f.Clock = -time.Hour, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
			for i := range f.Kinds {
				k := &f.Kinds[i]
				k.Rate, k.Workers, k.Waiting, k.Longest, k.Bytes, k.StuckFor = math.NaN(), -5, math.MinInt, math.MinInt, math.MinInt64, -time.Hour
			}
		},
		"huge numbers": func(f *observe.Figures) {
			f.Age, f.Clock = math.MaxInt64, time.Time{}.Add(-math.MaxInt64)
			for i := range f.Kinds {
				k := &f.Kinds[i]
				k.Rate, k.Workers, k.Waiting, k.Concurrency, k.Bytes, k.MaxBytes, k.StuckFor = math.Inf(1), math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt64, math.MaxInt64, math.MaxInt64
				for j := range k.Past {
					k.Past[j] = observe.Sample{Latency: []uint32{math.MaxUint32, math.MaxUint32, 0, 0, 0, math.MaxUint32}, Failed: math.MaxUint32, Runs: []uint32{0, 0, 0, 0, 0, math.MaxUint32}}
				}
			}
		},
		"ragged lists": func(f *observe.Figures) {
			for i := range f.Kinds {
				for j := range f.Kinds[i].Past {
					f.Kinds[i].Past[j].Latency = make([]uint32, j)
					f.Kinds[i].Past[j].Runs = slices.Repeat([]uint32{1}, 1000)
				}
			}
		},
		"long pasts": func(f *observe.Figures) {
			for i := range f.Kinds {
				f.Kinds[i].Past = make([]observe.Sample, 10_000)
			}
		},
		"other bounds": func(f *observe.Figures) {
			f.Bounds = []time.Duration{time.Second, time.Millisecond, -1}
		},
		"the last of numbers": func(f *observe.Figures) { f.Last = math.MaxUint64 },
		"the past again":      func(f *observe.Figures) { f.Last = 1 },
		"a run of each answer": func(f *observe.Figures) {
			run++
			f.Run, f.Last = 1000+run, 1000*run
			for i := range f.Kinds {
				f.Kinds[i].Past = make([]observe.Sample, observe.Samples)
				for j := range f.Kinds[i].Past {
					f.Kinds[i].Past[j] = observe.Sample{Latency: []uint32{10, 0, 0, 0, 0, 0}}
				}
			}
		},
		"names": func(f *observe.Figures) {
			f.Node = "1@a"
			for i := range 1000 {
				f.Kinds = append(f.Kinds, observe.KindFigures{Kind: fmt.Sprintf("k%d-%d", run, i), Past: []observe.Sample{{Latency: []uint32{1, 1, 1, 1, 1, 1}}}})
			}
			run++
			for _, kind := range []string{"<script>", "\u202e", "", strings.Repeat("x", 1<<20), "a b", "price", "price"} {
				f.Kinds = slices.Insert(f.Kinds, 0, observe.KindFigures{Kind: kind, Rate: 1e300})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
				liar := f.node("3@c")
				liar.lie = lie
				liar.hot = observe.Hot{Busiest: make([]observe.HotID, 1000), Longest: []observe.HotID{{Rate: math.NaN(), Info: worker.Info{Kind: "price", Node: "1@a", Queue: -1, TTL: -1}}}}
				all, two := watch(t, h, Choice{Hot: true}), watch(t, h, Choice{Node: "2@b"})
				their := watch(t, h, Choice{Node: "3@c"})
				pass(90 * time.Second)
				for _, v := range []*viewer{all, two, their} {
					if len(v.states) < 85 || len(v.pasts) != 1 || len(v.steps) < 15 {
						t.Errorf("%d states, %d pasts, %d steps", len(v.states), len(v.pasts), len(v.steps))
					}
					for _, raw := range v.states {
						if len(raw) > 100_000 {
							t.Fatalf("a state of %d bytes", len(raw))
						}
					}
					for i, s := range v.steps {
						if s.Seq != v.pasts[0].Seq+int64(i)+1 {
							t.Fatalf("step %d is %d after the past", i, s.Seq-v.pasts[0].Seq)
						}
					}
				}
				if k := two.last().kind("price"); k == nil || k.Rate != 2 || k.Workers != 7 || k.Minute.Requests != 120 {
					t.Errorf("2@b: %+v", k)
				}
				// At least what the two others say, and not their samples twice.
				k := all.last().kind("price")
				if k == nil || k.Minute.Requests < 240 || k.Nodes != 3 {
					t.Errorf("all: %+v", k)
				}
				if name == "a run of each answer" && k.Minute.Requests > 240+minuteSlots*10 {
					t.Errorf("all: %d requests in the last minute; 3@c had 10 in 5 s", k.Minute.Requests)
				}
				for _, k := range their.last().Kinds {
					if strings.ContainsAny(k.Kind, "<\u202e ") || k.Kind == "" || len(k.Kind) > 64 {
						t.Errorf("a kind called %.100q", k.Kind)
					}
				}
				for _, id := range all.last().Queues {
					if id.Node != "3@c" || id.Queue < 0 || id.Rate != 0 {
						t.Errorf("an id of 3@c: %+v", id)
					}
				}
				h.mu.Lock()
				c := h.loop.collection
				h.mu.Unlock()
				if n := len(c.total.kinds); n > heldKinds {
					t.Errorf("%d kinds are held", n)
				}
			})
		})
	}
}

// TestInfoLies has a member whose report makes no sense.
func TestInfoLies(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		f.change(func() {
			i := &f.node("3@c").info
			i.Rate, i.RTT, i.Workers, i.Stuck, i.Values, i.Uptime = math.NaN(), -time.Hour, -1, math.MinInt, -1, math.MinInt64
			i.Version, i.Unready, i.Routing = strings.Repeat("\u202e<script>", 1<<17), strings.Repeat("\n", 1<<20), "\x00"
			i.Kinds = make(map[string]string)
			for k := range 10_000 {
				i.Kinds[fmt.Sprint("k", k)] = strings.Repeat("x", 100)
				i.Differs = append(i.Differs, fmt.Sprint("k", k))
			}
			i.Kinds["\x1b[2J"] = ""
			i.Quorum = &worker.Quorum{Lease: math.MinInt64, Views: math.MinInt, Voters: i.Differs, Silent: i.Differs, Why: i.Version}
			f.nodes = append(f.nodes, f.node("3@c"), &fakeNode{}) // twice, and one without a name
		})
		v := watch(t, h, Choice{})
		pass(3 * time.Second)
		s := v.last()
		if len(s.Members) != 3 || s.member("1@a").Rate != 0 {
			t.Fatalf("%d members", len(s.Members))
		}
		if n := len(v.states[len(v.states)-1]); n > 400_000 {
			t.Errorf("a state of %d bytes", n)
		}
		if m := s.member("3@c"); m.Workers != 0 || m.Rate != 0 || m.Values != 0 || strings.ContainsAny(m.Version, "\u202e\n") {
			t.Errorf("3@c: %d workers, %v/s, %.100q", m.Workers, m.Rate, m.Version)
		}
		if len(s.Attention) > maxNotices+1 {
			t.Errorf("%d notices", len(s.Attention))
		}
	})
}

// TestOldVersion has a member that does not know the questions. It is asked once in a while.
func TestOldVersion(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		f.node("3@c").err = node.ErrUnsupported
		v, of := watch(t, h, Choice{}), watch(t, h, Choice{Node: "3@c"})
		pass(30 * time.Second)
		if n := f.asks()["figures of 3@c"]; n < 1 || n > 5 {
			t.Errorf("asked %d times in 30 s", n)
		}
		s := v.last()
		if m := s.member("3@c"); !strings.Contains(m.Figures, "version") || s.kind("price").Nodes != 2 {
			t.Errorf("3@c: %q, kind %+v", m.Figures, s.kind("price"))
		}
		if s := of.last(); s.Problem == "" || len(s.Kinds) != 0 || len(of.pasts) != 1 {
			t.Errorf("a page that shows it: %+v, %d pasts", s.chosenState, len(of.pasts))
		}
		f.change(func() { f.node("3@c").err = nil })
		pass(12 * time.Second)
		if s := of.last(); s.Problem != "" || len(s.Kinds) != 2 {
			t.Errorf("it was updated: %+v", s.chosenState)
		}
	})
}

// TestChosen has pages that show one node.
func TestChosen(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		f.node("2@b").perSample = 50
		all := watch(t, h, Choice{})
		pass(33 * time.Second)
		two, none := watch(t, h, Choice{Node: "2@b"}), watch(t, h, Choice{Node: "9@z"})
		synctest.Wait()
		if len(two.states) == 0 || two.last().kind("price").Rate != 2 {
			t.Fatalf("the first state is not there at once: %v", two.all)
		}
		pass(2 * time.Second)
		if len(two.pasts) != 1 || two.pasts[0].Steps < observe.Samples-1 || *two.pasts[0].kind("price").Requests[7] != 50 {
			t.Fatalf("%d pasts of 2@b: %+v", len(two.pasts), two.pasts)
		}
		pass(5 * time.Second)
		if k := all.last().kind("price"); k.Minute.Requests != 840 { // not twice, although 2@b has told its past again
			t.Errorf("all: %+v", k.Minute)
		}
		pass(56 * time.Second)
		if s := two.last(); s.Of != "2@b" || s.Problem != "" || s.kind("price").Nodes != 1 || s.kind("price").Minute.Requests != 600 || s.Live != 10 {
			t.Errorf("2@b: %+v", s.chosenState)
		}
		for i, step := range two.steps {
			if step.Seq != two.pasts[0].Seq+int64(i)+1 || *step.kind("price").Requests[0] != 50 {
				t.Errorf("step %d of 2@b: %+v", step.Seq, step.Kinds)
			}
		}
		if s := none.last(); s.Problem != "9@z is no member" || len(s.Kinds) != 0 {
			t.Errorf("no member: %+v", s.chosenState)
		}
		late := watch(t, h, Choice{Node: "2@b"}) // old histograms are quantiles by now
		pass(time.Second)
		if past := late.pasts[0]; *past.kind("price").P50[3] != 1 || *past.kind("price").P99[3] != 5000 && *past.kind("price").P99[3] != 1 {
			t.Errorf("quantiles of 2@b: %v %v", *past.kind("price").P50[3], *past.kind("price").P99[3])
		}
		for _, name := range []string{"2", "<script>@x", strings.Repeat("9", 1<<20) + "@b", "2@b:1"} {
			if v := watch(t, h, Choice{Node: name}); true {
				synctest.Wait()
				if !errors.Is(v.err, node.ErrBadRequest) || len(v.err.Error()) > 300 || len(v.all) > 0 {
					t.Errorf("a node called %.20q: %.300v", name, v.err)
				}
			}
		}
		var more []*viewer
		for i := range 40 {
			more = append(more, watch(t, h, Choice{Node: fmt.Sprintf("%d@x", i)}))
			synctest.Wait()
		}
		if err := more[29].err; err != errWatching {
			t.Errorf("a page that shows the 32nd node: %v", err)
		}
		if err := more[30].err; !errors.Is(err, node.ErrOverloaded) {
			t.Errorf("a page that shows the 33rd node: %v", err)
		}
		if err := watch(t, h, Choice{Node: "2@b", Hot: true}).err; err != errWatching {
			t.Errorf("one of the nodes that are shown: %v", err)
		}
	})
}

// TestRestart starts a node anew: its samples have new numbers, and another phase.
func TestRestart(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		v, of := watch(t, h, Choice{}), watch(t, h, Choice{Node: "2@b"})
		pass(31 * time.Second)
		f.change(func() {
			n := f.node("2@b")
			n.run, n.began = 77, time.Now()
		})
		pass(2 * time.Minute)
		for _, page := range []*viewer{v, of} {
			total, want := 0.0, 0.0
			for i, s := range page.steps {
				if s.Seq != page.pasts[0].Seq+int64(i)+1 {
					t.Fatalf("step %d", s.Seq)
				}
				k := s.kind("price")
				if page == of && k == nil {
					t.Fatalf("step %d of 2@b has no price", s.Seq)
				}
				if k.Requests[0] != nil {
					total += *k.Requests[0]
				}
				if want += 10; page == v {
					want += 20
				}
			}
			if total > want || total < want-20 { // it was down for a part of two samples
				t.Errorf("%v requests in %d steps, want up to %v", total, len(page.steps), want)
			}
		}
		if k := v.last().kind("price"); k.Minute.Requests != 360 {
			t.Errorf("the last minute: %+v", k.Minute)
		}
	})
}

// TestLateSteps has nodes whose samples end at other times, and one that is asked in vain for
// a while: its samples are added to steps that were sent, so that a page which comes later
// has them.
func TestLateSteps(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		f.node("2@b").began = f.node("2@b").began.Add(1700 * time.Millisecond)
		f.node("3@c").began = f.node("3@c").began.Add(4999 * time.Millisecond)
		v := watch(t, h, Choice{})
		pass(31 * time.Second)
		for _, s := range v.steps {
			if *s.kind("price").Requests[0] != 30 {
				t.Errorf("step %d: %v requests", s.Seq, *s.kind("price").Requests[0])
			}
		}
		f.change(func() { f.node("3@c").silent = true })
		before := len(v.steps)
		pass(30 * time.Second)
		for i, s := range v.steps[before+1:] {
			if *s.kind("price").Requests[0] != 20 {
				t.Errorf("step %d of the silence: %v requests", i, *s.kind("price").Requests[0])
			}
		}
		if n := len(v.steps) - before; n < 5 {
			t.Errorf("%d steps in 30 s of silence", n)
		}
		f.change(func() { f.node("3@c").silent = false })
		pass(10 * time.Second)
		late := watch(t, h, Choice{})
		pass(time.Second)
		for i, n := range late.pasts[0].kind("price").Requests {
			if *n != 30 && i < observe.Samples-1 {
				t.Errorf("step %d of the past: %v requests, want 30", i, *n)
			}
		}
	})
}

// TestDrift has a node whose clock runs fast: its samples move from slot to slot, and none
// is lost or counted twice.
func TestDrift(t *testing.T) {
	t.Parallel()
	var p placing
	slot, seq := make(map[int64]int), uint64(0)
	asked := observe.Mark{}
	for i := range 2000 {
		at := 1000 + float64(i)*0.2 // of a slot: each second
		ran := at * 1.01            // 1 % fast
		f := observe.Figures{Run: 5, Last: uint64(ran)}
		s := p.place(f, asked, at-(ran-math.Floor(ran))/1.01)
		for ; s.first <= s.last; s.first, s.slot = s.first+1, s.slot+1 {
			if seq != 0 && s.first != seq+1 {
				t.Fatalf("sample %d after %d", s.first, seq)
			}
			seq = s.first
			if d := float64(s.slot) - at; i > 0 && (d < -drift-0.5 || d > drift+0.5) {
				t.Fatalf("sample %d is %v slots off", seq, d)
			}
			slot[s.slot]++
		}
		asked = observe.Mark{Run: p.run, Seq: p.seq}
	}
	double := 0
	for s := int64(1001); s < 1398; s++ {
		switch slot[s] {
		case 1:
		case 2:
			double++
		default:
			t.Errorf("slot %d has %d samples", s, slot[s])
		}
	}
	if double < 3 || double > 5 { // 1 % of 400 more samples than slots
		t.Errorf("%d slots with two samples", double)
	}
}

// TestKindsComeAndGo has a kind that appears, and one that vanishes.
func TestKindsComeAndGo(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		v := watch(t, h, Choice{})
		pass(11 * time.Second)
		f.change(func() {
			for _, n := range f.nodes {
				n.kinds["new"] = &observe.KindFigures{Kind: "new", Serial: true, Strict: true}
				n.since["new"] = uint64(time.Since(n.began)/observe.SampleTime) + 1
				n.info.Kinds = maps.Clone(n.info.Kinds)
				n.info.Kinds["new"] = "x"
				n.until["price"] = uint64(time.Since(n.began) / observe.SampleTime)
				delete(n.info.Kinds, "price")
			}
		})
		pass(20 * time.Second)
		s := v.last()
		if k := s.kind("new"); k == nil || !k.Serial || !k.Strict || k.Minute.Requests == 0 {
			t.Errorf("the new kind: %+v", k)
		}
		step := v.steps[len(v.steps)-1]
		if k := step.kind("new"); k == nil || *k.Requests[0] != 30 {
			t.Errorf("the new kind in a step: %+v", k)
		}
		if k := step.kind("price"); k == nil || *k.Requests[0] != 0 || k.P99[0] != nil {
			t.Errorf("a kind that nobody asks: %+v", k)
		}
		f.change(func() {
			for _, n := range f.nodes {
				delete(n.kinds, "price")
			}
		})
		pass(3 * time.Second)
		if k := v.last().kind("price"); k != nil {
			t.Errorf("a kind that is gone: %+v", k)
		}
		pass(observe.Samples*observe.SampleTime + 10*time.Second)
		if k := v.steps[len(v.steps)-1].kind("price"); k != nil {
			t.Errorf("a kind that is gone for 15 min: %+v", k)
		}
	})
}

// TestUnknownPast starts with nodes that have run for a minute: what was before is unknown.
func TestUnknownPast(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		for _, n := range f.nodes {
			n.began = time.Now().Add(-time.Minute)
		}
		f.nodes[1].began = time.Now().Add(-2 * time.Minute)
		v := watch(t, h, Choice{})
		pass(time.Second)
		past := v.pasts[0]
		if past.Steps < 23 || past.Steps > 24 || *past.kind("price").Requests[0] != 10 || *past.kind("price").Requests[past.Steps-1] != 30 {
			t.Errorf("%d steps: %v", past.Steps, past.Kinds)
		}
		for _, n := range f.nodes {
			f.change(func() { n.silent = true })
		}
		pass(20 * time.Second)
		if k := v.steps[len(v.steps)-1].kind("price"); k == nil || k.Requests[0] != nil || k.P50[0] != nil {
			t.Errorf("a step of which nothing is known: %+v", k)
		}
		late := watch(t, h, Choice{})
		pass(time.Second)
		if k := late.pasts[0].kind("price"); k.Requests[late.pasts[0].Steps-1] != nil || k.Requests[3] == nil {
			t.Errorf("a past whose end is unknown: %+v", k)
		}
	})
}

// TestNobodyLists has a cluster that cannot list its members.
func TestNobodyLists(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		f.err = errors.New("no way\x1b[2J")
		v := watch(t, h, Choice{})
		pass(3 * time.Second)
		s := v.last()
		if len(s.Attention) != 1 || s.Attention[0].Level != "error" || s.Attention[0].Text != "1@a cannot list the members: no way [2J" {
			t.Errorf("attention: %+v", s.Attention)
		}
		if _, err := h.Members(t.Context()); err == nil {
			t.Error("Members has no error")
		}
		f.change(func() { f.err = nil })
		pass(10 * time.Second)
		if s := v.last(); len(s.Members) != 3 || len(s.kind("price").Differs) != 0 {
			t.Errorf("later: %+v", s)
		}
		f.change(func() { f.err = errors.New("no way") })
		pass(2 * time.Second)
		if list, err := h.Members(t.Context()); len(list) != 3 || err != nil { // those that it knows
			t.Errorf("Members: %v, %v", list, err)
		}
	})
}

// TestMembers asks for the members without a page.
func TestMembers(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		f.node("2@b").clock = -90 * time.Second
		for range 100 {
			list, err := h.Members(t.Context())
			if len(list) != 3 || err != nil || list[1].Name != "2@b" {
				t.Fatalf("%v, %v", list, err)
			}
			if c := list[1].Clock; c == nil || *c != -90_000 {
				t.Errorf("the clock of 2@b is %v ms ahead", c)
			}
			pass(50 * time.Millisecond)
		}
		if n := f.asks()["nodes"]; n > 6 {
			t.Errorf("100 lists in 5 s asked %d times", n)
		}
		pass(15 * time.Second)
		f.asks()
		pass(time.Minute)
		if asked := f.asks(); len(asked) > 0 {
			t.Errorf("asked %v for nobody", asked)
		}
	})
}

// TestHot has the hottest ids of all nodes and of one.
func TestHot(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		id, err := worker.ParseID("\xff<script>\u202e")
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range f.nodes {
			for k := range 40 {
				n.hot.Busiest = append(n.hot.Busiest, observe.HotID{Info: worker.Info{Kind: "price", ID: worker.IntID(int64(k))}, Rate: float64(100*i + k)})
			}
			n.hot.Longest = []observe.HotID{{Info: worker.Info{Kind: "price", ID: id, Queue: i + 1, Hits: 9, Age: time.Second, TTL: time.Minute}, Rate: 1}}
		}
		without := watch(t, h, Choice{})
		pass(2 * time.Second)
		if n := f.asks()["hottest of 1@a"]; n != 0 || without.last().Hot != nil {
			t.Errorf("asked %d times for what no page shows", n)
		}
		all, two := watch(t, h, Choice{Hot: true}), watch(t, h, Choice{Node: "2@b", Hot: true})
		pass(2 * time.Second)
		s := all.last()
		if len(s.Hot) != observe.MaxHot || s.Hot[0].Node != "3@c" || s.Hot[0].Rate != 239 || s.Hot[0].ID.ID != "39" {
			t.Errorf("%d hot ids, the first is %+v", len(s.Hot), s.Hot[0])
		}
		if len(s.Queues) != 3 || s.Queues[0].Queue != 3 || s.Queues[0].Encoding != "base64" || s.Queues[0].TTL != 60_000 {
			t.Errorf("queues: %+v", s.Queues)
		}
		if s := two.last(); len(s.Hot) != 40 || s.Hot[0].Node != "2@b" || len(s.Queues) != 1 {
			t.Errorf("%d hot ids of 2@b, %d queues", len(s.Hot), len(s.Queues))
		}
		for _, v := range []*viewer{all, two} {
			v.cancel()
		}
		pass(time.Second)
		f.asks()
		pass(5 * time.Second)
		if n := f.asks()["hottest of 1@a"]; n != 0 {
			t.Errorf("asked %d times when no page shows them any more", n)
		}
	})
}

// TestManyMembers asks 300 members every 3 s.
func TestManyMembers(t *testing.T) {
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("%d@h", i+1))
	}
	bubble(t, names, func(t *testing.T, f *fake, h *Hub) {
		v := watch(t, h, Choice{})
		pass(60*time.Second + 500*time.Millisecond)
		if n := f.asks()["figures of 17@h"]; n < 20 || n > 22 {
			t.Errorf("a member of 300 was asked %d times in a minute", n)
		}
		if s := v.last(); s.Every != 3000 || s.kind("price").Nodes != 300 || len(v.steps) < 11 {
			t.Errorf("every %d ms, %+v, %d steps", s.Every, s.kind("price"), len(v.steps))
		}
	})
}

// TestStateFields compares the fields of the events with those that the page reads.
func TestStateFields(t *testing.T) {
	t.Parallel()
	fields := func(v any) string {
		var keys []string
		for field := range reflect.TypeOf(v).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			keys = append(keys, name)
		}
		return strings.Join(keys, " ")
	}
	for _, c := range []struct {
		v    any
		want string
	}{
		{commonState{}, "node version run time routing pages every_ms attention members"},
		{chosenState{}, "of of_problem kinds kinds_left_out hot queues live"},
		{kindState{}, "kind serial strict nodes differs rate minute workers bytes max_bytes waiting longest running concurrency queued stuck stuck_ms"},
		{minuteMessage{}, "requests failed degraded stale p50_ms p50_over p99_ms p99_over runs runs_failed run_p50_ms run_p50_over run_p99_ms run_p99_over evicted"},
		{pastMessage{}, "seq step_ms end steps kinds"},
		{pastKind{}, "kind requests failed degraded stale p50_ms p99_ms runs runs_failed run_p99_ms evicted"},
		{Notice{}, "level text node kind"},
		{Plan{}, "routing ids members after plans moves"},
	} {
		if got := fields(c.v); got != c.want {
			t.Errorf("%T has %s, want %s", c.v, got, c.want)
		}
	}
	if data, err := json.Marshal(numbers{1, -1, 0.1, 1e12}); string(data) != "[1,null,0.1,1000000000000]" || err != nil {
		t.Errorf("numbers: %s, %v", data, err)
	}
}
