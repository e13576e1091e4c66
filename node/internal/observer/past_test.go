package observer

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/events"
	"github.com/distproc/distproc/node/internal/handoff"
	"github.com/distproc/distproc/node/internal/kinds"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A host is a node that is alone.
type host struct{}

func (host) HandOff([]registry.Answer)                             {}
func (host) AwaitRoom(context.Context)                             {}
func (host) Hurries() bool                                         { return false }
func (host) Claim(context.Context, worker.Key) *wire.Error         { return nil }
func (host) NotOwner(worker.ID) *wire.Error                        { return nil }
func (host) Target(worker.ID) (string, bool)                       { return "", false }
func (host) Send(context.Context, string, []registry.Answer) error { return nil }
func (host) Suspended()                                            {}
func (host) StoodStill() bool                                      { return false }

// newObserver returns an observer of so many kinds. Their names are as long as names may be.
func newObserver(t testing.TB, count int) *Observer {
	t.Helper()
	list := map[string]worker.Kind{}
	for i := range count {
		list[nameOf(i)] = worker.Cache{TTL: time.Hour, Inline: true, Load: func(context.Context, worker.ID) (worker.Value, error) { return worker.Value{}, nil }}
	}
	process := clock.NewProcess(host{})
	process.StayAwake()
	set, err := kinds.New(kinds.Config{Node: "1@h", Host: host{}, Clock: process, MaxWaiting: 1, Logger: slog.New(slog.DiscardHandler)}, nil, list)
	if err != nil {
		t.Fatal(err)
	}
	queue := handoff.New(host{})
	t.Cleanup(func() {
		for _, r := range set.Registries() {
			r.Close(context.Background())
		}
	})
	return New(Config{Node: "1@h", Ring: events.New(), Kinds: set, Handoffs: queue})
}

func nameOf(i int) string { return fmt.Sprintf("%s%03d", strings.Repeat("k", 61), i) }

// request makes so many requests of a kind.
func (o *Observer) request(t testing.TB, kind, times int) {
	t.Helper()
	r := o.Kinds.Of(nameOf(kind))
	for i := range times {
		if _, took, err := r.Await(t.Context(), worker.IntID(int64(i)), worker.Value{}); err != nil {
			t.Fatal(err)
		} else {
			r.NoteRequest(worker.IntID(int64(i)), took, &worker.Reply{Node: "1@h"}, nil)
		}
	}
}

// requests returns the requests of each sample of a kind, as text.
func requests(f observe.Figures, kind int) string {
	var list []string
	for _, s := range f.Kinds[kind].Past {
		n := uint32(0)
		for _, c := range s.Latency {
			n += c
		}
		list = append(list, fmt.Sprint(n))
	}
	return strings.Join(list, " ")
}

// TestPast has a kind asked now and then, also when the process has stood still.
func TestPast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newObserver(t, 2)
		done := make(chan struct{})
		defer close(done)
		tick := func(seconds int) {
			for range seconds {
				time.Sleep(time.Second)
				o.read()
			}
		}
		check := func(last uint64, age time.Duration, want string) {
			t.Helper()
			f := o.figuresHere(observe.Mark{})
			if got := requests(f, 0); f.Last != last || f.Age != age || got != want || f.Kinds[1].Past != nil {
				t.Errorf("%d samples, %v old: %s; want %d, %v: %s", f.Last, f.Age, got, last, age, want)
			}
		}
		check(0, 0, "")
		o.request(t, 0, 3)
		tick(4)
		check(0, 4*time.Second, "") // it has yet to end
		o.request(t, 0, 2)
		tick(1)
		check(1, 0, "5")
		tick(6)
		time.Sleep(300 * time.Millisecond)
		check(2, 1300*time.Millisecond, "5 0")
		if rate := o.figuresHere(observe.Mark{}).Kinds[0].Rate; rate != 0 {
			t.Errorf("%v per second", rate)
		}
		o.request(t, 0, 10)
		time.Sleep(700 * time.Millisecond)
		o.read() // 12 s
		if rate := o.figuresHere(observe.Mark{}).Kinds[0].Rate; rate != 2 {
			t.Errorf("%v per second, want 10 in 5 s", rate)
		}
		o.request(t, 0, 1)
		time.Sleep(10 * time.Second) // in which nobody has read
		o.read()                     // 22 s
		tick(3)
		check(5, 0, "5 0 10 0 1")
		o.request(t, 0, 4)
		time.Sleep(2 * time.Second)
		o.read()
		tick(observe.Samples*sampleSeconds - 10)
		check(5+observe.Samples-2, 2*time.Second, "1 4"+strings.Repeat(" 0", observe.Samples-3))
		tick(sampleSeconds * 2)
		check(5+observe.Samples, 2*time.Second, "4"+strings.Repeat(" 0", observe.Samples-1))
	})
}

// fill has a kind do as much as can be counted in all of the past.
func (o *Observer) fill(kind int) {
	p := &o.past
	r := o.Kinds.Of(nameOf(kind))
	h := &history{of: r, lately: &lately{}}
	p.kinds[r.Name()], p.seconds = h, observe.Samples*sampleSeconds
	for i := range h.samples {
		s := &sample{failed: math.MaxUint32, degraded: math.MaxUint32, stale: math.MaxUint32, runsFailed: math.MaxUint32, evicted: math.MaxUint32}
		for k := range s.latency {
			s.latency[k], s.runs[k] = math.MaxUint32, math.MaxUint32
		}
		h.samples[i] = s
		h.sum += s.requests() + total(&s.runs)
	}
}

// TestFiguresFit has too many kinds, all of which have done more than can be counted: the
// answer fits into a message, with those kinds, and as much of their past as there is room for.
func TestFiguresFit(t *testing.T) {
	t.Parallel()
	o := newObserver(t, observe.MaxKinds+10)
	for i := range observe.MaxPasts {
		o.fill(5 + 3*i)
	}
	f := o.figuresHere(observe.Mark{})
	if len(f.Kinds) != observe.MaxKinds || f.Kinds[0].Kind >= f.Kinds[1].Kind {
		t.Errorf("%d kinds, from %s on", len(f.Kinds), f.Kinds[0].Kind)
	}
	pasts := 0
	for i := range f.Kinds {
		k := &f.Kinds[i]
		if n := len(k.Past); n > 0 {
			if pasts++; n < observe.Samples/3 || n == observe.Samples {
				t.Errorf("%d samples of %s", n, k.Kind)
			}
		}
		k.Rate, k.Workers, k.Bytes, k.MaxBytes, k.Waiting, k.Longest = math.MaxFloat64, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt
		k.Running, k.Concurrency, k.Queued, k.Stuck, k.StuckFor = math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt
		k.Serial, k.Strict = true, true
	}
	if pasts != observe.MaxPasts {
		t.Errorf("%d kinds have a past, want %d", pasts, observe.MaxPasts)
	}
	f.Node = strings.Repeat("n", 400)
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(f); err != nil || b.Len() > wire.MaxMessage-1024 || b.Len() < wire.MaxMessage*2/3 {
		t.Errorf("%d bytes, %v; want %d at most, and not much less", b.Len(), err, wire.MaxMessage-1024)
	}
	// Kinds that do less have all of their past told.
	for _, h := range o.past.kinds {
		if h.lately != nil {
			for _, s := range h.samples {
				*s = sample{latency: s.latency}
				for k := range s.latency {
					s.latency[k] = 1000
				}
			}
		}
	}
	for _, k := range o.figuresHere(observe.Mark{}).Kinds {
		if n := len(k.Past); n != 0 && n != observe.Samples {
			t.Errorf("%d samples", n)
		}
	}
}

// TestPastIsForgotten has a kind that did something 15 minutes ago, and one that was removed
// and added again.
func TestPastIsForgotten(t *testing.T) {
	t.Parallel()
	o := newObserver(t, 2)
	o.fill(0)
	o.fill(1)
	o.past.kinds[nameOf(1)].of = nil
	if p := &o.past; p.of(o.Kinds.Of(nameOf(0))) == nil || p.of(o.Kinds.Of(nameOf(1))) != nil {
		t.Error("the past is not that of the kinds")
	}
	l := o.past.of(o.Kinds.Of(nameOf(0)))
	before := l.sum
	o.past.advance(o.past.seconds + observe.Samples/2*sampleSeconds)
	if l.sum != before/ring*(ring-observe.Samples/2) {
		t.Errorf("%d of %d are left after half of the time", l.sum, before)
	}
	o.past.advance(o.past.seconds + observe.Samples*sampleSeconds*3)
	if h := o.past.kinds[nameOf(0)]; h.lately != nil {
		t.Errorf("%d are left", h.sum)
	}
}

// BenchmarkPast measures what the past of a kind takes that is asked all the time, and of one
// that nobody asks.
func BenchmarkPast(b *testing.B) {
	const count = 100
	o := newObserver(b, count)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for b.Loop() {
		o.past.kinds = map[string]*history{}
		began := heap()
		for i := range count {
			r := o.Kinds.Of(nameOf(i))
			o.past.kinds[r.Name()] = &history{of: r}
		}
		idle := heap()
		for second := range observe.Samples * sampleSeconds {
			o.past.advance(o.past.seconds + 1)
			for _, h := range o.past.kinds {
				now := h.last
				now.Latency[second%len(now.Latency)]++
				h.add(o.past.seconds, &now)
			}
		}
		b.ReportMetric(float64(heap()-idle)/count, "B/busy-kind")
		b.ReportMetric(float64(idle-began)/count, "B/idle-kind")
	}
}

// BenchmarkFigures measures an answer: of all that is known, and after the last mark.
func BenchmarkFigures(b *testing.B) {
	for _, count := range []int{1, 10, 100, observe.MaxKinds} {
		o := newObserver(b, count)
		for i := range min(count, observe.MaxPasts) {
			o.fill(i)
		}
		f := o.figuresHere(observe.Mark{})
		for name, mark := range map[string]observe.Mark{"all": {}, "new": f.Next()} {
			b.Run(fmt.Sprintf("kinds=%d/%s", count, name), func(b *testing.B) {
				for b.Loop() {
					o.figuresHere(mark)
				}
			})
		}
	}
}

// BenchmarkRead measures what a node does once a second for kinds that nobody asks.
func BenchmarkRead(b *testing.B) {
	o := newObserver(b, 100)
	o.read()
	for b.Loop() {
		o.read()
	}
}
