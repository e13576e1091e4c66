package gateway

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	maxBodies    = 64 << 20         // bytes of larger bodies, from their arrival to the end of their calls
	wholeBodies  = maxBodies / 2    // of these, the bytes for bodies that wait
	greedyBodies = maxBodies / 4    // bytes of slow bodies that make an address greedy
	placeTimeout = 10 * time.Second // to wait for room
	placeGrace   = time.Second      // for a client to keep the gateway waiting without losing its place
)

// A places bounds the bytes of large bodies. While half of the bytes are free, a body
// takes room as it arrives. After that, it waits until it gets room for all of its bytes
// at once. Otherwise concurrent bodies could fill the room together and none of them
// could be completed. While bodies wait, bodies that arrive too slowly lose their places.
type places struct {
	mu      sync.Mutex // guards what follows
	free    int64
	all     map[*place]bool        // that hold bytes or wait
	from    map[netip.Prefix]int64 // bytes by address
	waiting []*place               // in the order in which they came
	relief  *time.Timer            // of relieve; nil while no body waits
}

// A place is the room of one body.
type place struct {
	from netip.Prefix // address of the client
	size int64        // bytes of the body, at most
	end  func()       // makes a read of the body return

	// places.mu guards:
	bytes   int64         // room that the body has
	read    int64         // bytes that have arrived
	waited  time.Duration // for these bytes
	since   time.Time     // start of the wait for more bytes; zero if there is none
	woken   chan struct{} // closed when the wait for room is over
	arrived bool          // all of the body is there
	evicted bool
}

func newPlaces() *places {
	return &places{free: maxBodies, all: make(map[*place]bool), from: make(map[netip.Prefix]int64)}
}

// errEvicted is the error of a body that has lost its place.
var errEvicted = errors.New("evicted")

// grow takes room for so many bytes of a body, or for all its bytes if it has to wait. It
// returns the room that the body has now. The caller must call release, even after an
// error.
func (l *places) grow(ctx context.Context, p *place, bytes int64) (int64, error) {
	l.mu.Lock()
	l.all[p] = true
	if l.free-(bytes-p.bytes) >= wholeBodies {
		defer l.mu.Unlock()
		l.holdLocked(p, bytes)
		return bytes, nil
	}
	p.woken = make(chan struct{})
	l.waiting = append(l.waiting, p)
	l.giveLocked()
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	select {
	case <-p.woken:
		return p.size, l.check(p)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// check returns errEvicted if a body has lost its place.
func (l *places) check(p *place) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.evicted {
		return errEvicted
	}
	return nil
}

// await records that the gateway waits for the next bytes of a body. It returns
// errEvicted if the body has lost its place. If the body loses it during the wait,
// place.end ends the wait.
func (l *places) await(p *place) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.evicted {
		return errEvicted
	}
	p.since = time.Now()
	return nil
}

// came records that n more bytes of a body have arrived.
func (l *places) came(p *place, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.read += int64(n)
	p.waited += time.Since(p.since)
	p.since = time.Time{}
}

// keep records that a body has arrived. From now on it cannot lose its place. It returns
// errEvicted if that has happened before.
func (l *places) keep(p *place) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.evicted {
		return errEvicted
	}
	p.arrived = true
	return nil
}

// release frees the room of a body, and ends its wait. A second call does nothing.
func (l *places) release(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.all[p] {
		return
	}
	delete(l.all, p)
	l.holdLocked(p, 0)
	l.waiting = slices.DeleteFunc(l.waiting, func(w *place) bool { return w == p })
	l.giveLocked()
}

// holdLocked adds so many bytes to the room of a body.
func (l *places) holdLocked(p *place, bytes int64) {
	l.free -= bytes - p.bytes
	if l.from[p.from] += bytes - p.bytes; l.from[p.from] == 0 {
		delete(l.from, p.from)
	}
	p.bytes = bytes
}

// giveLocked gives free bytes to bodies that wait.
func (l *places) giveLocked() {
	for len(l.waiting) > 0 {
		i := l.nextLocked()
		p := l.waiting[i]
		if p.size-p.bytes > l.free {
			break
		}
		l.waiting = slices.Delete(l.waiting, i, i+1)
		l.holdLocked(p, p.size)
		close(p.woken)
	}
	if len(l.waiting) > 0 && l.relief == nil {
		l.relief = time.AfterFunc(shortWait, l.relieve)
	}
}

// nextLocked returns the index of the body to be served next: the first one that is in
// time and whose address has no more than half of all bytes, or else the first one.
func (l *places) nextLocked() int {
	now := time.Now()
	fits := func(w *place) bool { return l.from[w.from] <= maxBodies/2 && w.behind(now) == 0 }
	return max(0, slices.IndexFunc(l.waiting, fits))
}

// relieve evicts slow bodies, so that the next one has room. If many wait, it evicts more
// at a time, so that all have room long before placeTimeout.
func (l *places) relieve() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.relief = nil
	var missing, next int64
	for _, w := range l.waiting {
		missing += w.size - w.bytes
		next = max(next, w.size-w.bytes)
	}
	missing = max(next, missing*int64(shortWait)/int64(placeTimeout/4)) - l.free
	for p := range l.all {
		if p.evicted { // it has yet to release its place
			missing -= p.bytes
		}
	}
	for now := time.Now(); missing > 0 && len(l.waiting) > 0; {
		p := slowest(now, l.all)
		if p == nil {
			break
		}
		missing -= p.bytes
		p.evicted = true
		p.end() // under the lock: the request cannot end meanwhile
		if i := slices.Index(l.waiting, p); i >= 0 {
			l.waiting = slices.Delete(l.waiting, i, i+1)
			close(p.woken)
		}
	}
	l.giveLocked()
}

// slowest returns the body that must give its place to a waiting one, or nil if all
// bodies are fast enough to be complete within bodyGrace. It chooses the body that is
// furthest behind, preferring those of greedy addresses.
func slowest(now time.Time, all map[*place]bool) (slowest *place) {
	late := make(map[netip.Prefix]int64) // bytes by address
	for p := range all {
		if p.behind(now) > 0 {
			late[p.from] += p.bytes
		}
	}
	var most float64
	var greedy bool
	for p := range all {
		behind, isGreedy := p.behind(now), late[p.from] > greedyBodies
		if behind > 0 && (isGreedy && !greedy || isGreedy == greedy && behind > most) {
			slowest, most, greedy = p, behind, isGreedy
		}
	}
	return slowest
}

// behind returns how far a body is behind one that arrives within bodyGrace, as a
// fraction of its size. Only the time in which the gateway waits for the client counts.
// It returns 0 for a body that cannot lose its place.
func (p *place) behind(now time.Time) float64 {
	waited := p.waited
	if !p.since.IsZero() {
		waited += now.Sub(p.since)
	}
	if p.arrived || p.evicted || waited < placeGrace {
		return 0
	}
	return max(0, float64(waited)/float64(bodyGrace)-float64(p.read)/float64(p.size))
}
