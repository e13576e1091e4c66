package node

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
)

var (
	strictSeed  = flag.Uint64("strict.seed", 1, "the first seed of TestStrictSimulation")
	strictSeeds = flag.Uint64("strict.seeds", 1, "how many seeds TestStrictSimulation tries")
	strictFor   = flag.Duration("strict.for", time.Minute, "how much time of a cluster each of them takes")
)

// A archive is what the calls of a simulation change, outside of the cluster. It refuses what
// comes with an older token than it has seen.
type archive struct {
	mu    sync.Mutex
	start time.Time
	rand  *rand.Rand    // guarded by mu, as all below
	runs  []*archiveRun // of calls
	loads []*archiveRun // of caches
	cells map[worker.ID]*archiveCell
}

// A archiveCell is what the archive has of one id.
type archiveCell struct {
	token   worker.Token  // the highest that was accepted
	written int64         // the version of what caches load
	floor   int64         // the highest version of which a client knows that no older one is answered
	counted map[int64]int // how often each call was accepted
}

// A archiveRun is one run of a call, or a load.
type archiveRun struct {
	id         worker.ID
	call       int64
	node       string
	token      worker.Token
	start, end time.Duration
	answered   bool
}

func (l *archive) cell(id worker.ID) *archiveCell {
	c := l.cells[id]
	if c == nil {
		c = &archiveCell{counted: map[int64]int{}}
		l.cells[id] = c
	}
	return c
}

// between returns a random duration.
func (l *archive) between(from, to time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return from + time.Duration(l.rand.Int64N(int64(to-from)))
}

func (l *archive) chance(n int) bool { return l.pick(n) == 0 }

func (l *archive) pick(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rand.IntN(n)
}

// pause returns how long a run takes: sometimes longer than a lease.
func (l *archive) pause() time.Duration {
	if l.chance(4) {
		return l.between(time.Second, 7*time.Second)
	}
	return l.between(0, 50*time.Millisecond)
}

// count is a call: it counts in the archive.
func (l *archive) count(ctx context.Context, node string, id worker.ID, message worker.Value) (worker.Value, error) {
	call, _ := message.Int()
	r := &archiveRun{id: id, call: call, node: node, token: worker.TokenOf(ctx), start: time.Since(l.start)}
	clock.Sleep(context.Background(), l.pause()) // as a program that knows nothing of the end of its context
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.cell(id)
	refused := r.token.Compare(c.token) < 0
	if !refused {
		c.token = r.token
		c.counted[call]++
	}
	r.end = time.Since(l.start)
	l.runs = append(l.runs, r)
	if refused {
		return worker.Value{}, errors.New("an older token")
	}
	return worker.IntValue(int64(len(l.runs))), nil
}

// load is the source of a cache: it reads what the id's cell has, and takes its time before that
// or after.
func (l *archive) load(ctx context.Context, id worker.ID) (worker.Value, error) {
	if worker.TokenOf(ctx).IsZero() {
		return worker.Value{}, errors.New("no token")
	}
	r := &archiveRun{id: id, token: worker.TokenOf(ctx), start: time.Since(l.start)}
	clock.Sleep(ctx, l.pause())
	l.mu.Lock()
	n := l.cell(id).written
	l.mu.Unlock()
	clock.Sleep(ctx, l.pause()+l.pause())
	l.mu.Lock()
	defer l.mu.Unlock()
	r.end = time.Since(l.start)
	l.loads = append(l.loads, r)
	return worker.IntValue(n), nil
}

type archiveServer struct {
	l    *archive
	node string
	id   worker.ID
}

func (s archiveServer) Call(ctx context.Context, m worker.Value) (worker.Value, error) {
	return s.l.count(ctx, s.node, s.id, m)
}

// A strictWorld is five nodes of which three are voters, under faults.
type strictWorld struct {
	l     *archive
	names []string
	dir   string
	wg    sync.WaitGroup

	mu     sync.Mutex
	nodes  map[string]*Node // those that live; guarded by mu, as all below
	calls  int64            // that were made
	counts map[string]int   // of outcomes
	wrong  []string
}

func (w *strictWorld) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) < 20 {
		w.wrong = append(w.wrong, fmt.Sprintf("%v: ", time.Since(w.l.start))+fmt.Sprintf(format, args...))
	}
}

func (w *strictWorld) start(name string) {
	l := w.l
	n, err := Start(Config{
		Name: name, Cookie: testCookie, network: network.Host(name), Voters: w.names[:3], DataDir: filepath.Join(w.dir, name), Timing: Local,
		Kinds: map[string]worker.Kind{
			"count": worker.Serial{Strict: true, TTL: time.Minute, Timeout: 10 * time.Second, Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
				return archiveServer{l, name, id}, nil
			}},
			"cell": worker.Cache{Strict: true, TTL: 20 * time.Second, StaleWhileRevalidate: 10 * time.Second, Timeout: 15 * time.Second, Load: l.load},
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.fail("start %s: %v", name, err)
		return
	}
	w.mu.Lock()
	w.nodes[name] = n
	w.mu.Unlock()
	w.wg.Go(func() { _ = n.Join(n.ctx, w.names...) }) // until it succeeds, or the node ends
}

// stop ends a node, as SIGTERM does or as kill -9 does.
func (w *strictWorld) stop(name string, crashes bool) {
	w.mu.Lock()
	n := w.nodes[name]
	delete(w.nodes, name)
	w.mu.Unlock()
	switch {
	case n == nil:
	case crashes:
		crash(n)
	default:
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = n.Close(ctx)
	}
}

// any returns a node that lives, or nil.
func (w *strictWorld) any() *Node {
	name := w.names[w.l.pick(len(w.names))]
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[name]
}

// client calls and asks until ctx ends.
func (w *strictWorld) client(ctx context.Context) {
	for ctx.Err() == nil {
		id, n := worker.IntID(int64(w.l.pick(6))), w.any()
		if n == nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), w.l.between(time.Second, 8*time.Second))
		switch w.l.pick(4) {
		case 0:
			w.write(ctx, n, id)
		case 1:
			w.read(ctx, n, id)
		default:
			w.call(ctx, n, id)
		}
		cancel()
		time.Sleep(w.l.between(0, 100*time.Millisecond))
	}
}

func (w *strictWorld) call(ctx context.Context, n *Node, id worker.ID) {
	w.mu.Lock()
	w.calls++
	call := w.calls
	w.mu.Unlock()
	reply, err := n.Family("count").Call(ctx, id, worker.IntValue(call))
	outcome := OutcomeOf(err)
	l := w.l
	l.mu.Lock()
	ran, accepted := 0, l.cell(id).counted[call]
	for _, r := range l.runs {
		if r.call == call {
			ran++
			r.answered = err == nil || outcome == worker.OutcomeRan // by the handler, which refuses an older token
			if err == nil && r.token != reply.Token {
				w.fail("call %d of %s: token %v in the reply, and %v in the run", call, id, reply.Token, r.token)
			}
		}
	}
	l.mu.Unlock()
	w.mu.Lock()
	if err == nil {
		w.counts["calls answered"]++
	} else {
		w.counts["calls "+outcome.String()]++
	}
	w.mu.Unlock()
	switch {
	case err == nil && (ran != 1 || accepted != 1):
		w.fail("call %d of %s was answered, and ran %d times, %d accepted", call, id, ran, accepted)
	case err != nil && outcome == worker.OutcomeNotRun && ran > 0:
		w.fail("call %d of %s ran %d times, and has %v", call, id, ran, err)
	}
}

// write changes what caches load, and invalidates it.
func (w *strictWorld) write(ctx context.Context, n *Node, id worker.ID) {
	l := w.l
	l.mu.Lock()
	c := l.cell(id)
	c.written++
	version := c.written
	l.mu.Unlock()
	var err error
	if l.chance(2) {
		_, err = n.Family("cell").Invalidate(ctx, id)
	} else {
		_, err = n.Family("cell").Refresh(ctx, id)
	}
	if err == nil {
		l.mu.Lock()
		c.floor = max(c.floor, version)
		l.mu.Unlock()
	}
	w.note("invalidations", err)
}

func (w *strictWorld) note(what string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.counts[what]++
	} else {
		w.counts[what+" failed"]++
	}
}

func (w *strictWorld) read(ctx context.Context, n *Node, id worker.ID) {
	l := w.l
	l.mu.Lock()
	c := l.cell(id)
	floor := c.floor
	l.mu.Unlock()
	reply, err := n.Family("cell").Request(ctx, id)
	w.note("reads", err)
	if err != nil {
		return
	}
	got, _ := reply.Value.Int()
	if got < floor || reply.Degraded || reply.Token.IsZero() {
		w.fail("%s read version %d of %s from %s (cached %t, age %v), and %d was the oldest that may be answered", n.Self(), got, id, reply.Node, reply.Cached, reply.Age, floor)
	}
	l.mu.Lock()
	for _, r := range l.loads {
		r.answered = r.answered || !reply.Cached && r.id == id && r.token == reply.Token
	}
	c.floor = max(c.floor, got) // nobody reads an older one after this
	l.mu.Unlock()
}

// strike does something to the cluster, and undoes it.
func (w *strictWorld) strike() {
	l := w.l
	names := slices.Clone(w.names)
	l.mu.Lock()
	l.rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	l.mu.Unlock()
	switch l.pick(5) {
	case 0, 1: // some nodes end and start again
		crashes, some := l.chance(2), names[:1+l.pick(2)]
		var wg sync.WaitGroup
		for _, name := range some {
			wg.Go(func() {
				w.stop(name, crashes)
				time.Sleep(l.between(0, 4*time.Second))
				w.start(name)
			})
		}
		wg.Wait()
	case 2: // a split
		w.hold(names[:1+l.pick(4)], names, true)
	case 3: // some nodes do not hear, or are not heard
		w.hold(names[:1+l.pick(2)], names, false)
	case 4: // one pair
		w.hold(names[:1], names[1:2], l.chance(2))
	}
}

// hold has nothing arrive from some nodes at others for a while, or the other way round, or both.
func (w *strictWorld) hold(from, to []string, both bool) {
	reverse := w.l.chance(2)
	all := func(do func(from, to string)) {
		for _, a := range from {
			for _, b := range to {
				if slices.Contains(from, b) {
					continue
				}
				if both || !reverse {
					do(a, b)
				}
				if both || reverse {
					do(b, a)
				}
			}
		}
	}
	all(network.Hold)
	time.Sleep(w.l.between(500*time.Millisecond, 12*time.Second))
	all(network.Release)
}

// check looks at all runs when they have ended.
func (w *strictWorld) check() {
	w.checkOrder(w.l.runs)
	w.checkOrder(w.l.loads)
	for id, c := range w.l.cells {
		for call, n := range c.counted {
			if n > 1 {
				w.fail("call %d of %s was accepted %d times", call, id, n)
			}
		}
	}
}

func (w *strictWorld) checkOrder(all []*archiveRun) {
	byID := map[worker.ID][]*archiveRun{}
	for _, r := range all {
		byID[r.id] = append(byID[r.id], r)
	}
	for id, runs := range byID {
		tokens := map[worker.Token]bool{}
		slices.SortFunc(runs, func(a, b *archiveRun) int { return a.token.Compare(b.token) })
		var last *archiveRun // of those that were answered: the lease of another one may have ended
		for _, r := range runs {
			if tokens[r.token] {
				w.fail("two runs of %s with the token %v", id, r.token)
			}
			tokens[r.token] = true
			if last != nil && r.start < last.end {
				w.fail("a run of %s that was answered overlaps a later one: %+v and %+v", id, *last, *r)
			}
			if r.answered && (last == nil || r.end > last.end) {
				last = r
			}
		}
	}
}

// TestStrictSimulation runs whole nodes under faults, in false time: calls of strict kinds do not
// overlap, no answer is lost or counted twice, and no value is older than an invalidation. Package
// quorum tries more with the voters alone: clocks that drift, nodes that are paused.
func TestStrictSimulation(t *testing.T) {
	for seed := *strictSeed; seed < *strictSeed+*strictSeeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { simulateStrict(t, seed) })
		})
	}
}

func simulateStrict(t *testing.T, seed uint64) {
	host := testHost()
	w := &strictWorld{
		dir: t.TempDir(), nodes: map[string]*Node{}, counts: map[string]int{},
		l: &archive{start: time.Now(), rand: rand.New(rand.NewPCG(seed, 0)), cells: map[worker.ID]*archiveCell{}},
	}
	for i := range 5 {
		w.names = append(w.names, fmt.Sprintf("%d@%s", i+1, host))
	}
	for _, name := range w.names {
		time.Sleep(time.Microsecond) // as no two nodes start at once
		w.start(name)
	}
	time.Sleep(8 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() { w.client(ctx) })
	}
	for time.Since(w.l.start) < *strictFor {
		w.strike()
		time.Sleep(w.l.between(0, 6*time.Second))
	}
	time.Sleep(20 * time.Second)
	cancel()
	clients.Wait()
	t.Logf("%v in %v, %d runs", w.counts, time.Since(w.l.start), len(w.l.runs))
	clear(w.counts)
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Minute) // as each takes up to 12 s
	defer cancel()
	for id := range int64(6) { // all is well again
		for _, name := range w.names {
			n := w.nodes[name]
			if n == nil {
				continue // it did not start
			}
			w.call(ctx, n, worker.IntID(id))
			if _, err := n.Family("cell").Request(ctx, worker.IntID(id)); err != nil {
				w.fail("after all faults: request of %d from %s: %v", id, name, err)
			}
		}
	}
	if n := w.counts["calls answered"]; n != 6*len(w.names) {
		w.fail("after all faults: %v", w.counts)
	}
	for _, name := range w.names {
		w.stop(name, true)
	}
	w.wg.Wait()
	time.Sleep(10 * time.Second) // until all that runs has ended
	w.check()
	for _, wrong := range w.wrong {
		t.Error(wrong)
	}
}
