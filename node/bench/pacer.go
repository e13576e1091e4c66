package bench

import (
	"context"
	"time"
)

// A pacer gives out the turns of the open loop. One caller at a time waits for the next
// turn to be due, so there is one alarm.
type pacer struct {
	waits chan struct{} // of capacity 1: full while a caller waits
	alarm alarm
}

// An alarm is for one goroutine at a time.
type alarm interface {
	wait(d time.Duration) bool // false if the context that it was made with ends before
	close()
}

// next returns the next turn and when it is due, when that time has come. It returns
// false if there is none, or ctx ends.
func (p *pacer) next(ctx context.Context, r *run) (turn int64, due time.Duration, ok bool) {
	select {
	case p.waits <- struct{}{}:
	case <-ctx.Done():
		return 0, 0, false
	}
	defer func() { <-p.waits }()
	turn = r.turns.Add(1) - 1
	due = r.schedule.due(turn)
	if r.schedule.size(turn) == 0 || r.schedule.over(due) {
		return 0, 0, false
	}
	early := due - r.now()
	return turn, due, early <= 0 || p.alarm.wait(early)
}

// A timerAlarm waits with a timer of Go. Those are late by up to a millisecond on Linux,
// where the runtime waits for them together with its files: https://go.dev/issue/44343.
type timerAlarm struct {
	*time.Timer
	end <-chan struct{}
}

func newTimerAlarm(ctx context.Context) alarm { return timerAlarm{time.NewTimer(0), ctx.Done()} }

func (a timerAlarm) wait(d time.Duration) bool {
	a.Reset(d)
	select {
	case <-a.C:
		return true
	case <-a.end:
		return false
	}
}

func (a timerAlarm) close() { a.Stop() }
