package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

// A sleeper is told of standstills, which count unless it is alone.
type sleeper struct {
	alone bool
	slept int
}

func (s *sleeper) Suspended()       { s.slept++ }
func (s *sleeper) StoodStill() bool { return !s.alone }

// TestProcess stands still, for as long as counts and for less. That is noticed by a look
// or by a tick, whichever comes first.
func TestProcess(t *testing.T) {
	t.Parallel()
	var now, suspended time.Duration
	var host sleeper
	p := newProcess(func() time.Duration { return now + suspended }, func() time.Duration { return now }, &host)
	p.start = time.Now()
	expect := func(want uint64) {
		t.Helper()
		if got := p.Standstills(p.Now()); got != want {
			t.Errorf("at %v: %d standstills, want %d", now, got, want)
		}
	}
	for range 10 { // slow, but alive
		now += standstill
		expect(0)
		p.tick()
	}
	now += standstill + 1
	expect(1) // before the tick
	p.tick()
	expect(1)
	now += 4 * time.Second
	p.tick() // the tick is first
	expect(2)
	suspended += time.Hour
	p.tick()
	expect(3)
	host.alone = true
	now += time.Hour
	expect(3)
	if host.slept != 1 {
		t.Errorf("suspended %d times, want once", host.slept)
	}
	if got, want := p.Now(), now+time.Hour; got != want {
		t.Errorf("now it is %v, want %v", got, want)
	}
	at := time.Now()
	if got := p.When(p.At(at)); !got.Equal(at) {
		t.Errorf("%v, want %v", got, at)
	}
	p.StandStill(2 * standstill)
	host.alone = false
	expect(4)
}

// TestBootTime compares the clock that goes on while the machine is suspended with the
// other one.
func TestBootTime(t *testing.T) {
	t.Parallel()
	before, start := bootTime(), time.Now()
	time.Sleep(20 * time.Millisecond)
	took, most := bootTime()-before, time.Since(start)
	if took < 20*time.Millisecond || took > most+standstill {
		t.Errorf("%v, want about %v", took, most)
	}
}

// TestSuspended has a host take a while to handle that the machine was suspended: others
// see the standstill meanwhile.
func TestSuspended(t *testing.T) {
	t.Parallel()
	var suspended time.Duration
	host := &slowHost{make(chan struct{}), make(chan struct{})}
	p := newProcess(func() time.Duration { return suspended }, func() time.Duration { return 0 }, host)
	suspended += time.Hour
	done := make(chan struct{})
	go func() { p.tick(); close(done) }()
	<-host.in
	if now := p.Now(); now != time.Hour || p.Standstills(now) != 1 {
		t.Errorf("at %v: %d standstills, want 1 at 1h", now, p.Standstills(now))
	}
	close(host.out)
	<-done
}

// A slowHost handles a suspension from in to out.
type slowHost struct{ in, out chan struct{} }

func (s *slowHost) Suspended()       { close(s.in); <-s.out }
func (s *slowHost) StoodStill() bool { return true }

// TestBoot suspends the machine, and moves its wall clock: Boot makes a system call then, and
// else it makes none.
func TestBoot(t *testing.T) {
	t.Parallel()
	var calls int
	var suspended time.Duration
	start := time.Now()
	p := newProcess(func() time.Duration { calls++; return time.Since(start) + suspended }, func() time.Duration { return time.Since(start) }, &sleeper{})
	p.start = start
	expect := func(least int) {
		t.Helper()
		last := p.booted.Load()
		before, got, after := time.Since(start), p.Boot()-suspended, time.Since(start)
		for range 1000 {
			if least == 0 || p.booted.Load() != last { // else the machine was too busy
				break
			}
			p.Boot()
		}
		if got < before-BootError || got > after+BootError {
			t.Errorf("%v, from %v to %v", got, before, after)
		}
		before, look, after := time.Since(start), p.Look(), time.Since(start)
		if at := look.Boot - suspended; at < before-BootError || at > after+BootError {
			t.Errorf("a look at %v, from %v to %v", at, before, after)
		}
		if look.Now < before || look.Now > after {
			t.Errorf("a look at %v, from %v to %v", look.Now, before, after)
		}
		if calls < least || least == 0 && calls > 0 {
			t.Errorf("%d calls", calls)
		}
		calls = 0
	}
	expect(1)
	expect(0)
	time.Sleep(10 * time.Millisecond) // more than it may be wrong
	expect(0)
	moved := func(d time.Duration) { // of the wall clock
		r := *p.booted.Load()
		r.wall -= d
		p.booted.Store(&r)
	}
	suspended += time.Hour
	moved(time.Hour)
	expect(1)
	expect(0)
	moved(-time.Minute) // set by somebody
	expect(1)
	moved(wallError + time.Microsecond)
	expect(1)
	moved(-wallError - time.Microsecond)
	expect(1)
}

// TestGlance suspends the machine. A glance says what Boot was before, and all of it once
// somebody has looked, or the clock has ticked.
func TestGlance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		quick := func() time.Duration { return time.Since(start) }
		var suspended time.Duration
		p := newProcess(func() time.Duration { return quick() + suspended }, quick, &sleeper{})
		p.start = start
		expect := func(lacks time.Duration) {
			t.Helper()
			if m, want := p.Glance(), (Moment{p.Now(), quick() + suspended - lacks}); m != want {
				t.Errorf("%v, want %v", m, want)
			}
		}
		suspend := func(d time.Duration) {
			suspended += d
			r := *p.booted.Load()
			r.wall -= d // the wall clock goes on meanwhile
			p.booted.Store(&r)
		}
		expect(0) // the first one looks
		time.Sleep(time.Minute)
		expect(0)
		suspend(time.Hour)
		expect(time.Hour)
		p.Look()
		expect(0)
		suspend(2 * time.Hour)
		done := make(chan struct{})
		go p.Run(done)
		time.Sleep(tickEvery - 1)
		expect(2 * time.Hour)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		expect(0)
		close(done)
		synctest.Wait()
	})
}
