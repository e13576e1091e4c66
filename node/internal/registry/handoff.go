package registry

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// When the view changes, ids move to other nodes. The answers of a cache move too, so
// that a slow source is not asked again for all of them at the same time. An answer that
// is lost on the way costs one load.
//
// A million workers that move must not hold up the calls for others. So what goes over
// them rests most of the time.

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
func (c *cache) retain(s *shard, keep func(worker.ID) bool, p *pace) {
	var answers []Answer
	send := func() { answers = c.handOff(answers, p) }
	s.scan(func(w *entry) {
		switch {
		case keep(w.id):
			w.moved = false
		case w.load != nil:
			w.moved = true
		default:
			answers = c.appendAnswerLocked(answers, w, c.Now())
			c.dropLocked(s, w)
		}
	}, send)
	send()
}

// Leave hands off all answers of a cache, those of loads that end later included. Unlike
// with Retain they stay here as well, because other nodes go on asking this one until
// they have heard that it leaves. It waits for room for them until ctx ends. An actor has
// [Registry.Quiesce] instead.
func (r *Registry) Leave(ctx context.Context) {
	if r.cache == nil {
		return
	}
	p := newPace(ctx, r.host)
	for i := range r.shards {
		r.cache.leave(&r.shards[i], p)
	}
}

func (c *cache) leave(s *shard, p *pace) {
	s.mu.Lock()
	s.leaving = true // a load that ends from now on hands its answer off
	s.mu.Unlock()
	var answers []Answer
	send := func() { answers = c.handOff(answers, p) }
	s.scan(func(w *entry) {
		if w.load == nil {
			answers = c.appendAnswerLocked(answers, w, c.Now())
		}
	}, send)
	send()
}

// handOff hands answers off and waits for room for the next ones, which it does not take
// before that, as they get older. It returns the list, empty.
func (c *cache) handOff(answers []Answer, p *pace) []Answer {
	if len(answers) > 0 {
		c.host.HandOff(answers)
		c.host.AwaitRoom(p.ctx)
	}
	p.rest()
	clear(answers)
	return answers[:0]
}

// appendAnswerLocked appends the answer of w, if it has one that another node can use and
// has not had yet.
func (c *cache) appendAnswerLocked(answers []Answer, w *entry, now time.Duration) []Answer {
	if w.err != nil || w.expires <= now || w.left || c.guard != nil { // that of a strict kind is good at one place
		return answers
	}
	w.left = true
	return append(answers, Answer{
		Kind: c.name, ID: w.id, Data: w.value.String(), IsInt: w.value.IsInt(), Type: w.value.MediaType(),
		Age: now - w.started, Left: w.expires - now,
	})
}

// retain ends the servers of s whose ids keep refuses. A message that has begun runs to
// its end. Those that wait are refused.
func (a *actor) retain(s *shard, keep func(worker.ID) bool, p *pace) {
	s.mu.Lock()
	era := s.era
	s.mu.Unlock()
	s.scan(func(w *entry) {
		if w.moved = !keep(w.id); w.moved {
			a.endMovedLocked(s, w)
		} else {
			a.dropWaivedLocked(s, w)
		}
	}, p.rest)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetWaiversLocked(era)
}

// endMovedLocked ends the server of w, whose id is another node's, and reports whether it
// has ended already. Most have nothing to do at their end, and need no goroutine for it.
func (a *actor) endMovedLocked(s *shard, w *entry) (gone bool) {
	w.moved = true
	if endsAtOnceLocked(w) {
		w.mail.server = nil // the expiry heap has w for as long as it would have lived
		s.workers.remove(w)
		return true
	}
	a.wakeLocked(s, w, false)
	if m := w.mail; m.busy && a.gate.withdraw(m.turn) {
		close(m.entered) // without its turn: it refuses what waits, and ends
	}
	return false
}

// endsAtOnceLocked reports whether the server of w does nothing, and has nothing to do at
// its end.
func endsAtOnceLocked(w *entry) bool {
	if w.mail.work != nil {
		return false
	}
	return terminators(w.mail) == 0
}

// terminators returns 1 if the server has something to do at its end, else 0.
func terminators(m *mailbox) int {
	if terminatorOf(m.server) != nil {
		return 1
	}
	return 0
}

// Yield ends the server of id if keep refuses the id, ahead of others that Retain has yet
// to come to. It reports whether there still is a server, which may have to answer a
// message first. Keep is called as by [Registry.Retain].
func (r *Registry) Yield(id worker.ID, keep func(worker.ID) bool) (held bool) {
	if r.actor == nil {
		return false
	}
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers.get(id)
	if w == nil || r.actor.dropWaivedLocked(s, w) {
		return false
	}
	return keep(id) || !r.actor.endMovedLocked(s, w)
}

// A pace has what goes over many workers rest three times as long as it works, unless the
// node hurries.
type pace struct {
	ctx   context.Context // after whose end there is no rest
	host  Host
	began time.Time // to work, since the last rest
}

const (
	stint   = 500 * time.Microsecond // of work between two rests, at least
	resting = 3                      // times the work
)

func newPace(ctx context.Context, h Host) *pace { return &pace{ctx: ctx, host: h, began: time.Now()} }

// rest rests if that is due.
func (p *pace) rest() {
	if worked := time.Since(p.began); !p.host.Hurries() && worked >= stint {
		clock.Sleep(p.ctx, min(resting*worked, 10*time.Millisecond))
		p.began = time.Now()
	}
}

// Adopt starts workers of a cache from answers that another node hands off, and returns
// how many. Each is as old as it was there and ends when it would have ended there, but
// no later than if it had been loaded here at that age. An id that has a worker keeps it,
// unless that has an older answer: the other node may have refreshed it. The list may
// come from a peer that lies.
func (r *Registry) Adopt(list []Answer) (adopted int) {
	if r.cache == nil || r.guard != nil {
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
	w := newCached(entry{id: a.ID, started: now - age, expires: now + left},
		cached{policy: p, value: worker.RawValue(a.Data, a.Type, a.IsInt)})
	w.useLocked(now)
	s.workers.put(w)
	c.chargeLocked(w)
	c.scheduleLocked(s, w)
	return true
}
