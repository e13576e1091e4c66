package peers

import (
	"testing"
	"time"

	"github.com/distproc/distproc/wire"
)

// TestRelaysMissed has relays fail to answer.
func TestRelaysMissed(t *testing.T) {
	t.Parallel()
	unreachable := &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun}
	late := &wire.Error{Code: wire.DeadlineExceeded}
	for _, c := range []struct {
		what   string
		silent time.Duration // before the request; negative: answered since
		took   time.Duration
		err    error
		failed bool
	}{
		{"out of reach", 0, 0, unreachable, true},
		{"out of reach, another one answered", -1, 0, unreachable, false},
		{"lost", 0, 0, &wire.Error{Code: wire.Unreachable}, false},
		{"late", 0, relaySilence, late, true},
		{"late, another one answered", -1, relaySilence, late, false},
		{"in a hurry", 0, relaySilence / 50, late, false},
		{"in a hurry, as all before", relaySilence, relaySilence / 50, late, true},
		{"another owner", 0, 0, &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}, false},
		{"given up", 0, relaySilence, &wire.Error{Code: wire.Canceled}, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			var r Relays
			by := "3@c"
			began := time.Now().Add(-c.took)
			r.by.Store(&by)
			if c.silent > 0 {
				r.Missed(began.Add(-c.silent), late)
				r.failed.Store(0)
				r.by.Store(&by)
			}
			if c.silent < 0 {
				r.Answered(&by)
			}
			r.Missed(began, c.err)
			if failed := r.failed.Load() != 0; failed != c.failed || (r.by.Load() == nil) != c.failed {
				t.Errorf("failed: %v, by %v", failed, r.by.Load())
			}
			r.Reset()
			if r.failed.Load() != 0 || r.answered.Load() != 0 || r.silent.Load() != 0 || r.by.Load() != nil {
				t.Error("something is left after a reset")
			}
		})
	}
}
