package quorum

import (
	"sort"
	"sync"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A simRun is a call of an id.
type simRun struct {
	n      *simNode
	id     worker.ID
	token  worker.Token
	since  uint64        // as Begin has returned it
	began  time.Duration // of the world, as all times here
	until  time.Duration // it was last seen that its lease was valid
	ended  time.Duration
	valid  bool // it was answered
	denied bool // the resource has refused it
}

// A history is what all runs did, and the resource that they use.
type history struct {
	mu      sync.Mutex
	runs    map[worker.ID][]*simRun
	highest map[worker.ID]worker.Token
	refused int // calls that could not start
}

// A simLook is a look at the clock of a node. A call that begins by it begins then, even if the
// node comes to that a while later.
type simLook struct{ at, world time.Duration } // on the clock of the node, and in truth

func (n *simNode) lookAtClock() simLook { return simLook{n.q.Clock(), n.w.now()} }

// begin starts a call of an id on a node, if that may.
func (n *simNode) begin(id worker.ID, look simLook) *simRun {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running[id] != nil {
		return nil
	}
	if look.world < n.ended[id] {
		look = n.lookAtClock()
	}
	token, since, ok, ended := n.q.Begin(worker.Key{ID: id}, n.since[id], look.at)
	if ended {
		token, since, ok, _ = n.q.Begin(worker.Key{ID: id}, 0, look.at)
	}
	if ok {
		n.since[id] = since
	}
	h := &n.w.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if !ok {
		h.refused++
		return nil
	}
	if look.at < n.q.rights.Load().at { // it does not count
		look = n.lookAtClock()
	}
	r := &simRun{n: n, id: id, token: token, since: since, began: look.world, until: look.world}
	n.running[id] = r
	if h.runs == nil {
		h.runs, h.highest = map[worker.ID][]*simRun{}, map[worker.ID]worker.Token{}
	}
	h.runs[id] = append(h.runs[id], r)
	return r
}

// look notes that the lease is valid, if it is.
func (r *simRun) look() bool {
	ok := r.n.q.Valid(r.since, r.n.q.Clock())
	if ok {
		r.until = r.n.w.now()
	}
	return ok
}

// operate has the call change the resource.
func (r *simRun) operate() {
	h := &r.n.w.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.token.Compare(h.highest[r.id]) < 0 {
		r.denied = true
		return
	}
	h.highest[r.id] = r.token
}

// end ends the call. The node's lock is held.
func (r *simRun) end(answer bool) {
	r.valid = answer && r.look()
	r.ended = r.n.w.now()
}

// run is a call from its start to its end. It comes to begin some time after it has looked at
// the clock.
func (n *simNode) run(id worker.ID, late, d time.Duration) {
	look := n.lookAtClock()
	if n.sleep(late); !n.awake(n.ctx) {
		return
	}
	r := n.begin(id, look)
	if r == nil {
		return
	}
	r.operate()
	for end := n.w.now() + d; n.w.now() < end && n.ctx.Err() == nil; {
		n.sleep(min(end-n.w.now(), 20*time.Millisecond))
		r.look()
	}
	if !n.awake(n.ctx) {
		return
	}
	r.operate()
	n.mu.Lock()
	if n.running[id] != r { // the node was killed
		n.mu.Unlock()
		return
	}
	r.end(true)
	n.ended[id] = r.ended
	delete(n.running, id)
	n.mu.Unlock()
	n.q.Ended(id, r.since)
}

func (n *simNode) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-n.ctx.Done():
	}
}

// A verdict counts what was wrong, and what there was.
type findings struct {
	Overlaps, Tokens, Denied int // violations
	Runs, Answered, Refused  int
}

func (f findings) bad() bool { return f.Overlaps+f.Tokens+f.Denied > 0 }

// check looks at all runs: none overlap while the leases of both are valid, tokens rise, and
// the resource has refused no run that was answered.
func (h *history) check() (f findings) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.Refused = h.refused
	for _, runs := range h.runs {
		sort.SliceStable(runs, func(i, j int) bool { return runs[i].began < runs[j].began })
		var top worker.Token
		for i, r := range runs {
			f.Runs++
			if r.valid {
				f.Answered++
				if r.denied {
					f.Denied++
				}
			}
			if r.token.Compare(top) <= 0 {
				f.Tokens++
			}
			top = r.token
			for _, s := range runs[i+1:] {
				if s.began >= r.until {
					break
				}
				f.Overlaps++
			}
		}
	}
	return f
}
