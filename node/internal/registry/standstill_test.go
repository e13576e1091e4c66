package registry

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestSerialStandstill has the process stand still while messages wait: none of them runs
// before the id is claimed again, by a server that starts anew, nor after its caller has
// given up.
func TestSerialStandstill(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *Registry, d *diary) {
		var stood atomic.Uint64
		hostOf(r).stood = stood.Load
		var other *wire.Error
		hostOf(r).claim = func(context.Context, worker.ID) *wire.Error {
			d.note("claim")
			return other
		}
		tell(t, r, "7", "a", "a.")
		d.expect(t, "claim; start 7")
		tell(t, r, "7", "b", "a.b.")
		d.expect(t, "")

		post := func(message string, timeout time.Duration) <-chan error {
			done := make(chan error, 1)
			r.Enqueue(&Waiter{ID: worker.IntID(7), Message: worker.BytesValue(message), Deadline: r.Now() + timeout, Done: func(_ worker.Reply, err error) { done <- err }}, r.Now())
			synctest.Wait()
			return done
		}
		running := post("sleep 10s", time.Minute)
		late, live := post("late", 5*time.Second), post("live", time.Minute)
		stood.Add(1)
		time.Sleep(10 * time.Second)
		if err := <-running; err != nil {
			t.Error(err)
		}
		if err := <-late; !errors.Is(err, context.DeadlineExceeded) || outcomeOf(err) != worker.OutcomeNotRun {
			t.Error(err)
		}
		if err := <-live; err != nil {
			t.Error(err)
		}
		d.expect(t, "end 7 moved; claim; start 7")
		tell(t, r, "7", "c", "live.c.")

		stood.Add(1)
		other = &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
		if err := <-post("for another one", time.Minute); !errors.Is(err, wire.NotOwner) {
			t.Error(err)
		}
		d.expect(t, "end 7 moved; claim")
	})
}

// TestSuspended has the machine be suspended: values expire in their time all the same,
// and deadlines stay where they are.
func TestSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Cache{Load: counter(), TTL: time.Minute}, "1@h", 10)
		defer r.Close(t.Context())
		ask := func(cached bool, age time.Duration) {
			t.Helper()
			if reply, err := r.request(t.Context(), worker.IntID(7)); err != nil || reply.Cached != cached || reply.Age != age {
				t.Errorf("%+v, %v; want cached %v, age %v", reply, err, cached, age)
			}
		}
		ask(false, 0)
		r.Suspended(40 * time.Second)
		ask(true, 40*time.Second)
		r.Suspended(20 * time.Second)
		if s := r.Stats(); s.Workers != 0 {
			t.Errorf("%d workers are left", s.Workers)
		}
		ask(false, 0)
		now := time.Now()
		if got := r.when(r.At(now)); !got.Equal(now) {
			t.Errorf("%v, want %v", got, now)
		}
	})
}
