package registry

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// runners are goroutines for runs. Idle ones are kept for a while, because a new one has
// to grow its stack again, which takes longer than most runs (BenchmarkStartWorker,
// BenchmarkCallRemote). A few are kept for good.
//
// To wake a goroutine takes longer than a quick run. So quick runs wait in a queue while
// there is a runner of them for each processor. What is taken for quick may block all the
// same. So when the queue moves more slowly than with quick runs, all that wait get runners
// of their own, and so do later ones for some time.
type runners struct {
	wg sync.WaitGroup

	mu    sync.Mutex
	idle  []*runner   // the last one has run something last; guarded by mu
	spare int         // how many have been idle ever since the last trim; guarded by mu
	timer *time.Timer // of the next trim; nil if too few are idle; guarded by mu
	ended bool        // none is kept any more; guarded by mu

	queue     []run       // that wait for a runner, from head on; guarded by mu
	head      int         // guarded by mu
	quick     int         // runners of quick runs of this epoch; guarded by mu
	epoch     uint32      // how often the queue was given up; guarded by mu
	taken     uint64      // runs that have left the queue; guarded by mu
	before    uint64      // what taken was when watch looked last; guarded by mu
	slowOnce  bool        // the queue was slow when watch looked last; guarded by mu
	watcher   *time.Timer // for watch; guarded by mu
	watched   bool        // the timer will fire; guarded by mu
	dispersed bool        // just now, so that quick runs do not wait; guarded by mu
}

// A runner is a goroutine that does one run after another.
type runner struct {
	next chan run // of capacity 1; a run of nothing ends it
}

const (
	fewRunners  = 16          // that are kept for good
	mostRunners = 1024        // that are kept
	trimEvery   = time.Second // those that nobody has needed for that long end

	watchEvery = 500 * time.Microsecond // between two looks at a queue
	directTime = 100 * time.Millisecond // for which nothing is queued when runs have blocked
)

// start has a goroutine do r. It does not wait.
func (p *runners) start(r run) {
	p.mu.Lock()
	if r.quick = r.quick && !p.dispersed && !p.ended; r.quick {
		if p.quick >= runtime.GOMAXPROCS(0) {
			p.queueLocked(r)
			p.mu.Unlock()
			return
		}
		p.quick++
		r.epoch = p.epoch
	}
	k := p.idleLocked()
	p.mu.Unlock()
	p.give(k, r)
}

// idleLocked takes the runner that has run something last, or returns nil if none is idle.
func (p *runners) idleLocked() *runner {
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	k := p.idle[last]
	p.idle = p.idle[:last]
	p.spare = min(p.spare, last)
	return k
}

// give has k do r, or a new runner if k is nil.
func (p *runners) give(k *runner, r run) {
	if k == nil {
		p.wg.Go(func() { p.work(r) })
	} else {
		k.next <- r
	}
}

func (p *runners) work(r run) {
	k := &runner{next: make(chan run, 1)}
	defer func() {
		if r.of != nil { // the code of the kind ends the goroutine
			p.replace(r.quick, r.epoch)
		}
	}()
	for r.of != nil {
		r.of.run(r)
		quick, epoch := r.quick, r.epoch
		r = run{} // an idle goroutine keeps nothing of it
		r = p.after(k, quick, epoch)
	}
}

// after returns what k does after a run, which may have been a quick one of an epoch: a run
// from the queue, or the next one that it is given.
func (p *runners) after(k *runner, quick bool, epoch uint32) run {
	p.mu.Lock()
	if r, ok := p.nextLocked(quick, epoch); ok {
		p.mu.Unlock()
		return r
	}
	kept := p.keepLocked(k)
	p.mu.Unlock()
	if !kept {
		return run{}
	}
	return <-k.next
}

// replace is after for a runner that ends: another one does what is in the queue.
func (p *runners) replace(quick bool, epoch uint32) {
	p.mu.Lock()
	r, ok := p.nextLocked(quick, epoch)
	var k *runner
	if ok {
		k = p.idleLocked()
	}
	p.mu.Unlock()
	if ok {
		p.give(k, r)
	}
}

// nextLocked returns a run from the queue for a runner that has done a run.
func (p *runners) nextLocked(quick bool, epoch uint32) (next run, ok bool) {
	if !quick || epoch != p.epoch {
		return run{}, false
	}
	if len(p.queue) == 0 {
		p.quick--
		return run{}, false
	}
	next = p.queue[p.head]
	next.epoch = p.epoch
	p.queue[p.head] = run{}
	p.head++
	p.taken++
	if p.head == len(p.queue) {
		p.queue, p.head = p.queue[:0], 0
		if cap(p.queue) > mostRunners {
			p.queue = nil
		}
	}
	return next, true
}

func (p *runners) queueLocked(r run) {
	if p.head > mostRunners && p.head > len(p.queue)/2 {
		p.queue = append(make([]run, 0, len(p.queue)), p.queue[p.head:]...)
		p.head = 0
	}
	p.queue = append(p.queue, r)
	if !p.watched {
		p.before, p.slowOnce = p.taken, false
		p.watchLocked(watchEvery)
	}
}

func (p *runners) watchLocked(after time.Duration) {
	p.watched = true
	if p.watcher == nil {
		p.watcher = time.AfterFunc(after, p.watch)
	} else {
		p.watcher.Reset(after)
	}
}

// watch runs every watchEvery while runs wait. When the queue moves slowly it only notes
// that, as the process may not have run; the second time in a row it gives the queue up.
func (p *runners) watch() {
	p.mu.Lock()
	p.watched = false
	slow := p.taken-p.before < uint64(watchEvery/durationBounds[0])*uint64(runtime.GOMAXPROCS(0))
	switch {
	case p.dispersed:
		p.dispersed = false
	case len(p.queue) == 0:
	case !slow || !p.slowOnce:
		p.slowOnce, p.before = slow, p.taken
		p.watchLocked(watchEvery)
	default:
		p.dispersed = true
		p.watchLocked(directTime)
		p.mu.Unlock()
		p.disperse()
		return
	}
	p.mu.Unlock()
}

// disperse gives all that is in the queue runners of their own.
func (p *runners) disperse() {
	p.mu.Lock()
	list := p.queue[p.head:]
	p.queue, p.head, p.quick = nil, 0, 0
	p.epoch++
	p.mu.Unlock()
	for _, r := range list {
		r.quick = false
		p.start(r)
	}
}

// keepLocked makes an idle runner wait for its next run. It reports false if that one is
// to end.
func (p *runners) keepLocked(k *runner) bool {
	if p.ended || len(p.idle) == mostRunners {
		return false
	}
	p.idle = append(p.idle, k)
	if p.timer == nil && len(p.idle) > fewRunners {
		p.timer = time.AfterFunc(trimEvery, p.trim)
	}
	return true
}

// trim ends the runners that were idle since it last did so, but for a few.
func (p *runners) trim() {
	p.mu.Lock()
	n := max(0, min(p.spare, len(p.idle)-fewRunners))
	surplus := slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	p.spare, p.timer = len(p.idle), nil
	if len(p.idle) > fewRunners && !p.ended {
		p.timer = time.AfterFunc(trimEvery, p.trim)
	}
	p.mu.Unlock()
	for _, k := range surplus {
		k.next <- run{}
	}
}

// end ends the goroutines, those that run something when they have done that, and waits
// for them.
func (p *runners) end() {
	p.mu.Lock()
	p.ended = true
	idle := p.idle
	p.idle = nil
	for _, timer := range []*time.Timer{p.timer, p.watcher} {
		if timer != nil {
			timer.Stop()
		}
	}
	p.mu.Unlock()
	p.disperse() // what a source that runs on holds up
	for _, k := range idle {
		k.next <- run{}
	}
	p.wg.Wait()
}
