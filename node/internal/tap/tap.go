// Package tap has the steps of ids that are traced: which requests and calls came for them,
// and what became of each.
//
// The path of a step: where a node has answered a request it asks [Board.Of] for the tap of
// its id, which is one atomic load while nothing is traced. [Tap.Note] puts the step into
// the tap's ring. Who traces the id asks for it with [Board.Poll], again and again, and
// the tap goes when nobody has asked for [Lease]. So a trace needs no end: one whose
// shell, client or node has gone ends by itself. A tracer that reads slowly misses steps,
// and is told how many.
package tap

import (
	"cmp"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

// Lease is how long a tap stays after it was asked for.
const Lease = 2 * time.Second

// A Board has the taps of a node. The zero Board has none. All methods may be called from
// any number of goroutines.
type Board struct {
	taps atomic.Pointer[map[worker.Key]*Tap] // nil while there are none; replaced with mu held
	mu   sync.Mutex
}

// A Tap gathers the steps of one id.
type Tap struct {
	run   uint64
	timer *time.Timer // ends the tap

	mu   sync.Mutex
	list [observe.MaxSteps]observe.Step // guarded by mu
	last uint64                         // Seq of the newest one; guarded by mu
}

// Of returns the tap of an id, or nil if the id is not traced. The empty kind is the
// default one.
func (b *Board) Of(kind string, id worker.ID) *Tap {
	taps := b.taps.Load()
	if taps == nil {
		return nil
	}
	return find(*taps, kind, id)
}

func find(taps map[worker.Key]*Tap, kind string, id worker.ID) *Tap {
	return taps[keyOf(worker.Key{Kind: kind, ID: id})]
}

func keyOf(k worker.Key) worker.Key {
	k.Kind = cmp.Or(k.Kind, worker.DefaultKind)
	return k
}

// Note adds a step, and sets its Seq and Time.
func (t *Tap) Note(s observe.Step) {
	Clean(&s)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	s.Seq, s.Time = t.last, time.Now()
	t.list[t.last%observe.MaxSteps] = s
}

// Requested adds the step of a request of a node or a client, which took some time and was
// answered with reply or with err. Fresh is said of a refresh.
func (t *Tap) Requested(from string, fresh bool, took time.Duration, reply *worker.Reply, err error) {
	s := observe.Step{What: "request", From: from, Took: took}
	if fresh {
		s.What = "refresh"
	}
	t.answered(s, reply, err)
}

// Called adds the step of a call, like Requested.
func (t *Tap) Called(from string, message worker.Value, took time.Duration, reply *worker.Reply, err error) {
	t.answered(observe.Step{What: "call", From: from, Took: took, Message: shown(message)}, reply, err)
}

// Served is Called for a serial kind, and Requested for another one.
func (t *Tap) Served(serial bool, from string, fresh bool, message worker.Value, took time.Duration, reply *worker.Reply, err error) {
	if serial {
		t.Called(from, message, took, reply, err)
		return
	}
	t.Requested(from, fresh, took, reply, err)
}

func (t *Tap) answered(s observe.Step, reply *worker.Reply, err error) {
	if err != nil {
		s.Err = err.Error()
	} else {
		s.By, s.Cached, s.Stale, s.Degraded, s.Value = reply.Node, reply.Cached, reply.Stale, reply.Degraded, shown(reply.Value)
	}
	t.Note(s)
}

// shown returns the beginning of a value.
func shown(v worker.Value) string { return text.Clip(v.String()) }

// Clean makes the texts of a step, which may come from anywhere, short and printable.
func Clean(s *observe.Step) {
	for _, t := range []*string{&s.What, &s.From, &s.By, &s.Message, &s.Value} {
		*t = text.Line(*t, 100)
	}
	s.Err = text.Line(s.Err, 300)
}

// Poll returns the steps of an id after a mark, and has its tap stay. It makes a tap, and
// reports that, if there is none. It fails if there are too many.
func (b *Board) Poll(q observe.TraceQuery) (page observe.Steps, begins bool, err error) {
	t, begins := b.keep(keyOf(q.Key))
	if t == nil {
		return page, false, wire.Errorf(wire.Overloaded, wire.NotRun, "%d ids are traced on this node already; wait until other traces have ended", observe.MaxTraces)
	}
	return t.since(q.After), begins, nil
}

// keep returns the tap of an id, for which it gets more time, or nil if there are too many.
func (b *Board) keep(k worker.Key) (t *Tap, begins bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	taps := map[worker.Key]*Tap{}
	if old := b.taps.Load(); old != nil {
		taps = *old
	}
	if t := taps[k]; t != nil {
		t.timer.Reset(Lease)
		return t, false
	}
	if len(taps) == observe.MaxTraces {
		return nil, false
	}
	t = &Tap{run: uint64(time.Now().UnixNano())}
	t.timer = time.AfterFunc(Lease, func() { b.drop(k, t) })
	taps = maps.Clone(taps)
	taps[k] = t
	b.taps.Store(&taps)
	return t, true
}

// drop ends a tap.
func (b *Board) drop(k worker.Key, t *Tap) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.taps.Load()
	if old == nil || (*old)[k] != t {
		return
	}
	if len(*old) == 1 {
		b.taps.Store(nil)
		return
	}
	taps := maps.Clone(*old)
	delete(taps, k)
	b.taps.Store(&taps)
}

// since returns the steps after a mark. A mark of another run is one of before, and the
// zero mark is now.
func (t *Tap) since(after observe.Mark) observe.Steps {
	t.mu.Lock()
	defer t.mu.Unlock()
	page := observe.Steps{Run: t.run, Last: t.last}
	first := t.last - min(t.last, observe.MaxSteps) + 1 // Seq of the oldest that is kept
	next := min(after.Seq, t.last) + 1
	switch {
	case after == observe.Mark{}:
		return page
	case after.Run != t.run:
		next = 1
	}
	if next < first {
		page.Missed = first - next
		next = first
	}
	for seq := next; seq <= t.last && len(page.List) < observe.MaxPage; seq++ {
		page.List = append(page.List, t.list[seq%observe.MaxSteps])
	}
	return page
}
