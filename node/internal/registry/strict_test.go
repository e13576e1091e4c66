package registry

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A fakeGuard permits calls, or does not, as a test says.
type fakeGuard struct {
	mu      sync.Mutex
	now     uint64 // as Begin returns it; guarded by mu, as all below
	held    uint64 // Valid if not before that
	refused bool
	failure *wire.Error // of Await
	count   uint64
	ended   int
	at      time.Duration // as Begin has had it last
	changed chan struct{}
}

func (g *fakeGuard) Begin(_ worker.Key, since uint64, at time.Duration) (token worker.Token, now uint64, permitted, ended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = at
	switch {
	case g.refused:
		return token, 0, false, false
	case since != 0 && since < g.held:
		return token, 0, false, true
	}
	g.count++
	return worker.Token{Epoch: 1, Count: g.count}, g.now, true, false
}

func (g *fakeGuard) Valid(now uint64, _ time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return now >= g.held
}

func (g *fakeGuard) Await(ctx context.Context, _ worker.Key) *wire.Error {
	for {
		g.mu.Lock()
		refused, failure, changed := g.refused, g.failure, g.changed
		g.mu.Unlock()
		if failure != nil {
			return failure
		}
		if !refused {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &wire.Error{Code: wire.NoQuorum, Outcome: wire.NotRun}
		}
	}
}

func (g *fakeGuard) Ended(worker.ID, uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended++
}

func (g *fakeGuard) Explain(worker.Key) *worker.Custody { return &worker.Custody{Node: "1@h"} }

func (g *fakeGuard) NotOwner(worker.ID) *wire.Error {
	return &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
}

// lose has the lease end, and another one begin.
func (g *fakeGuard) lose() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now++
	g.held = g.now
}

func (g *fakeGuard) refuse(refused bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = refused
	close(g.changed)
	g.changed = make(chan struct{})
}

// A counting server counts its messages, one of which takes a second.
type countingServer struct {
	n     int64
	token worker.Token
	ends  func(worker.EndReason)
}

func (s *countingServer) Call(ctx context.Context, message worker.Value) (worker.Value, error) {
	if token := worker.TokenOf(ctx); token.Compare(s.token) <= 0 {
		return worker.Value{}, errors.New("the token does not rise")
	}
	s.token = worker.TokenOf(ctx)
	if message.String() == "slow" {
		time.Sleep(time.Second)
	}
	s.n++
	return worker.IntValue(s.n), nil
}

func (s *countingServer) Terminate(_ context.Context, why worker.EndReason) { s.ends(why) }

func inGuarded(t *testing.T, inline bool, test func(t *testing.T, r *Registry, g *fakeGuard, ends *[]worker.EndReason)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGuard{now: 1, held: 1, changed: make(chan struct{})}
		var ends []worker.EndReason
		r := testRegistry(worker.Serial{Inline: inline, TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return &countingServer{ends: func(why worker.EndReason) { ends = append(ends, why) }}, nil
		}}, "1@h", 100)
		r.guard = g
		test(t, r, g, &ends)
		r.Close(t.Context())
	})
}

// TestGuard has a guard permit calls, and then end what the node knows of an id.
func TestGuard(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		inGuarded(t, inline, func(t *testing.T, r *Registry, g *fakeGuard, ends *[]worker.EndReason) {
			call := func(want string) {
				t.Helper()
				reply, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look())
				if err != nil || reply.Value.String() != want {
					t.Errorf("%v, %v; want %s", reply.Value, err, want)
				}
			}
			call("1")
			call("2")
			g.lose()
			call("1")
			if !slices.Equal(*ends, []worker.EndReason{worker.EndMoved}) {
				t.Errorf("servers ended for %v", *ends)
			}
			synctest.Wait()
			if g.ended != 4 { // one of them of the first server
				t.Errorf("the guard has heard of %d ends", g.ended)
			}
		})
	}
}

// TestGuardKnowsWhen has a call begin that has looked at the clock before the call before it
// had ended: the guard hears of no time before that end.
func TestGuardKnowsWhen(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		inGuarded(t, inline, func(t *testing.T, r *Registry, g *fakeGuard, _ *[]worker.EndReason) {
			call := func(message string, look clock.Moment) {
				t.Helper()
				if _, err := r.await(t.Context(), worker.IntID(7), worker.BytesValue(message), look); err != nil {
					t.Error(err)
				}
			}
			call("first", r.Look())
			before := r.look()
			if call("slow", before); inline && g.at != before.Boot {
				t.Errorf("the guard hears of %v, want %v, when the caller has looked", g.at, before.Boot)
			}
			end := r.look()
			if call("last", before); g.at < end.Boot {
				t.Errorf("the guard hears of %v, want %v, when the call before had ended", g.at, end.Boot)
			}
			time.Sleep(time.Second)
			if now := r.look(); now.Boot-end.Boot != time.Second || now.Now-end.Now != time.Second {
				t.Errorf("it was %v, and is %v a second later", end, now)
			}
		})
	}
}

// TestGuardRefuses has calls wait while the guard permits none.
func TestGuardRefuses(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		inGuarded(t, inline, func(t *testing.T, r *Registry, g *fakeGuard, _ *[]worker.EndReason) {
			if _, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look()); err != nil {
				t.Error(err)
			}
			g.refuse(true)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := r.await(ctx, worker.IntID(7), worker.Value{}, r.Look()); outcomeOf(err) != worker.OutcomeNotRun {
				t.Errorf("%v; want that it has not run", err)
			}
			time.AfterFunc(time.Second, func() { g.refuse(false) })
			if reply, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look()); err != nil || reply.Value.String() != "2" {
				t.Errorf("%v, %v; want the answer of the same server", reply.Value, err)
			}
		})
	}
}

// TestFenced has the lease end while a call runs: the outcome is unknown, and the server ends.
func TestFenced(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		inGuarded(t, inline, func(t *testing.T, r *Registry, g *fakeGuard, _ *[]worker.EndReason) {
			if _, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look()); err != nil {
				t.Error(err)
			}
			time.AfterFunc(500*time.Millisecond, func() {
				if keys := r.AppendRunning(nil, 1, everything); !slices.Equal(keys, []worker.Key{{Kind: r.name, ID: worker.IntID(7)}}) {
					t.Errorf("%v run", keys)
				}
				g.lose()
			})
			_, err := r.await(t.Context(), worker.IntID(7), worker.BytesValue("slow"), r.Look())
			if !errors.Is(err, wire.Fenced) || outcomeOf(err) != worker.OutcomeUnknown {
				t.Errorf("%v; want that it was fenced", err)
			}
			if reply, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look()); err != nil || reply.Value.String() != "1" {
				t.Errorf("%v, %v; want the answer of a new server", reply.Value, err)
			}
			synctest.Wait()
			if keys := r.AppendRunning(nil, 2, everything); len(keys) > 0 {
				t.Errorf("%v run", keys)
			}
			if keys := r.AppendRunning(nil, 3, nothing); len(keys) != 1 { // it has yet to terminate
				t.Errorf("%v are to end", keys)
			}
			r.Retain(nothing)
			synctest.Wait()
			if keys := r.AppendRunning(nil, 3, nothing); len(keys) > 0 {
				t.Errorf("%v are to end", keys)
			}
		})
	}
}

// TestFencedCrash has the lease end while a call runs that then ends its goroutine. The server
// has crashed, and another goroutine serves the next call.
func TestFencedCrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGuard{now: 1, held: 1, changed: make(chan struct{})}
		r := testRegistry(worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return serverFunc(func(_ context.Context, m worker.Value) (worker.Value, error) {
				if m.String() == "1" {
					g.lose()
					runtime.Goexit()
				}
				return m, nil
			}), nil
		}}, "1@h", 100)
		r.guard = g
		if _, err := r.await(t.Context(), worker.IntID(7), worker.IntValue(1), r.Look()); !errors.Is(err, wire.Panicked) {
			t.Errorf("%v; want that it has crashed", err)
		}
		if reply, err := r.await(t.Context(), worker.IntID(7), worker.IntValue(2), r.Look()); err != nil || reply.Value.String() != "2" {
			t.Errorf("%v, %v", reply.Value, err)
		}
		r.Close(t.Context())
	})
}

// TestRunningUntilEnded moves the id of a server while that has a message, or waits for its
// turn. The server has something to do at its end, so others wait until it has done that.
func TestRunningUntilEnded(t *testing.T) {
	t.Parallel()
	inGuarded(t, false, func(t *testing.T, r *Registry, _ *fakeGuard, ends *[]worker.EndReason) {
		running := func(id int64) bool {
			return slices.Contains(r.AppendRunning(nil, "moved", nothing), worker.Key{Kind: r.name, ID: worker.IntID(id)})
		}
		if _, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look()); err != nil {
			t.Error(err)
		}
		r.gate.resize(1)
		done := make(chan error, 2)
		call := func(id int64, message string) {
			go func() {
				_, err := r.await(t.Context(), worker.IntID(id), worker.BytesValue(message), r.Look())
				done <- err
			}()
			synctest.Wait()
		}
		call(8, "slow")
		call(7, "") // waits for the turn that the other one has
		if !running(7) || !running(8) {
			t.Errorf("7 runs: %t, 8 runs: %t", running(7), running(8))
		}
		r.Retain(func(id worker.ID) bool { return id != worker.IntID(7) })
		if err := <-done; !errors.Is(err, wire.NotOwner) { // long before the other one has ended
			t.Errorf("%v; want that the id is another node's", err)
		}
		synctest.Wait()
		if len(*ends) != 1 || running(7) {
			t.Errorf("servers ended for %v; 7 runs: %t", *ends, running(7))
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !running(8) { // the view was looked at while it ran
			t.Error("a server with something to do at its end is no more known of")
		}
		r.Retain(nothing)
		synctest.Wait()
		if len(*ends) != 2 || running(8) {
			t.Errorf("servers ended for %v; 8 runs: %t", *ends, running(8))
		}
	})
}

// TestAwaitLongerThanTimeout has a call wait for the guard longer than its message may run. It
// is not stuck meanwhile.
func TestAwaitLongerThanTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGuard{now: 1, held: 1, refused: true, changed: make(chan struct{})}
		r := testRegistry(worker.Serial{Timeout: time.Second, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return serverFunc(func(_ context.Context, m worker.Value) (worker.Value, error) { return m, nil }), nil
		}}, "1@h", 100)
		r.guard = g
		time.AfterFunc(3*time.Second, func() {
			if n := r.Stuck(); n != 0 {
				t.Errorf("%d are stuck", n)
			}
			g.refuse(false)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if reply, err := r.await(ctx, worker.IntID(7), worker.IntValue(1), r.Look()); err != nil || reply.Value.String() != "1" {
			t.Errorf("%v, %v", reply.Value, err)
		}
		r.Close(t.Context())
	})
}
