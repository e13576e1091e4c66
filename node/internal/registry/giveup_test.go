package registry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A deafServer counts its messages. It holds "stuck", and its end if told to, until it is
// released, whatever its context says.
type deafServer struct {
	n        int64
	released chan struct{}
	ended    *[]int64 // what n was at the end of each server
	canceled *bool
	tokens   *[]worker.Token
	endsLate bool
}

func (s *deafServer) Call(ctx context.Context, message worker.Value) (worker.Value, error) {
	*s.tokens = append(*s.tokens, worker.TokenOf(ctx))
	if message.String() == "stuck" {
		<-s.released
		*s.canceled = ctx.Err() != nil
	}
	s.n++
	return worker.IntValue(s.n), nil
}

func (s *deafServer) Terminate(context.Context, worker.EndReason) {
	if s.endsLate {
		<-s.released
	}
	*s.ended = append(*s.ended, s.n)
}

// TestGiveUp has a call that does not heed the end of its time. It keeps its id, and is
// reported once, until the id is given up: then the calls that wait get a new server at once,
// and the old one changes nothing of that when it ends.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := &fakeGuard{now: 1, held: 1, changed: make(chan struct{})}
			var log bytes.Buffer
			var ended []int64
			var tokens []worker.Token
			released, canceled := make(chan struct{}), false
			r := testRegistry(worker.Serial{
				Inline: inline, TTL: time.Hour, Timeout: time.Second, Concurrency: 1,
				Open: func(context.Context, worker.ID) (worker.Server, error) {
					return &deafServer{released: released, ended: &ended, canceled: &canceled, tokens: &tokens}, nil
				},
			}, "1@h", 100)
			r.guard, r.log = g, slog.New(slog.NewTextHandler(&log, nil))
			seven := worker.IntID(7)
			call := func(message, want string) {
				t.Helper()
				reply, err := r.await(t.Context(), seven, worker.BytesValue(message), r.Look())
				if err != nil || reply.Value.String() != want {
					t.Errorf("%v, %v; want %s", reply.Value, err, want)
				}
			}
			call("", "1")
			stuck, waiting := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := r.await(t.Context(), seven, worker.BytesValue("stuck"), r.Look())
				stuck <- err
			}()
			synctest.Wait()
			if c := r.Inspect(seven).Custody; c.Runs == 0 || c.Stuck || c.Waits != "" || c.Token != tokens[1] {
				t.Errorf("while it runs: %+v", c)
			}
			time.Sleep(2500 * time.Millisecond)
			go func() {
				reply, err := r.await(t.Context(), seven, worker.Value{}, r.Look())
				if err == nil && reply.Value.String() != "1" {
					err = errors.New("the answer of the old server: " + reply.Value.String())
				}
				waiting <- err
			}()
			synctest.Wait()
			for range 2 {
				if keys := r.AppendRunning(nil, 1, everything); !slices.Equal(keys, []worker.Key{{Kind: r.name, ID: seven}}) {
					t.Errorf("%v run", keys)
				}
			}
			if lines := strings.Count(log.String(), "does not heed the end of its time"); lines != 1 {
				t.Errorf("%d lines of a stuck call, want one:\n%s", lines, log.String())
			}
			if c := r.Inspect(seven).Custody; c.Runs != 2500*time.Millisecond || !c.Stuck || c.Waits == "" || r.Stats().Stuck != 1 {
				t.Errorf("when it is stuck: %+v, and %d are", c, r.Stats().Stuck)
			}

			token := tokens[1]
			what, had := r.GiveUp(seven)
			if !had || what.Runs != 2500*time.Millisecond || what.Token != token || what.Node != "1@h" {
				t.Errorf("given up: %+v, %v", what, had)
			}
			if !inline { // else the caller runs it
				if err := <-stuck; !errors.Is(err, wire.Fenced) || outcomeOf(err) != worker.OutcomeUnknown {
					t.Errorf("the call that is stuck: %v; want that it is fenced", err)
				}
			}
			if err := <-waiting; err != nil {
				t.Errorf("the call that waited: %v", err)
			}
			if last := len(tokens) - 1; tokens[last].Compare(token) <= 0 {
				t.Errorf("tokens %v do not rise", tokens)
			}
			call("", "2")
			if keys := r.AppendRunning(nil, 2, nothing); len(keys) != 1 { // the new one has to end
				t.Errorf("%v run", keys)
			}
			if keys := r.AppendRunning(nil, 2, everything); len(keys) != 0 || r.Stats().Stuck != 1 {
				t.Errorf("%v keep their ids, and %d are stuck; want none and one", keys, r.Stats().Stuck)
			}

			close(released)
			synctest.Wait()
			if inline {
				if err := <-stuck; !errors.Is(err, wire.Fenced) || outcomeOf(err) != worker.OutcomeUnknown {
					t.Errorf("the call that was stuck: %v; want that it is fenced", err)
				}
			}
			call("", "3")
			if c := r.Inspect(seven).Custody; c.Token != tokens[len(tokens)-1] || c.Runs != 0 {
				t.Errorf("while it is idle: %+v; want the last token of %v", c, tokens)
			}
			if k := r.Stats(); !slices.Equal(ended, []int64{2}) || !canceled || k.Stuck != 0 || k.Fenced != 1 || k.Running != 0 {
				t.Errorf("ended %v, canceled %v, %d stuck, %d fenced, %d running; want the old server alone to have ended",
					ended, canceled, k.Stuck, k.Fenced, k.Running)
			}
			if what, had := r.GiveUp(seven); !had || what.Runs != 0 {
				t.Errorf("an idle server: %+v, %v; want that it ends as by Stop", what, had)
			}
			synctest.Wait()
			if what, had := r.GiveUp(seven); had || r.Has(seven) {
				t.Errorf("without a server: %+v, %v", what, had)
			}
			r.Close(t.Context())
		})
	}
}

// TestGiveUpEnd has the end of a server take for ever. The id is given up, and does not come
// back when the node halts its servers.
func TestGiveUpEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGuard{now: 1, held: 1, changed: make(chan struct{})}
		var ended []int64
		var tokens []worker.Token
		released, canceled := make(chan struct{}), false
		r := testRegistry(worker.Serial{TTL: time.Hour, Timeout: time.Second, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return &deafServer{released: released, ended: &ended, canceled: &canceled, tokens: &tokens, endsLate: len(tokens) == 0}, nil
		}}, "1@h", 100)
		r.guard = g
		seven := worker.IntID(7)
		if _, err := r.await(t.Context(), seven, worker.Value{}, r.Look()); err != nil {
			t.Error(err)
		}
		r.Retain(nothing)
		time.Sleep(3 * time.Second)
		if c := r.Inspect(seven).Custody; c.Runs != 0 || !c.Stuck || len(slices.Compact(r.AppendRunning(nil, 1, nothing))) != 1 {
			t.Errorf("while it ends: %+v", c)
		}
		if what, had := r.GiveUp(seven); !had || what.Runs != 3*time.Second || what.Token != (worker.Token{}) {
			t.Errorf("given up: %+v, %v", what, had)
		}
		if keys := r.AppendRunning(nil, 2, nothing); len(keys) > 0 {
			t.Errorf("%v run", keys)
		}
		r.Halt()
		if r.Has(seven) {
			t.Error("the server is back")
		}
		r.Resume()
		if reply, err := r.await(t.Context(), seven, worker.Value{}, r.Look()); err != nil || reply.Value.String() != "1" {
			t.Errorf("%v, %v; want the answer of a new server", reply.Value, err)
		}
		close(released)
		synctest.Wait()
		if !slices.Equal(ended, []int64{1}) || !r.Has(seven) {
			t.Errorf("%v have ended, and the new server lives: %v", ended, r.Has(seven))
		}
		r.Close(t.Context())
	})
}

// TestGiveUpEarly gives up an id whose call still has time. The context of the call ends, and
// the server does not come back when the node halts its servers.
func TestGiveUpEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		r := testRegistry(worker.Serial{TTL: time.Hour, Timeout: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return serverFunc(func(ctx context.Context, m worker.Value) (worker.Value, error) {
				if m.String() == "1" {
					<-ctx.Done()
					<-released
				}
				return m, nil
			}), nil
		}}, "1@h", 100)
		g := &fakeGuard{now: 1, held: 1, changed: make(chan struct{})}
		r.guard = g
		seven, fenced := worker.IntID(7), make(chan error, 1)
		go func() {
			_, err := r.await(t.Context(), seven, worker.IntValue(1), r.Look())
			fenced <- err
		}()
		synctest.Wait()
		if what, had := r.GiveUp(seven); !had || what.Runs == 0 {
			t.Errorf("given up: %+v, %v", what, had)
		}
		if err := <-fenced; !errors.Is(err, wire.Fenced) || g.ended != 1 {
			t.Errorf("%v, and the guard has heard of %d ends; want that it is fenced, and one", err, g.ended)
		}
		r.Halt()
		if r.Has(seven) {
			t.Error("the server is back")
		}
		r.Resume()
		if reply, err := r.await(t.Context(), seven, worker.IntValue(2), r.Look()); err != nil || reply.Value.String() != "2" {
			t.Errorf("%v, %v", reply.Value, err)
		}
		synctest.Wait()
		select {
		case released <- struct{}{}:
		default:
			t.Error("the context of the old call has not ended")
			close(released)
		}
		synctest.Wait()
		if _, ok := r.Serving(); ok {
			t.Error("the old call has yet to end")
		}
		r.Close(t.Context())
	})
}

// A lateServer ends when it is released, whatever its context says.
type lateServer struct {
	echoServer
	released chan struct{}
}

func (s lateServer) Terminate(context.Context, worker.EndReason) { <-s.released }

// TestGiveUpEndLeavesTheGate has a server that does not heed the end of its time at its end, which
// has come because the lease had ended: it takes no turn of others, nor does the message that
// waits, also when its id is given up.
func TestGiveUpEndLeavesTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGuard{now: 1, held: 1, changed: make(chan struct{})}
		released := make(chan struct{})
		r := testRegistry(worker.Serial{
			TTL: time.Hour, Timeout: time.Second, Concurrency: 1,
			Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
				if id == worker.IntID(7) {
					return lateServer{released: released}, nil
				}
				return echoServer{}, nil
			},
		}, "1@h", 100)
		r.guard = g
		call := func(id int64) error {
			_, err := r.await(t.Context(), worker.IntID(id), worker.Value{}, r.Look())
			return err
		}
		if err := call(7); err != nil {
			t.Error(err)
		}
		g.lose()
		again := make(chan error, 1)
		go func() { again <- call(7) }()
		synctest.Wait()
		if err := call(8); err != nil {
			t.Errorf("a call for another id, while the server ends: %v", err)
		}
		if _, had := r.GiveUp(worker.IntID(7)); !had {
			t.Error("there is no server")
		}
		if err := <-again; err != nil {
			t.Errorf("the call that waited: %v", err)
		}
		close(released)
		synctest.Wait()
		if running, waiting := r.gate.counts(); running != 0 || waiting != 0 {
			t.Errorf("%d have a turn and %d wait for one when nothing runs", running, waiting)
		}
		r.Close(t.Context())
	})
}

// TestEndIsNotStuck has an idle server be stopped: its end has just begun, however long ago
// something else did.
func TestEndIsNotStuck(t *testing.T) {
	t.Parallel()
	inGuarded(t, false, func(t *testing.T, r *Registry, _ *fakeGuard, _ *[]worker.EndReason) {
		if _, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		s := r.shard(worker.IntID(7))
		s.mu.Lock()
		w := s.workers.get(worker.IntID(7))
		r.actor.endLocked(s, w, worker.EndStopped)
		var c worker.Custody
		if w.mail.describeLocked(&c, r.Now()); c.Stuck {
			t.Errorf("%+v; want that it is not stuck", c)
		}
		s.mu.Unlock()
	})
}
