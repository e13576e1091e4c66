package bench

import (
	"math"
	"time"
)

// A schedule tells how many requests a turn has, and when it is due. Turns are numbered
// from 0.
type schedule struct {
	requests int64         // in all; 0 is any number
	batch    int64         // requests of a turn, save perhaps the last
	interval float64       // nanoseconds from one turn to the next; 0 in the closed loop
	duration time.Duration // turns are due before it; 0 is for ever
	last     time.Duration // no turn begins from then on; 0 is never
	chunk    int64         // turns of the closed loop to claim together
}

func newSchedule(c Config) schedule {
	s := schedule{requests: c.Requests, batch: int64(c.Batch), duration: c.Duration, last: c.Duration, chunk: maxChunk}
	if c.Requests > 0 { // no caller shall have many left when the others have none
		s.chunk = min(maxChunk, max(1, c.Requests/int64(c.Batch)/int64(c.Concurrency)/8))
	}
	if c.Rate > 0 {
		s.interval = float64(c.Batch) * float64(time.Second) / c.Rate
		if c.Duration > 0 {
			s.last = c.Duration + c.Timeout
		}
	}
	return s
}

func (s schedule) open() bool { return s.interval > 0 }

// size returns how many requests a turn has: none if all have been made before it.
func (s schedule) size(turn int64) int {
	if s.requests == 0 {
		return int(s.batch)
	}
	return int(max(0, min(s.batch, s.requests-turn*s.batch)))
}

// due returns when a turn of the open loop is due.
func (s schedule) due(turn int64) time.Duration {
	return time.Duration(min(math.Round(float64(turn)*s.interval), 1<<62))
}

// over reports whether a turn that is due then is none any more.
func (s schedule) over(due time.Duration) bool { return s.duration > 0 && due >= s.duration }

// tooLate reports whether no turn begins at that time any more.
func (s schedule) tooLate(now time.Duration) bool { return s.last > 0 && now >= s.last }

// dueBy returns how many requests of the open loop are due before t.
func (s schedule) dueBy(t time.Duration) int64 {
	if s.duration > 0 {
		t = min(t, s.duration)
	}
	turns := int64(float64(t) / s.interval)
	for s.due(turns) < t {
		turns++
	}
	if n := turns * s.batch; s.requests == 0 || n < s.requests {
		return n
	}
	return s.requests
}
