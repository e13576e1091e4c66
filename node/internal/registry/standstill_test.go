package registry

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// post sends a message to the server of 7, whose answer is told to done.
func post(r *Registry, message string, left time.Duration, answered func()) (done <-chan error) {
	c := make(chan error, 1)
	r.Enqueue(&Waiter{
		ID: worker.IntID(7), Message: worker.BytesValue(message), Deadline: r.Now() + left,
		To: answerFunc(func(err error) { answered(); c <- err }),
	}, r.Now())
	synctest.Wait()
	return c
}

// TestStandstillWhileAnswering has the process stand still while an answer is sent: the
// message that waits needs a new claim.
func TestStandstillWhileAnswering(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *Registry, d *diary) {
		hostOf(r).claim = func(context.Context, worker.ID) *wire.Error {
			d.note("claim")
			return nil
		}
		tell(t, r, "7", "a", "a.")
		d.expect(t, "claim; start 7")
		first := post(r, "sleep 1s", time.Minute, func() { standStill(r) })
		second := post(r, "b", time.Minute, func() {})
		for _, done := range []<-chan error{first, second} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		d.expect(t, "end 7 moved; claim; start 7")
	})
}

// TestDeadlineWhileAnswering has the log take long between two messages: the second one
// does not begin after its deadline.
func TestDeadlineWhileAnswering(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *Registry, _ *diary) {
		tell(t, r, "7", "a", "a.")
		r.log = slog.New(slowLog{slog.DiscardHandler})
		first := post(r, "sleep 1s", time.Minute, func() {})
		second := post(r, "b", 3*time.Second, func() {})
		if err := <-first; err != nil {
			t.Error(err)
		}
		if err := <-second; err == nil {
			t.Error("a message ran after its deadline")
		}
	})
}

// A slowLog takes 5 s for each line.
type slowLog struct{ slog.Handler }

func (slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (slowLog) Handle(context.Context, slog.Record) error {
	time.Sleep(5 * time.Second)
	return nil
}

// TestStandstillSeenLate has one caller look for standstills, and act on that after others
// have claimed the id anew: the new server stays.
func TestStandstillSeenLate(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{Inline: true, TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "7", "a", "a.")
		now := r.Now()
		stood := r.clock.Standstills(now)
		standStill(r)
		tell(t, r, "7", "b", "b.")
		d.expect(t, "start 7; end 7 moved; start 7")
		s := r.shard(worker.IntID(7))
		s.mu.Lock()
		s.workers.get(worker.IntID(7)).mail.suspect(stood)
		s.mu.Unlock()
		tell(t, r, "7", "c", "b.c.")
		d.expect(t, "")
	})
}
