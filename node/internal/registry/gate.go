package registry

import (
	"container/list"
	"sync"
)

// A gate bounds how many runs of a kind go on at a time. The others wait for their turn,
// in the order in which they came.
type gate struct {
	mu      sync.Mutex
	size    int       // 0: no limit; guarded by mu
	running int       // guarded by mu
	waiting list.List // of *turn; guarded by mu
}

// A turn is what a run waits for at a gate.
type turn struct {
	begin func()        // called when the turn comes, with the gate's lock held
	place *list.Element // nil when the run does not wait any more; guarded by the gate's mu
}

// enter reports whether a run may begin at once. A run that has begun ends with leave.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.enterLocked()
}

func (g *gate) enterLocked() bool {
	if g.waiting.Len() > 0 || g.size > 0 && g.running >= g.size {
		return false
	}
	g.running++
	return true
}

// queue calls begin when the turn of a run comes, which may be at once.
func (g *gate) queue(begin func()) *turn {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := &turn{begin: begin}
	if g.enterLocked() {
		begin()
	} else {
		e.place = g.waiting.PushBack(e)
	}
	return e
}

// withdraw takes out a run that still waits, and reports whether it did. The turn may be
// nil.
func (g *gate) withdraw(e *turn) bool {
	if e == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if e.place == nil {
		return false
	}
	g.waiting.Remove(e.place)
	e.place = nil
	return true
}

// holds reports whether a run still waits. The turn may be nil.
func (g *gate) holds(e *turn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return e != nil && e.place != nil
}

// leave ends a run.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.beginLocked()
}

// resize changes how many runs may go on at a time. It ends none.
func (g *gate) resize(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size = size
	g.beginLocked()
}

func (g *gate) beginLocked() {
	for g.waiting.Len() > 0 && (g.size <= 0 || g.running < g.size) {
		e := g.waiting.Remove(g.waiting.Front()).(*turn)
		e.place = nil
		g.running++
		e.begin()
	}
}

// counts returns how many runs go on, and how many wait.
func (g *gate) counts() (running, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running, g.waiting.Len()
}
