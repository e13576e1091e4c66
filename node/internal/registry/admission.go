package registry

import "sync/atomic"

// An Admission bounds how many calls wait for workers, of one kind or of several together.
type Admission struct {
	size    int64 // calls that may wait
	waiting atomic.Int64
	bytes   atomic.Int64 // of their messages
}

// NewAdmission returns an Admission of at most so many calls.
func NewAdmission(calls int) *Admission { return &Admission{size: int64(calls)} }

func (a *Admission) enter(c *Waiter) {
	a.waiting.Add(1)
	if n := c.Message.Len(); n > 0 {
		a.bytes.Add(int64(n))
	}
}

func (a *Admission) leave(c *Waiter) {
	a.waiting.Add(-1)
	if n := c.Message.Len(); n > 0 {
		a.bytes.Add(-int64(n))
	}
}
