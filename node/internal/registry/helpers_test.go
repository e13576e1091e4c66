package registry

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

type echoServer struct{}

func (echoServer) Call(_ context.Context, message worker.Value) (worker.Value, error) {
	return message, nil
}

// await waits until check returns nil, for at most 10 s.
func await(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// percentile returns the value below which a share of the durations lies. It sorts them.
func percentile(took []time.Duration, share float64) time.Duration {
	slices.Sort(took)
	return took[int(share*float64(len(took)-1))]
}

func total(h worker.Histogram) (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// A watched server notes when two of them run at once. It runs for a while, or until its
// context ends.
type watched struct {
	running, overlap *atomic.Int32
	d                time.Duration
}

func (s watched) Call(ctx context.Context, m worker.Value) (worker.Value, error) {
	if s.running.Add(1) > 1 {
		s.overlap.Add(1)
	}
	defer s.running.Add(-1)
	clock.Sleep(ctx, s.d)
	return m, nil
}

// A serverFunc is a server without state.
type serverFunc func(context.Context, worker.Value) (worker.Value, error)

func (f serverFunc) Call(ctx context.Context, message worker.Value) (worker.Value, error) {
	return f(ctx, message)
}

// outcomeOf returns the outcome that an error carries.
func outcomeOf(err error) worker.Outcome {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return worker.Outcome(e.Outcome)
	}
	return worker.OutcomeUnknown
}

// num returns the integer of an id that is one.
func num(id worker.ID) int64 {
	n, _ := id.Int64()
	return n
}

// everything and nothing are views in which this node owns all ids, or none.
func everything(worker.ID) bool { return true }

func nothing(worker.ID) bool { return false }

// takes lets r hand its answers over to a list.
func takes(r *Registry) (taken func() []Answer) {
	var mu sync.Mutex
	var list []Answer
	hostOf(r).handOff = func(moves []Answer) {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, moves...)
	}
	return func() []Answer {
		mu.Lock()
		defer mu.Unlock()
		l := list
		list = nil
		return l
	}
}

// inBubble runs a test in a bubble of false time with a registry of one kind.
func inBubble(t *testing.T, kind worker.Kind, test func(t *testing.T, r *Registry)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(kind, "1@h", 100)
		test(t, r)
		r.Close(t.Context())
	})
}

// blockingKinds are two kinds whose runs take until their contexts end.
func blockingKinds() map[string]worker.Kind {
	block := func(ctx context.Context) (worker.Value, error) { <-ctx.Done(); return worker.Value{}, ctx.Err() }
	return map[string]worker.Kind{
		"load": worker.Cache{Timeout: time.Hour, Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) { return block(ctx) }},
		"serial": worker.Serial{Timeout: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return serverFunc(func(ctx context.Context, _ worker.Value) (worker.Value, error) { return block(ctx) }), nil
		}},
	}
}

// counter is a source that counts its runs: the first value is 1.
func counter() worker.Source {
	var runs atomic.Int64
	return func(context.Context, worker.ID) (worker.Value, error) { return worker.IntValue(runs.Add(1)), nil }
}

// request answers from the worker of id, which it starts if there is none.
func (r *Registry) request(ctx context.Context, id worker.ID) (worker.Reply, error) {
	now := r.Look()
	var reply worker.Reply
	if r.Lookup(id, now.Now, false, &reply) {
		return reply, nil
	}
	return r.await(ctx, id, worker.Value{}, now)
}

func (r *Registry) live() int {
	n, _, _ := r.Count()
	return n
}

// expect asks for an id and checks value and whether it was cached.
func expect(t *testing.T, r *Registry, id int64, value string, cached bool) worker.Reply {
	t.Helper()
	reply, err := r.request(t.Context(), worker.IntID(id))
	if err != nil || reply.Value.String() != value || reply.Cached != cached || reply.Node != "1@h" {
		t.Errorf("request(%d) = %+v, %v; want %s, cached %v", id, reply, err, value, cached)
	}
	return reply
}

// orRandom returns a kind that answers, if only with random numbers.
func orRandom(kind worker.Kind) worker.Kind {
	if c, ok := kind.(worker.Cache); ok && c.Load == nil {
		c.Load, c.Inline = worker.RandomSource, true
		return c
	}
	return kind
}

// testRegistry returns a registry of the default kind, in which so many calls may wait.
func testRegistry(kind worker.Kind, node string, waiting int64) *Registry {
	h := &fakeHost{}
	c := clock.NewProcess(h)
	c.StayAwake()
	h.r = New(Config{
		Name: worker.DefaultKind, Kind: orRandom(kind), Node: node, Host: h, Clock: c, Admission: &Admission{size: waiting}, Values: new(Values),
		Logger: slog.New(slog.DiscardHandler),
	})
	return h.r
}

// A fakeHost does what its functions say, and nothing if they are nil.
type fakeHost struct {
	r     *Registry
	stood atomic.Bool // standstills count

	handOff  func([]Answer)
	room     func(context.Context)
	hurries  bool
	claim    func(context.Context, worker.ID) *wire.Error
	notOwner func(worker.ID) *wire.Error
}

// hostOf returns the host of a registry of [testRegistry].
func hostOf(r *Registry) *fakeHost { return r.host.(*fakeHost) }

func (h *fakeHost) HandOff(list []Answer) {
	if h.handOff != nil {
		h.handOff(list)
	}
}

func (h *fakeHost) AwaitRoom(ctx context.Context) {
	if h.room != nil {
		h.room(ctx)
	}
}

func (h *fakeHost) Claim(ctx context.Context, k worker.Key) *wire.Error {
	if h.claim == nil {
		return nil
	}
	return h.claim(ctx, k.ID)
}

func (h *fakeHost) Hurries() bool    { return h.hurries }
func (h *fakeHost) Suspended()       { h.r.Sweep() }
func (h *fakeHost) StoodStill() bool { return h.stood.Load() }

// standStill has the process of r stand still just now.
func standStill(r *Registry) {
	h := hostOf(r)
	h.stood.Store(true)
	r.clock.StandStill(2 * time.Second)
	r.clock.Standstills(r.Now())
	h.stood.Store(false)
}

func (h *fakeHost) NotOwner(id worker.ID) *wire.Error {
	if h.notOwner == nil {
		return &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
	}
	return h.notOwner(id)
}

// sized is a source of values of n bytes each.
func sizedSource(n int) worker.Source {
	return func(context.Context, worker.ID) (worker.Value, error) {
		return worker.BytesValue(strings.Repeat("x", n)), nil
	}
}

// An answerFunc is told the errors of calls.
type answerFunc func(error)

func (f answerFunc) Answer(_ worker.Reply, err error) { f(err) }
