package quorum

import (
	"math"
	"time"
)

// A Timing is how long things take. All follow from the length of a lease, and all members
// of a cluster must have the same.
type Timing struct {
	Lease    time.Duration // from the sending of a renewal; more than 0, and at most an hour
	Interval time.Duration // between renewals, and between views at least
	Silence  time.Duration // after which a member is failed
}

// NewTiming returns the timing of leases of a length.
func NewTiming(lease time.Duration) Timing {
	return Timing{Lease: lease, Interval: lease / 5, Silence: lease * 2 / 5}
}

// deaf returns the time without an answer after which a member is deaf. The first renewal after
// one that was answered does not say so yet, and the second one does.
func (t Timing) deaf() time.Duration { return t.Interval * 3 / 2 }

// maxLease is more than any timing has.
const maxLease = time.Hour

// drift is by how much a clock may be fast or slow.
const drift = 0.01

// readError is by how much two readings of a clock may be wrong together.
const readError = 5 * time.Millisecond

// outlived returns the time on any clock after which a lease has ended on every other.
func (t Timing) outlived() time.Duration {
	return time.Duration(math.Ceil(float64(t.Lease)*(1+drift)/(1-drift))) + readError
}

// Forever is later than all that happens.
const Forever time.Duration = math.MaxInt64
