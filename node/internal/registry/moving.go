package registry

import (
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// When the view changes, ids move to other nodes. Their workers' answers move too, so
// that a slow source is not asked anew for every one of them at the same time. An answer
// that is lost on the way costs one load.

// AnswerTimeout is how long an answer may be on its way.
const AnswerTimeout = 2 * time.Second

// An Answer is an answer on its way to the node that owns its id now.
type Answer struct {
	Kind  string
	ID    worker.ID
	Data  string // the value, as wire.Reply has it
	IsInt bool
	Type  string        // media type of the value
	Age   time.Duration // since the worker started
	Left  time.Duration // until it expires
}

// AnswerShape counts the answers of a message.
type AnswerShape struct{ IsInt bool }

// Size is about what an answer takes in memory, and at most what it takes on the wire.
func (a *Answer) Size() int {
	return len(a.Kind) + textLen(a.ID) + len(a.Data) + len(a.Type) + 64
}

// Retain takes out the workers whose ids keep refuses, and hands their answers over. A
// worker that is loading goes when its load ends. A worker is taken out and its answer
// taken in one step, so the answer has one place: a later call to this node starts anew.
//
// Keep is called under the lock of the id's shard, so that it can look at the newest
// view: no worker that starts under a view is then refused by an older one.
func (r *Registry) Retain(keep func(worker.ID) bool) {
	for i := range r.shards {
		r.retainIn(&r.shards[i], keep)
	}
}

// retainIn is Retain for one shard. Calls to it wait for a step of its, not for all of
// it.
func (r *Registry) retainIn(s *shard, keep func(worker.ID) bool) {
	var moves []Answer
	send := func() {
		if len(moves) > 0 {
			r.host.HandOver(moves)
		}
		moves = nil
	}
	s.mu.Lock()
	for w := range s.workers.inSteps(atOnce, func() {
		s.mu.Unlock()
		send()
		s.mu.Lock()
	}) {
		switch {
		case keep(w.id):
			w.moved = false
		case w.mail != nil:
			w.moved = true
			r.serveLocked(s, w)
		case w.load != nil:
			w.moved = true
		default:
			if !s.leaving { // else it has gone already
				moves = r.takeLocked(moves, w, r.Now())
			}
			r.dropLocked(s, w)
		}
	}
	s.tidyLocked()
	s.mu.Unlock()
	send()
}

// Leave hands over all answers, those of loads that end later included. Unlike with
// Retain they stay here as well: until the others have heard that this node leaves they
// go on asking it.
func (r *Registry) Leave() {
	if r.serial {
		return // see Quiesce
	}
	for i := range r.shards {
		s := &r.shards[i]
		var moves []Answer
		s.mu.Lock()
		now := r.Now()
		for w := range s.workers.all() {
			if w.load == nil && !s.leaving {
				moves = r.takeLocked(moves, w, now)
			}
		}
		s.leaving = true
		s.mu.Unlock()
		if len(moves) > 0 {
			r.host.HandOver(moves)
		}
	}
}

// takeLocked adds w's answer to moves, if it has one that another node can use.
func (r *Registry) takeLocked(moves []Answer, w *entry, now time.Duration) []Answer {
	if w.err != nil || w.expires <= now {
		return moves
	}
	return append(moves, Answer{r.name, w.id, w.value.String(), w.value.IsInt(), w.value.MediaType(), now - w.started, w.expires - now})
}

// Adopt starts workers from answers that another node hands over, and returns how many.
// Each is as old as it was there and dies when it would have died there, but no later
// than if it had been loaded here at that age. An id that has a worker keeps it, unless
// that has an older answer: who hands over may have refreshed it. The list may come from
// a peer that lies.
func (r *Registry) Adopt(list []Answer) (adopted int) {
	for i := range list {
		if r.adoptOne(&list[i]) {
			adopted++
			r.makeRoom()
		}
	}
	return adopted
}

func (r *Registry) adoptOne(a *Answer) bool {
	age := max(0, min(a.Age, worker.Forever))
	kind := r.kind.Load()
	left := min(a.Left, kind.ttl)
	if !kind.fromUse {
		left = min(left, kind.ttl-age)
	}
	if left <= 0 || len(a.Data) > wire.MaxValue || r.serial {
		return false
	}
	s := r.shard(a.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := r.Now()
	if s.gone.has(a.ID, now-age-AnswerTimeout) { // it may have been on its way for that long
		return false
	}
	if w := s.workers.get(a.ID); s.closed || s.leaving || w != nil && (w.load != nil || w.expires > now && (w.err != nil || w.started >= now-age)) {
		return false
	}
	if old := s.workers.get(a.ID); old != nil {
		r.dropLocked(s, old)
	}
	w := &entry{id: a.ID, kind: kind, started: now - age, expires: now + left, value: worker.RawValue(a.Data, a.Type, a.IsInt)}
	w.useLocked(now)
	s.workers.put(w)
	r.chargeLocked(w)
	r.expireLocked(s, w)
	return true
}
