package wire

import (
	"testing"
	"time"
)

// TestWaits has one reader wait, each time for so long after a pause, and compares which
// of its waits begin by polling.
func TestWaits(t *testing.T) {
	const µs = time.Microsecond
	w, now := waits{}, time.Second
	polling.rest.Store(0)
	wait := func(long time.Duration) (polled bool) {
		t.Helper()
		now += 10 * µs
		from := now
		if polled = w.polls(now); polled {
			polling.busy.Store(false)
			if now += min(long, pollTime); long <= pollTime {
				return true
			}
			w.inVain()
			from, long = now, long-pollTime
		}
		now += long
		w.sleep(from, now)
		return polled
	}
	expect := func(what string, want bool, n int, long time.Duration) {
		t.Helper()
		for i := range n {
			if got := wait(long); got != want {
				t.Fatalf("%s: wait %d of %s began by polling: %t", what, i+1, long, got)
			}
		}
	}
	expect("to begin with", false, shortWaits, 60*µs)
	expect("after short waits", true, 20, 20*µs)
	expect("nothing comes", true, 1, time.Second)
	expect("after it came late", false, shortWaits, 60*µs)
	expect("short waits again", true, 1, 20*µs)

	now += sleepEvery
	expect("for the others", false, 1, 60*µs)
	expect("after that", true, 1, 20*µs)
	now += sleepEvery
	expect("for the others, and nothing comes", false, 1, time.Second)
	expect("after that", true, 1, 20*µs)

	polling.busy.Store(true) // another connection
	expect("two at once", false, 1, 60*µs)
	polling.busy.Store(false)
	expect("after two at once", false, 3, 60*µs)
	now += pollingRest - sleepEvery
	expect("after a rest", false, 1, 60*µs) // for the others
	now += sleepEvery
	w.slept = now
	expect("after a rest", true, 1, 20*µs)

	polling.rest.Store(int64(now + time.Hour))
	expect("long waits in a rest", false, 1, time.Millisecond)
	polling.rest.Store(0)
	expect("after them", false, shortWaits, 60*µs)
	expect("after them", true, 1, 20*µs)

	w = waits{}
	expect("long waits", false, 3*shortWaits, 300*µs)
}
