package registry

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// TestCallerTimer uses one caller again and again: each call without a deadline of its own
// ends after the default time, whether its timer has been set for an earlier one or has
// fired in the meantime.
func TestCallerTimer(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		c := newCaller(r)
		call := func(message string) error {
			c.ID, c.Message, c.Deadline, c.canceled = worker.IntID(7), worker.BytesValue(message), r.Now()+worker.DefaultTimeout, false
			r.Enqueue(&c.Waiter, r.Now())
			c.wait(context.Background())
			return c.err
		}
		for _, pause := range []time.Duration{0, 3 * time.Second, time.Minute, 2 * time.Second, 0} {
			if err := call("quick"); err != nil {
				t.Error(err)
			}
			time.Sleep(pause)
			start := time.Now()
			if err := call("sleep 30s"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != worker.DefaultTimeout {
				t.Errorf("after a pause of %v the call ended after %v: %v", pause, time.Since(start), err)
			}
			time.Sleep(30 * time.Second)
		}
		_ = d.take()
	})
}
