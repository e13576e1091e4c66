package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// An actor is the machine whose workers are servers, which take messages one after the
// other.
type actor struct {
	*table
	policy atomic.Pointer[actorPolicy] // of new servers
	held   heldServers
	idle   event // a shard has come to rest

	// That under which AppendRunning has last found no idle server of another node's id
	// with anything to do at its end.
	settled atomic.Value
	works   sync.Pool // of *work
}

func newActor(t *table) *actor {
	a := &actor{table: t}
	a.works.New = func() any { return new(work) }
	return a
}

func (a *actor) current() *policy { return &a.policy.Load().policy }

func (a *actor) setKind(kind worker.Kind) {
	k, _ := kind.(worker.Serial)
	a.policy.Store(actorPolicyOf(k))
}

// enqueue lets a call wait for the server of its id, which is started if there is none.
func (a *actor) enqueue(call *Waiter, now time.Duration) {
	s := a.shard(call.ID)
	s.mu.Lock()
	err := a.enqueueLocked(s, call, now)
	s.mu.Unlock()
	if err != nil {
		call.To.Answer(worker.Reply{}, err)
	}
}

func (a *actor) enqueueLocked(s *shard, call *Waiter, now time.Duration) *wire.Error {
	if call.canceled {
		return &wire.Error{Code: wire.Canceled, Outcome: wire.NotRun}
	}
	w := s.workers.get(call.ID)
	waiting, p := 0, a.policy.Load()
	if w != nil {
		waiting, p = w.mail.waiting(), w.mail.policy
	}
	if err := a.admitLocked(s, call, waiting, &p.policy, now); err != nil {
		return err
	}
	if w == nil {
		w = newServed(entry{id: call.ID, started: now}, mailbox{policy: p, era: s.era})
		s.workers.put(w)
	}
	a.beginWorkLocked(w.mail)
	w.mail.add(w, call)
	a.wakeLocked(s, w, call.Async)
	return nil
}

// wakeLocked makes sure that a goroutine serves w. Async says that it does so for a message
// whose sender does not wait.
func (a *actor) wakeLocked(s *shard, w *entry, async bool) {
	if w.mail.busy || s.quiesced {
		return
	}
	a.waivedLocked(s, w)
	a.occupyLocked(s, w)
	a.startServing(s, w, async && s.streak >= quickStreak && w.mail.server != nil)
}

// beginWorkLocked makes sure that m has a work.
func (a *actor) beginWorkLocked(m *mailbox) {
	if m.work == nil {
		m.work = a.works.Get().(*work)
	}
}

// occupyLocked notes that a goroutine serves w, until restLocked.
func (a *actor) occupyLocked(s *shard, w *entry) {
	a.beginWorkLocked(w.mail)
	w.mail.busy = true
	if w.mail.ending { // its end is what it does next
		w.mail.began = a.Now()
	}
	s.addRunningLocked(w)
}

// startServing has a goroutine serve w, which may wait until others have been quick.
func (a *actor) startServing(s *shard, w *entry, quick bool) {
	a.runners.start(run{of: a, s: s, w: w, quick: quick})
}

// quickStreak is how many messages must have been quick for the next one to be taken for
// quick.
const quickStreak = 16

// endLocked has the server of w end as soon as it does nothing else.
func (a *actor) endLocked(s *shard, w *entry, why worker.EndReason) {
	if m := w.mail; !m.ending {
		m.ending, m.why = true, why
	}
	a.wakeLocked(s, w, false)
}

func (a *actor) withdrawLocked(s *shard, w *entry, call *Waiter) wire.Outcome {
	m := w.mail
	outcome := m.remove(call)
	if m.queue.len == 0 && a.gate.withdraw(m.turn) {
		close(m.entered) // without its turn
	}
	if !m.busy && m.server == nil && m.queue.len == 0 { // it came while the servers were halted
		s.workers.remove(w)
	}
	return outcome
}

func (a *actor) stop(id worker.ID) bool {
	s := a.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers.get(id)
	if w == nil || a.dropWaivedLocked(s, w) {
		return false
	}
	a.endLocked(s, w, worker.EndStopped)
	return true
}

func (a *actor) endOf(w *entry) time.Duration { return w.expires }

// expireLocked wakes the goroutine of w, which ends its server.
func (a *actor) expireLocked(s *shard, w *entry) { a.wakeLocked(s, w, false) }

func (a *actor) describeLocked(w *entry, info *worker.Info, now time.Duration) (live, busy bool) {
	if w.mail.busy {
		info.Queue = w.mail.waiting()
		return true, true
	}
	info.TTL = max(0, w.expires-now)
	return w.expires > now && !a.shard(w.id).waivesLocked(w), false
}

func (a *actor) waitingLocked(w *entry) int { return w.mail.waiting() }

func (a *actor) runLocked(w *entry) (began, timeout time.Duration, turn *turn) {
	if w.mail.claiming { // which ends with the calls that wait
		return w.mail.began, worker.Forever, nil
	}
	return w.mail.began, w.mail.policy.timeout, w.mail.turn
}

// drain has every server end when no message waits for it any more.
func (a *actor) drain() {
	for i := range a.shards {
		s := &a.shards[i]
		s.scan(func(w *entry) { a.wakeLocked(s, w, false) }, nil)
	}
	a.release()
}

func (a *actor) abortLocked(s *shard) []*Waiter {
	for _, w := range s.running {
		if a.gate.withdraw(w.mail.turn) {
			close(w.mail.entered) // its goroutine refuses what waits
		}
	}
	return nil
}

func (a *actor) interruptLocked(s *shard) {
	for _, w := range s.running {
		w.mail.interrupt()
	}
}

func (a *actor) clear() {}
