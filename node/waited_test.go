package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A hall runs one thing at a time, a message or the source of an id, and notes what has
// begun. The first one ends when the hall opens.
type hall struct {
	open  chan struct{}
	takes time.Duration // for each, besides

	mu    sync.Mutex
	begun []string // guarded by mu
}

func (h *hall) run(what string) {
	h.mu.Lock()
	h.begun = append(h.begun, what)
	h.mu.Unlock()
	<-h.open
	time.Sleep(h.takes)
}

// has returns an error unless what has begun.
func (h *hall) has(what string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.begun, what) {
		return errors.New(what + " has not begun")
	}
	return nil
}

func (h *hall) Call(_ context.Context, message worker.Value) (worker.Value, error) {
	h.run(message.String())
	return message, nil
}

// A hallCaller asks for thing n of a hall, each of which has a text of its own.
type hallCaller func(ctx context.Context, f Family, n int) (worker.Reply, error)

func hallID(n int) worker.ID { return worker.IntID(int64(1 + 3*n)) } // all of the second of three nodes

// kinds returns the kinds of the hall and how each is asked: messages wait for a server,
// or ids for their turn.
func (h *hall) kinds() (map[string]worker.Kind, map[string]hallCaller) {
	return map[string]worker.Kind{
			"queue": worker.Serial{Timeout: time.Minute, Open: func(context.Context, worker.ID) (worker.Server, error) { return h, nil }},
			"gate": worker.Cache{Timeout: time.Minute, Concurrency: 1, Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
				h.run(id.String())
				return worker.BytesValue(id.String()), nil
			}},
		}, map[string]hallCaller{
			"queue": func(ctx context.Context, f Family, n int) (worker.Reply, error) {
				return f.Call(ctx, hallID(0), worker.BytesValue(hallID(n).String()))
			},
			"gate": func(ctx context.Context, f Family, n int) (worker.Reply, error) { return f.Request(ctx, hallID(n)) },
		}
}

// A viaFamily is seen from another node.
type viaFamily struct {
	Family
	name string
}

func (f viaFamily) Request(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return f.RequestVia(ctx, f.name, id)
}

// TestWaited has callers of all sorts give up calls that wait at the owner behind one
// that runs. Each is told that its call did not run, and it never does. On a busy machine
// the owner may be too slow to say so: then it is tried again.
func TestWaited(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var h hall
		kinds, ask := h.kinds()
		nodes := startCluster(t, 3, worker.Cache{})
		for _, n := range nodes {
			if err := n.SetKinds(kinds); err != nil {
				t.Fatal(err)
			}
		}
		attached, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer attached.Close()
		direct := attachDirect(t, nodes[0].Self())
		awaitDirect(t, direct, nodes...)
		for kind, ask := range ask {
			func() {
				callers := map[string]Family{
					"owner": nodes[1].Family(kind), "member": nodes[0].Family(kind),
					"client": attached.Family(kind), "direct client": direct.Family(kind),
				}
				if kind == "gate" {
					callers["member via"] = viaFamily{nodes[0].Family(kind), nodes[2].Self()}
					callers["client via"] = viaFamily{attached.Family(kind), nodes[2].Self()}
				}
				h.begun, h.open = nil, make(chan struct{})
				open := sync.OnceFunc(func() { close(h.open) })
				defer open()
				waiting := func() (calls int) {
					for _, r := range nodes[1].kinds.All() {
						calls += r.Stats().Waiting
					}
					return calls
				}
				long, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				first := make(chan error, 1)
				go func() {
					_, err := ask(long, nodes[1].Family(kind), 0)
					first <- err
				}()
				await(t, func() error { return h.has(hallID(0).String()) })
				for name, f := range callers {
					await(t, func() error {
						return giveUpWaiting(long, name, waiting, func(ctx context.Context, n int) error {
							_, err := ask(ctx, f, n)
							return err
						})
					})
				}
				open()
				if err := <-first; err != nil {
					t.Error(err)
				}
				if _, err := ask(long, nodes[0].Family(kind), 1000); err != nil {
					t.Error(err)
				}
				if want := []string{hallID(0).String(), hallID(1000).String()}; !slices.Equal(h.begun, want) {
					t.Errorf("%s: began: %v, want %v", kind, h.begun, want)
				}
			}()
		}
	})
}

// giveUpWaiting gives up a batch of calls that wait, by their deadline and then by their
// context, and returns an error unless all say that they did not run.
func giveUpWaiting(ctx context.Context, name string, waiting func() int, ask func(context.Context, int) error) error {
	const batch = 20
	for _, why := range []error{context.DeadlineExceeded, context.Canceled} {
		before := waiting()
		ctx, cancel := context.WithCancel(ctx)
		if why == context.DeadlineExceeded {
			ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
		}
		errs := make(chan error, batch)
		for n := range batch {
			go func() { errs <- ask(ctx, 1+n) }()
		}
		for why == context.Canceled && waiting() < before+batch && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if why == context.Canceled {
			cancel()
		}
		var failed error
		for range batch {
			if err := <-errs; !errors.Is(err, why) || OutcomeOf(err) != worker.OutcomeNotRun {
				failed = fmt.Errorf("%s: %v (%v), want %v (not run)", name, err, OutcomeOf(err), why)
			}
		}
		if cancel(); failed != nil {
			return failed
		}
	}
	return nil
}

// TestNotRunDidNotBegin has many callers on another node give up at about the moment at
// which their messages begin, or their sources do: what is said not to have run did not.
func TestNotRunDidNotBegin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var h hall
		kinds, ask := h.kinds()
		h.open = make(chan struct{})
		h.takes = 100 * time.Microsecond
		close(h.open)
		nodes := startCluster(t, 3, worker.Cache{})
		for _, n := range nodes {
			if err := n.SetKinds(kinds); err != nil {
				t.Fatal(err)
			}
		}
		for kind, ask := range ask {
			h.begun = nil
			outcomes := make([]string, 2000)
			var wg sync.WaitGroup
			for n := range outcomes {
				wg.Go(func() {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					time.AfterFunc(time.Duration(n*7919%200_000)*time.Microsecond, cancel)
					outcomes[n] = "ran"
					if _, err := ask(ctx, nodes[0].Family(kind), n); err != nil {
						outcomes[n] = OutcomeOf(err).String()
					}
				})
			}
			wg.Wait()
			if _, err := ask(t.Context(), nodes[0].Family(kind), len(outcomes)); err != nil { // behind what may run yet
				t.Fatal(err)
			}
			counts := map[string]int{}
			for n, outcome := range outcomes {
				counts[outcome]++
				begun := h.has(hallID(n).String()) == nil
				if outcome == "not run" && begun || outcome == "ran" && !begun {
					t.Errorf("%s, %d: %s, began %v", kind, n, outcome, begun)
				}
			}
			t.Log(kind, counts)
		}
	})
}
