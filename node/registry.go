package node

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/wire"
)

// A Source produces the value of the worker of an id. It should return soon after ctx ends: that is
// at the kind's Timeout, or when nobody waits for the value any more. Runs for one id never overlap;
// runs for different ids do. A panic becomes an error of its callers.
type Source func(ctx context.Context, id ID) (Value, error)

// RandomSource is the source of the demo: an integer from 1 to 1000.
func RandomSource(context.Context, ID) (Value, error) { return IntValue(rand.Int64N(1000) + 1), nil }

// A Kind is a family of workers with one source and one policy. Zero fields mean the default.
type Kind struct {
	Source      Source        // RandomSource
	TTL         time.Duration // 5 s; how long a worker lives
	FromUse     bool          // TTL counts from the last use, not from the worker's start
	Timeout     time.Duration // 5 s; how long the source may run
	Queue       int           // 4096; calls that may wait for one id
	CacheErrors time.Duration // 0: the next call after an error runs the source again
	Exclusive   bool          // a call that may have run is not answered by another node instead
}

func (k Kind) withDefaults() Kind {
	if k.Source == nil {
		k.Source = RandomSource
	}
	k.TTL = cmp.Or(k.TTL, 5*time.Second)
	k.Timeout = cmp.Or(k.Timeout, defaultTimeout)
	k.Queue = cmp.Or(k.Queue, 4096)
	return k
}

// A registry holds the live workers of one kind on this node, at most one for an id. Looking one up,
// waiting for it, and its expiry are each one step under the lock of its shard, so no call is lost to
// a worker that is just dying.
type registry struct {
	kind     Kind
	node     string
	maxQueue int64 // calls that may wait on this node
	log      *slog.Logger
	base     time.Time // of the registry's clock
	shards   [shardCount]shard

	waiting atomic.Int64
	ctx     context.Context // ends with the registry
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	sweeper sweeper
}

const shardCount = 64

type shard struct {
	mu      sync.Mutex
	workers map[ID]*worker // guarded by mu
	expiry  expiryHeap     // guarded by mu
	closed  bool           // no load starts any more; guarded by mu
	answers uint64         // given since the start; guarded by mu
	_       [64]byte       // keeps shards apart in the cache
}

func newRegistry(kind Kind, node string, maxQueue int, log *slog.Logger) *registry {
	r := &registry{kind: kind.withDefaults(), node: node, maxQueue: int64(maxQueue), log: log, base: time.Now()}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for i := range r.shards {
		r.shards[i].workers = map[ID]*worker{}
	}
	r.sweeper.r = r
	return r
}

func (r *registry) now() time.Duration { return time.Since(r.base) }

func (r *registry) shard(id ID) *shard { return &r.shards[id.hash()%shardCount] }

// request answers from the worker of id, which it starts if there is none.
func (r *registry) request(ctx context.Context, id ID) (Reply, error) {
	if reply, ok := r.lookup(id); ok {
		return reply, nil
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	type result struct {
		Reply
		error
	}
	answer := make(chan result, 1)
	w := r.newWaiter(ctx, id, func(reply Reply, err error) { answer <- result{reply, err} })
	r.enqueue(w)
	select {
	case a := <-answer:
		return a.Reply, a.error
	case <-ctx.Done():
		r.withdraw(w, ctx.Err())
		a := <-answer
		return a.Reply, a.error
	}
}

func (r *registry) newWaiter(ctx context.Context, id ID, done func(Reply, error)) *waiter {
	return &waiter{id: id, deadline: r.now() + timeoutOf(ctx), done: done}
}

// lookup answers at once, if the worker of id has its value.
func (r *registry) lookup(id ID) (Reply, bool) {
	now := r.now()
	s := r.shard(id)
	s.mu.Lock()
	w := s.workers[id]
	if w == nil || w.load != nil || w.expires <= now || w.err != nil {
		s.mu.Unlock()
		return Reply{}, false
	}
	reply := r.hitLocked(s, w, now)
	s.mu.Unlock()
	r.logReply("Cached value returned", id, reply)
	return reply, true
}

func (r *registry) hitLocked(s *shard, w *worker, now time.Duration) Reply {
	s.answers++
	w.hits++
	if r.kind.FromUse {
		w.expires = now + r.kind.TTL
	}
	return Reply{Value: w.value, Node: r.node, Cached: true, Age: now - w.started, TTL: w.expires - now}
}

// enqueue answers c from the worker's value, or lets it wait for the worker's load.
func (r *registry) enqueue(c *waiter) {
	now := r.now()
	s := r.shard(c.id)
	s.mu.Lock()
	w := s.workers[c.id]
	if w != nil && w.load == nil && w.expires <= now {
		delete(s.workers, c.id) // expired, and not swept yet
		w = nil
	}
	switch {
	case c.canceled:
		s.mu.Unlock()
		c.done(Reply{}, &wire.Error{Code: wire.Canceled, Outcome: wire.NotRun})
	case w != nil && w.load == nil && w.err != nil:
		s.mu.Unlock()
		c.done(Reply{}, w.err)
	case w != nil && w.load == nil:
		reply := r.hitLocked(s, w, now)
		s.mu.Unlock()
		r.logReply("Cached value returned", c.id, reply)
		c.done(reply, nil)
	default:
		err := r.waitLocked(s, w, c, now)
		s.mu.Unlock()
		if err != nil {
			c.done(Reply{}, err)
		}
	}
}

// waitLocked lets c wait for w, or for a new worker if w is nil.
func (r *registry) waitLocked(s *shard, w *worker, c *waiter, now time.Duration) error {
	switch {
	case s.closed:
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	case c.deadline <= now:
		return &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
	case w != nil && len(w.load.waiters) >= r.kind.Queue:
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls wait for id %s", len(w.load.waiters), c.id)
	case r.waiting.Load() >= r.maxQueue:
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls wait on this node", r.maxQueue)
	}
	r.waiting.Add(1)
	if w == nil {
		r.startLocked(s, c.id, now, []*waiter{c})
		return nil
	}
	w.load.add(w, c)
	return nil
}

// startLocked starts the worker of id for those who wait.
func (r *registry) startLocked(s *shard, id ID, now time.Duration, waiters []*waiter) {
	ctx, cancel := context.WithTimeout(r.ctx, r.kind.Timeout)
	w := &worker{id: id, started: now, load: &load{cancel: cancel}}
	for _, c := range waiters {
		w.load.add(w, c)
	}
	s.workers[id] = w
	r.wg.Go(func() {
		defer cancel()
		run(ctx, r.kind.Source, id, func(v Value, err *wire.Error) { r.finish(s, w, v, err) })
	})
}

// finish ends a load: the worker has its value, or is gone.
func (r *registry) finish(s *shard, w *worker, value Value, err *wire.Error) {
	now := r.now()
	s.mu.Lock()
	l := w.load
	w.load, w.value, w.err = nil, value, err
	w.expires = w.started + r.kind.TTL
	if err != nil {
		w.expires = now + r.kind.CacheErrors
	} else if r.kind.FromUse {
		w.expires = now + r.kind.TTL
	}
	if w.moved || l.abandoned || w.expires <= now {
		r.dropLocked(s, w)
	} else {
		s.expiry.push(w)
		r.sweeper.wakeBy(w.expires)
	}
	waiters := l.waiters
	for _, c := range waiters {
		c.worker = nil
	}
	if l.abandoned && len(waiters) > 0 && !s.closed {
		// They came after the run was cancelled: its result is not for them.
		waiters = r.restartLocked(s, w.id, now, waiters)
		err = &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
	}
	s.answers += uint64(len(waiters))
	reply := Reply{Value: value, Node: r.node, Age: now - w.started, TTL: max(0, w.expires-now)}
	s.mu.Unlock()
	r.waiting.Add(-int64(len(waiters)))
	if err == nil {
		r.logReply("Request made for", w.id, reply)
	}
	for _, c := range waiters {
		if err != nil {
			c.done(Reply{}, err)
		} else {
			c.done(reply, nil)
		}
	}
}

// restartLocked starts a new worker for those whose deadline has not passed, and returns the others.
func (r *registry) restartLocked(s *shard, id ID, now time.Duration, waiters []*waiter) (late []*waiter) {
	var live []*waiter
	for _, c := range waiters {
		if c.deadline > now {
			live = append(live, c)
		} else {
			late = append(late, c)
		}
	}
	if len(live) > 0 {
		r.startLocked(s, id, now, live)
	}
	return late
}

// dropLocked removes w, but not its successor.
func (r *registry) dropLocked(s *shard, w *worker) {
	if s.workers[w.id] == w {
		delete(s.workers, w.id)
	}
}

// withdraw answers c with why, unless it has been answered.
func (r *registry) withdraw(c *waiter, why error) {
	s := r.shard(c.id)
	s.mu.Lock()
	w := c.worker
	if w == nil {
		c.canceled = true // in case it is not enqueued yet
		s.mu.Unlock()
		return
	}
	w.load.remove(c)
	s.mu.Unlock()
	r.waiting.Add(-1)
	code := wire.Canceled
	if errors.Is(why, context.DeadlineExceeded) {
		code = wire.DeadlineExceeded
	}
	c.done(Reply{}, &wire.Error{Code: code, Outcome: wire.Unknown})
}

func (r *registry) logReply(what string, id ID, reply Reply) {
	if r.log.Enabled(context.Background(), slog.LevelDebug) {
		//nolint:sloglint // the words are the original's, and a line of this log shows what the shell does
		r.log.Debug(what+" {"+reply.Value.String()+", "+reply.Node+"}", "id", id.String())
	}
}

// retain drops the workers whose id keep refuses; one that is loading goes when its load ends.
func (r *registry) retain(keep func(ID) bool) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for id, w := range s.workers {
			switch {
			case keep(id):
				w.moved = false
			case w.load != nil:
				w.moved = true
			default:
				delete(s.workers, id)
			}
		}
		s.mu.Unlock()
	}
}

// forget drops the worker of id if it has its value.
func (r *registry) forget(id ID) { r.drop(id, false) }

// stop ends the worker of id, after its load if it is loading, and reports whether there was one.
func (r *registry) stop(id ID) bool { return r.drop(id, true) }

func (r *registry) drop(id ID, loading bool) bool {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[id]
	switch {
	case w == nil:
		return false
	case w.load != nil:
		w.moved = w.moved || loading
		return true
	}
	delete(s.workers, id)
	return w.expires > r.now()
}

// close refuses new loads, gives the running ones until ctx ends, then cancels them. It fails if a source does
// not heed that within a second.
func (r *registry) close(ctx context.Context) error {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
	}
	idle := make(chan struct{})
	go func() {
		r.wg.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	r.cancel()
	r.sweeper.stop()
	select {
	case <-idle:
		return nil
	case <-time.After(time.Second):
		return errors.New("a source runs on although its context has ended")
	}
}
