package wire

import (
	"context"
	"time"
)

// Goodbye refuses the peer's calls from now on with Leaving, and sends the peer the
// number of the last call taken. So the peer knows that later calls have not run, even if
// the session ends before they are answered. Operations and this side's calls go on.
func (s *Session) Goodbye() { s.answers.leave() }

// Leaving returns a channel that is closed when the peer has called Goodbye. From then on
// calls fail with Leaving and do not run.
func (s *Session) Leaving() <-chan struct{} { return s.calls.goodbye }

// Finish closes the session. After Goodbye, it first waits for about 0.5 s at most until
// the peer's calls have been answered and the peer has received the answers.
func (s *Session) Finish() { s.finish(finishTime) }

func (s *Session) finish(within time.Duration) {
	defer s.Close()
	s.Flush()
	if !s.answers.hasLeft() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	s.answers.await(ctx)
	s.Flush()
	if s.Err() == nil {
		_ = s.Ping(ctx) // frames arrive in order, so all frames before have arrived
	}
}

// leave refuses calls from now on, and sends the peer the numbers of the last ones taken.
func (a *answers) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left || a.small.stop {
		return
	}
	a.left = true
	b := a.small.fill
	b.Goodbye, b.Last, b.LastLarge = true, a.last, a.lastLarge
	a.small.signal()
}

// hasLeft reports whether this side refuses calls.
func (a *answers) hasLeft() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.left
}

// endLocked counts a call less. After the last one, it wakes await.
func (a *answers) endLocked() {
	if a.open--; a.open == 0 && a.left {
		a.small.room.Broadcast()
	}
}

// await waits until no call is unanswered. After leave none comes in. It gives up when the
// session or ctx ends.
func (a *answers) await(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		a.mu.Lock() // so that await does not miss it between its look and its wait
		defer a.mu.Unlock()
		a.small.room.Broadcast()
	})()
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.open > 0 && !a.small.stop && ctx.Err() == nil {
		a.small.room.Wait()
	}
}
