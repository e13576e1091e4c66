package registry

import (
	"container/list"
	"sync"
)

// A gate lets so many runs of a kind go on at a time. The others wait their turn, in the order in
// which they came.
type gate struct {
	mu      sync.Mutex
	size    int       // 0: no limit; guarded by mu
	running int       // guarded by mu
	waiting list.List // of *entrance; guarded by mu
}

// An entrance is a run that waits for its turn.
type entrance struct {
	begin func()        // called when it is its turn, with the gate's lock held
	place *list.Element // nil once it waits no more; guarded by the gate's mu
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

// queue has begin called when it is the turn of a run, which may be at once.
func (g *gate) queue(begin func()) *entrance {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := &entrance{begin: begin}
	if g.enterLocked() {
		begin()
	} else {
		e.place = g.waiting.PushBack(e)
	}
	return e
}

// withdraw takes a run out that still waits, and reports whether it did. It may be nil.
func (g *gate) withdraw(e *entrance) bool {
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

// holds reports whether a run still waits. It may be nil.
func (g *gate) holds(e *entrance) bool {
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

// resize changes how many runs may go on at a time. Those that go on are not ended.
func (g *gate) resize(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size = size
	g.beginLocked()
}

func (g *gate) beginLocked() {
	for g.waiting.Len() > 0 && (g.size <= 0 || g.running < g.size) {
		e := g.waiting.Remove(g.waiting.Front()).(*entrance)
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
