package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	standstill = time.Second            // a process that does not run for longer has stood still
	tickEvery  = 250 * time.Millisecond // between two signs of life
)

// A Process is the clock of this process. It notices when the process has stood still,
// because it was stopped or its machine was suspended. Meanwhile other nodes take its
// place and its callers give up, so the process must find that out before it begins
// anything that waited. All methods may be called from any number of goroutines.
//
// It reads two clocks. The one that goes on while the machine is suspended takes a system
// call, so only ticks read it: a suspended machine is noticed within tickEvery of its
// going on, a stopped process at once.
type Process struct {
	start       time.Time
	boot, quick func() time.Duration // boot goes on while the machine is suspended
	host        ProcessHost
	slept       atomic.Int64 // for how long the machine was suspended
	booted      atomic.Pointer[bootReading]

	mu    sync.Mutex
	last  time.Duration // when the process was last seen to run, by boot; guarded by mu
	seen  atomic.Int64  // the same by quick; set with mu held
	times atomic.Uint64 // standstills that count; set with mu held
}

// A ProcessHost is told what a Process notices. Both methods are called with a lock held,
// so they must not call the Process, but for Now.
type ProcessHost interface {
	// Suspended is called when the machine was suspended: Now has advanced by that time.
	Suspended()

	// StoodStill is called before a standstill is counted. It reports whether it counts.
	StoodStill() bool
}

// NewProcess returns a clock that begins at 0. It ticks while [Process.Run] runs.
func NewProcess(h ProcessHost) *Process {
	start := time.Now()
	p := newProcess(bootTime, func() time.Duration { return time.Since(start) }, h)
	p.start = start
	return p
}

func newProcess(boot, quick func() time.Duration, h ProcessHost) *Process {
	p := &Process{boot: boot, quick: quick, host: h, last: boot()}
	p.seen.Store(int64(quick()))
	return p
}

// Now returns the time since NewProcess, that in which the machine was suspended included.
func (p *Process) Now() time.Duration { return p.quick() + time.Duration(p.slept.Load()) }

// Boot returns the time since some moment. It goes on while the machine is suspended and has
// all of that at once, unlike Now. It is wrong by at most BootError.
//
// The clock that does that takes a system call. A suspension moves the wall clock against
// the monotonic one, and both are read without a call. So Boot makes the call only if their
// difference has changed since the last one, which the wall clock may also do by itself.
func (p *Process) Boot() time.Duration { return p.bootAt(p.clocks()) }

// Look returns what Now and Boot say at the same moment, and takes as long as Boot.
func (p *Process) Look() Moment {
	wall, mono := p.clocks()
	return Moment{Now: mono + time.Duration(p.slept.Load()), Boot: p.bootAt(wall, mono)}
}

// Glance is a Look that takes half as long, because it does not read the wall clock: until
// somebody looks, at the latest within tickEvery, Boot lacks the time for which the machine has
// just been suspended. So it is what Boot was at some moment before, perhaps amid that time.
func (p *Process) Glance() Moment {
	r := p.booted.Load()
	if r == nil {
		return p.Look()
	}
	mono := p.quick()
	return Moment{Now: mono + time.Duration(p.slept.Load()), Boot: r.boot + mono - r.mono}
}

// A Moment is a time on both clocks of a Process.
type Moment struct{ Now, Boot time.Duration }

// bootAt returns what Boot says when the two clocks say this.
func (p *Process) bootAt(wall, mono time.Duration) time.Duration {
	if r := p.booted.Load(); r != nil {
		if moved := wall - r.wall - (mono - r.mono); moved < wallError && moved > -wallError {
			return r.boot + mono - r.mono
		}
	}
	for range 3 {
		wall, mono := p.clocks()
		boot := p.boot()
		if _, after := p.clocks(); after-mono < callTime {
			p.booted.Store(&bootReading{wall, mono, boot})
			return boot
		}
	}
	return p.boot() // the machine is too busy to tell at which moment it was
}

// clocks returns the time on the wall clock and on the monotonic one.
func (p *Process) clocks() (wall, mono time.Duration) {
	t := time.Now()
	return time.Duration(t.UnixNano()), t.Sub(p.start)
}

// BootError is by how much Boot may be wrong.
const BootError = wallError + callTime

const (
	wallError = time.Millisecond       // a change of the wall clock against the monotonic one that counts for none
	callTime  = 100 * time.Microsecond // that a system call for the time may take
)

// A bootReading is what three clocks said at the same time. That of boot goes on while the
// machine is suspended.
type bootReading struct{ wall, mono, boot time.Duration }

// At returns what Now says at a time since the machine was last suspended.
func (p *Process) At(at time.Time) time.Duration {
	return at.Sub(p.start) + time.Duration(p.slept.Load())
}

// When is the inverse of At.
func (p *Process) When(at time.Duration) time.Time {
	return p.start.Add(at - time.Duration(p.slept.Load()))
}

// Standstills returns how often the process has stood still. Now is what Now has just
// returned, which saves another look at the clock. A standstill after that may be missed,
// so do little between the two, and between Standstills and what it permits.
func (p *Process) Standstills(now time.Duration) uint64 {
	if now-time.Duration(p.slept.Load()+p.seen.Load()) > standstill {
		p.tick()
	}
	return p.times.Load()
}

// tick shows that the process runs.
func (p *Process) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, quick := p.boot(), p.quick()
	d := now - p.last - (quick - time.Duration(p.seen.Load()))
	suspended := d > standstill
	if suspended {
		p.slept.Add(int64(d))
	}
	if now-p.last > standstill && p.host.StoodStill() {
		p.times.Add(1) // before seen changes, so that nobody who looks at that misses it
	}
	if suspended {
		p.host.Suspended() // which takes a while, and others look for standstills meanwhile
	}
	p.last = now
	p.seen.Store(int64(quick))
}

// Run ticks until done is closed.
func (p *Process) Run(done <-chan struct{}) {
	ticks := time.NewTicker(tickEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			p.tick()
			p.Boot() // for Glance
		case <-done:
			return
		}
	}
}

// StayAwake has the clock take the machine as never suspended. In a bubble of synctest the
// machine's own clock goes on while time stands still. Call it before Run. It is for tests.
func (p *Process) StayAwake() { p.boot, p.last = p.quick, p.quick() }

// Suspend makes it look as if the machine had just been suspended for d, which is too short
// for a standstill. It is for tests.
func (p *Process) Suspend(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slept.Add(int64(d))
	p.host.Suspended()
}

// StandStill makes it look as if the process had just stood still for d. It is for tests.
func (p *Process) StandStill(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last -= d
	p.seen.Add(-int64(d))
}
