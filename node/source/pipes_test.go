package source

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClosedInTime has the pipes of a program that has ended be closed at some time. The
// time in which the node stands still does not count.
func TestClosedInTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		standstill, closed time.Duration
		want               bool
	}{
		"at once":            {0, 0, true},
		"in time":            {0, pipeDelay - pipeStep, true},
		"late":               {0, pipeDelay + pipeStep, false},
		"after a standstill": {time.Hour, time.Hour + pipeDelay/2, true},
		"late after it":      {time.Hour, time.Hour + pipeDelay + pipeStep, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				done := make(chan struct{})
				time.AfterFunc(c.closed, func() { close(done) })
				synctest.Wait()
				left := c.standstill
				got := closedInTime(done, func(d time.Duration) <-chan time.Time {
					time.Sleep(left)
					left = 0
					return time.After(d)
				})
				if got != c.want {
					t.Errorf("closed in time: %v", got)
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}
