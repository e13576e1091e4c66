package registry

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

// A table holds the workers of one kind by id, in shards. It also has what both machines
// need: the clock, the bounds on what waits and runs, expiry, and the counters.
type table struct {
	name      string // of the kind
	node      string
	host      Host
	guard     Guard // of a strict kind; else nil
	machine   machine
	admission *Admission // of calls that wait
	gate      gate       // of runs
	counters  counters
	log       *slog.Logger
	crashes   *boundedlog.Limit // of lines with stacks
	clock     *clock.Process
	shards    [shardCount]shard
	sweeper   sweeper
	runners   runners // goroutines of runs

	predecessorDone <-chan struct{} // done of the last kind of this name; nil if there was none
	done            chan struct{}   // closed when nothing runs any more, of this kind and its predecessors
	ctx             context.Context // ends with the registry
	cancel          context.CancelFunc
	wg              sync.WaitGroup // of runs
}

// A machine is what the workers of a table do. It is a [cache] or an [actor].
type machine interface {
	// current returns the policy of new workers.
	current() *policy
	setKind(worker.Kind)

	// enqueue answers a call, or lets it wait for the worker of its id.
	enqueue(call *Waiter, now time.Duration)

	// withdrawLocked takes a call out that waits for w, and returns its outcome.
	withdrawLocked(s *shard, w *entry, call *Waiter) wire.Outcome

	// retain drops the workers of a shard whose ids keep refuses, at that pace.
	retain(s *shard, keep func(worker.ID) bool, p *pace)

	// stop ends the worker of id, and reports whether there was one.
	stop(id worker.ID) bool

	// endOf returns when the time of w is over. It is called under the lock of its shard.
	endOf(w *entry) time.Duration

	// expireLocked ends w, whose time is over.
	expireLocked(s *shard, w *entry)

	// describeLocked fills in the part of info that depends on the machine. It reports
	// whether w lives, and whether something runs for it.
	describeLocked(w *entry, info *worker.Info, now time.Duration) (live, busy bool)

	// waitingLocked returns how many calls wait for w, for which something runs.
	waitingLocked(w *entry) int

	// runLocked returns when the run of w began, how long it may take, and the turn that
	// it waits for, or has waited for; the turn may be nil.
	runLocked(w *entry) (began, timeout time.Duration, turn *turn)

	// The steps of close, in this order. The shards are closed when drain is called.
	drain()                                   // lets what runs come to its end
	abortLocked(s *shard) (waiters []*Waiter) // gives up what waits for its turn in a shard
	interruptLocked(s *shard)                 // ends the contexts of what runs in a shard
	clear()                                   // drops what is left, and frees it
}

const shardCount = 64

// A shard is the part of a table that one lock guards.
type shard struct {
	// An answer from a value needs these fields only, so they share a line of the
	// processor's cache.
	mu      sync.Mutex
	answers uint64 // given since the start; guarded by mu
	hits    uint64 // of a cache: answers to requests made at this node from a worker's value; guarded by mu
	workers index  // guarded by mu

	running []*entry   // for which something runs, or waits for its turn; guarded by mu
	expiry  expiryHeap // guarded by mu
	closed  bool       // nothing starts any more; guarded by mu
	mustEnd int        // of an actor: servers that have something to do at their end; guarded by mu
	expired uint64     // workers, since the start; guarded by mu

	requests tally // made at this node and answered here, but for hits
	runs     tally // of servers

	leaving  bool     // of a cache: answers go to other nodes, though they stay; guarded by mu
	outdated outdated // of a cache: invalidated ids; guarded by mu
	evicted  uint64   // of a cache: workers that went before their time to free memory; guarded by mu
	quiesced bool     // of an actor: no message runs; guarded by mu
	streak   uint8    // of an actor: messages that were quick, one after the other, as far as it counts; guarded by mu
	era      uint8    // of an actor: how often servers have been waived, modulo 256; guarded by mu

	// Of an actor: what was waived at the beginning of each of the last eras. Guarded by mu.
	waivers []func(worker.ID) bool

	ended time.Duration // of a strict actor: when its last message had ended, on the clock by which leases end; guarded by mu

	_ [64]byte // keeps shards apart in the processor's cache
}

// An entry is the one worker of its id on this node. It is no goroutine: only a run has
// one. The lock of its shard guards all of it. With the part that its machine keeps it is
// one object of 128 bytes: see BenchmarkLiveWorkers and BenchmarkLiveServers.
type entry struct {
	id      worker.ID
	next    *entry        // in its chain of the index
	started time.Duration // on the table's clock
	expires time.Duration // when its time is over; meaningless while a cache loads it
	hits    uint32        // answers from its value or its server: see hitLocked
	mark    uint32        // its index in the shard's running; of a cache that has a value, its last use: see useLocked
	retry   uint32        // of a cache: see pauseLocked
	moved   bool          // the id is another node's now
	left    bool          // of a cache: its answer has been handed off
	listed  bool          // it is in the expiry heap
	counted bool          // of a cache: its value counts as memory

	*cached          // of a cache
	mail    *mailbox // of an actor
}

// newTable returns a table without a machine.
func newTable(c Config) *table {
	t := &table{
		name: c.Name, node: c.Node, host: c.Host, guard: c.Guard, admission: c.Admission, log: c.Logger, crashes: boundedlog.NewLimit(),
		clock: c.Clock, predecessorDone: c.PredecessorDone, done: make(chan struct{}),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.sweeper.t = t
	return t
}

// Now returns the time on the clock of the node.
func (t *table) Now() time.Duration { return t.clock.Now() }

// look returns the time on the clock of the node, and for a strict kind also that on the one
// by which leases end. That takes longer.
func (t *table) look() clock.Moment {
	if t.guard == nil {
		return clock.Moment{Now: t.clock.Now()}
	}
	return t.clock.Look()
}

// glance returns the time at which a message begins. A time that the guard takes for a moment
// before is as good, as the process might have stood still after it had begun.
func (t *table) glance() clock.Moment {
	if t.guard == nil {
		return clock.Moment{Now: t.clock.Now()}
	}
	return t.clock.Glance()
}

// Sweep drops what has expired while the machine was suspended.
func (t *table) Sweep() { t.sweep() }

// shard returns the shard of id, by Fibonacci hashing (Knuth, The Art of Computer
// Programming, 6.4).
func (t *table) shard(id worker.ID) *shard {
	return &t.shards[id.Hash()*0x9E3779B97F4A7C15>>32%shardCount]
}

// Has reports whether id has a worker here, or is about to have one.
func (t *table) Has(id worker.ID) bool {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workers.get(id) != nil
}

// scan calls visit for the workers of s under its lock. It releases the lock, and calls
// between if that is not nil, after every few workers, so that calls do not wait for all
// of it. Workers that are there from start to end are visited at least once.
func (s *shard) scan(visit func(*entry), between func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.workers.inSteps(atOnce, func() {
		s.mu.Unlock()
		if between != nil {
			between()
		}
		s.mu.Lock()
	}) {
		visit(w)
	}
}

// addRunningLocked notes that something runs for w.
func (s *shard) addRunningLocked(w *entry) {
	w.mark = uint32(len(s.running))
	s.running = append(s.running, w)
}

// removeRunningLocked notes that nothing runs for w any more.
func (s *shard) removeRunningLocked(w *entry) {
	last := len(s.running) - 1
	s.running[w.mark] = s.running[last]
	s.running[w.mark].mark = w.mark
	s.running[last] = nil
	s.running = s.running[:last]
}

// hitLocked counts a call that the value or the server of w has answered. What is too much
// to count stays manyHits or more, and still tells how many come.
func (w *entry) hitLocked() {
	if w.hits++; w.hits == 0 {
		w.hits = manyHits
	}
}

const manyHits = 1 << 31

// admitLocked lets a call wait for a worker for which others wait, or returns why it must
// not.
func (t *table) admitLocked(s *shard, call *Waiter, waiting int, p *policy, now time.Duration) *wire.Error {
	switch {
	case s.closed:
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	case call.Deadline <= now:
		return &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
	case waiting >= p.queue:
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls wait for id %s", waiting, call.ID)
	}
	return t.admission.enter(call)
}

// refuse answers waiters that have been taken out, with why.
func (t *table) refuse(list []*Waiter, why *wire.Error) {
	for _, call := range list {
		t.admission.leave(call)
		call.To.Answer(worker.Reply{}, why)
	}
}

// first reports whether nothing runs any more of the kinds that had the name before.
func (t *table) first() bool { return t.predecessorDone == nil || clock.IsDone(t.predecessorDone) }

// awaitPredecessor waits until nothing runs any more of the kinds that had the name
// before, or returns why ctx has ended. So runs of one id never overlap, even if a kind
// is removed and added again, or becomes another one.
func (t *table) awaitPredecessor(ctx context.Context) *wire.Error {
	if t.first() {
		return nil
	}
	select {
	case <-t.predecessorDone:
		return nil
	case <-ctx.Done():
	}
	if ctx.Err() == context.DeadlineExceeded {
		return errPredecessor
	}
	return errAbandoned
}

// errAbandoned is the error of a run that did not begin because nobody waits for it.
var errAbandoned = &wire.Error{Code: wire.Canceled, Outcome: wire.NotRun}

// errPredecessor is the error of a run that did not begin because a run of the kind that
// had the name before goes on.
var errPredecessor = &wire.Error{
	Code: wire.DeadlineExceeded, Outcome: wire.NotRun,
	Text: "the kind was removed and added again, and a run from before still goes on; try again when it has ended",
}

// logRun logs what became of a run of a source or of a server.
func (t *table) logRun(id worker.ID, trace string, took time.Duration, err *wire.Error) {
	if !t.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	fields := []any{"kind", t.name, "id", id.String(), "took", took}
	if parent, _, _ := strings.Cut(trace, "\n"); parent != "" {
		fields = append(fields, "trace", parent)
	}
	if err != nil {
		fields = append(fields, "err", err.Error())
	}
	t.log.Debug("run", fields...)
}

func (t *table) logReply(what string, id worker.ID, reply *worker.Reply) {
	if t.log.Enabled(context.Background(), slog.LevelDebug) {
		//nolint:sloglint // the words are the original's, and a line of this log shows what the shell does
		t.log.Debug(what+" {"+text.Clip(reply.Value.String())+", "+reply.Node+"}", "id", id.String())
	}
}
