package registry

import (
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// When the view changes, ids move to other nodes. The answers of a cache move too, so
// that a slow source is not asked again for all of them at the same time. An answer that
// is lost on the way costs one load.

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

// retain drops the workers of s whose ids keep refuses, and hands their answers off: see
// [Registry.Retain].
func (c *cache) retain(s *shard, keep func(worker.ID) bool) {
	var answers []Answer
	send := func() { answers = c.handOff(answers) }
	s.scan(func(w *entry) {
		switch {
		case keep(w.id):
			w.moved = false
		case w.load != nil:
			w.moved = true
		default:
			if !s.leaving { // else it has gone already
				answers = c.appendAnswerLocked(answers, w, c.Now())
			}
			c.dropLocked(s, w)
		}
	}, send)
	send()
}

// Leave hands off all answers of a cache, those of loads that end later included. Unlike
// with Retain they stay here as well, because other nodes go on asking this one until
// they have heard that it leaves. An actor has [Registry.Quiesce] instead.
func (r *Registry) Leave() {
	if r.cache == nil {
		return
	}
	for i := range r.shards {
		r.cache.leave(&r.shards[i])
	}
}

func (c *cache) leave(s *shard) {
	var answers []Answer
	s.mu.Lock()
	now := c.Now()
	for w := range s.workers.all() {
		if w.load == nil && !s.leaving {
			answers = c.appendAnswerLocked(answers, w, now)
		}
	}
	s.leaving = true
	s.mu.Unlock()
	c.handOff(answers)
}

// handOff hands answers off and returns an empty list.
func (c *cache) handOff(answers []Answer) []Answer {
	if len(answers) > 0 {
		c.host.HandOff(answers)
	}
	return nil
}

// appendAnswerLocked appends the answer of w, if it has one that another node can use.
func (c *cache) appendAnswerLocked(answers []Answer, w *entry, now time.Duration) []Answer {
	if w.err != nil || w.expires <= now {
		return answers
	}
	return append(answers, Answer{
		Kind: c.name, ID: w.id, Data: w.value.String(), IsInt: w.value.IsInt(), Type: w.value.MediaType(),
		Age: now - w.started, Left: w.expires - now,
	})
}

// Adopt starts workers of a cache from answers that another node hands off, and returns
// how many. Each is as old as it was there and ends when it would have ended there, but
// no later than if it had been loaded here at that age. An id that has a worker keeps it,
// unless that has an older answer: the other node may have refreshed it. The list may
// come from a peer that lies.
func (r *Registry) Adopt(list []Answer) (adopted int) {
	if r.cache == nil {
		return 0
	}
	for i := range list {
		if r.cache.adopt(&list[i]) {
			adopted++
			r.cache.evictExcess()
		}
	}
	return adopted
}

func (c *cache) adopt(a *Answer) bool {
	age := max(0, min(a.Age, worker.Forever))
	p := c.policy.Load()
	left := min(a.Left, p.ttl)
	if !p.fromUse {
		left = min(left, p.ttl-age)
	}
	if left <= 0 || len(a.Data) > wire.MaxValue {
		return false
	}
	s := c.shard(a.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := c.Now()
	began := now - age - AnswerTimeout // at the earliest: it may have been on its way for that long
	if s.closed || s.leaving || s.outdated.has(a.ID, began) {
		return false
	}
	if old := s.workers.get(a.ID); old != nil {
		if old.load != nil || old.expires > now && (old.err != nil || old.started >= now-age) {
			return false
		}
		c.dropLocked(s, old)
	}
	w := &entry{id: a.ID, started: now - age, expires: now + left}
	w.cached = cached{policy: p, value: worker.RawValue(a.Data, a.Type, a.IsInt)}
	w.useLocked(now)
	s.workers.put(w)
	c.chargeLocked(w)
	c.scheduleLocked(s, w)
	return true
}
