package quorum

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
)

var (
	simSeed = flag.Uint64("sim.seed", 1, "the first seed of the simulation")
	simFor  = flag.Duration("sim.for", 3*time.Minute, "for how long of the cluster's time each seed is run")
	simRuns = flag.Int("sim.seeds", 4, "how many seeds are run")
	simLog  = flag.Bool("sim.log", false, "show what the nodes log")
)

const simIDs = 12

// TestSimulation runs a cluster of real quorums through random faults, and looks at all that
// ran.
func TestSimulation(t *testing.T) {
	for seed := *simSeed; seed < *simSeed+uint64(*simRuns); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
}

func simulate(t *testing.T, seed uint64) {
	w := newWorld(t, seed, "1@h", "2@h", "3@h")
	if *simLog {
		w.showLog()
	}
	names := []string{"1@h", "2@h", "3@h", "4@h", "5@h"}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, name := range names {
		w.boot(name)
		wg.Go(func() { w.load(ctx, name) })
	}
	time.Sleep(15 * time.Second)
	faults, calm := context.WithTimeout(ctx, *simFor)
	var f sync.WaitGroup
	for _, name := range names {
		f.Go(func() { w.trouble(faults, name) })
	}
	f.Wait()
	calm()
	w.calm.Store(true)
	w.mu.Lock()
	clear(w.cut)
	w.mu.Unlock()
	time.Sleep(40 * time.Second)
	w.agree(names)
	stop()
	wg.Wait()
	for _, name := range names {
		w.nodes[name].kill()
	}
	time.Sleep(time.Minute)
	found := w.history.check()
	t.Logf("seed %d: %+v", seed, found)
	if found.bad() || found.Answered == 0 {
		t.Errorf("seed %d: %+v", seed, found)
	}
}

// showLog shows what the nodes log.
func (w *world) showLog() {
	w.log = slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Duration("t", w.now())
		}
		return a
	}}))
}

// load has the node that has a name run calls of random ids.
func (w *world) load(ctx context.Context, name string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		time.Sleep(time.Duration(w.float() * float64(100*time.Millisecond)))
		w.mu.Lock()
		n, id := w.nodes[name], worker.IntID(w.rand.Int64N(simIDs))
		d := time.Duration(w.rand.Float64() * float64(30*time.Millisecond))
		switch x := w.rand.IntN(40); {
		case x > 37:
			d = time.Duration(w.rand.Float64() * float64(16*time.Second))
		case x > 33:
			d = time.Duration(w.rand.Float64() * float64(3*time.Second))
		}
		late := time.Duration(0)
		if w.rand.IntN(10) == 0 {
			late = time.Duration(w.rand.Float64() * float64(8*time.Second))
		}
		w.mu.Unlock()
		if n != nil && n.awake(n.ctx) {
			wg.Go(func() { n.run(id, late, d) })
		}
	}
}

// trouble makes faults of one node until ctx ends, and then has it run.
func (w *world) trouble(ctx context.Context, name string) {
	seconds := func(most float64) time.Duration { return time.Duration(w.float() * most * float64(time.Second)) }
	for ctx.Err() == nil {
		time.Sleep(seconds(20))
		w.mu.Lock()
		n, x := w.nodes[name], w.rand.IntN(16)
		w.mu.Unlock()
		switch {
		case x < 4:
			n.paused.Store(int64(w.now() + seconds(12)))
		case x < 8: // cut off from some, one way or both
			var cut [][2]string
			w.mu.Lock()
			way := w.rand.IntN(3)
			for other := range w.nodes {
				if other == name || w.rand.IntN(3) == 0 {
					continue
				}
				if way != 1 {
					cut = append(cut, [2]string{name, other})
				}
				if way != 2 {
					cut = append(cut, [2]string{other, name})
				}
			}
			for _, c := range cut {
				w.cut[c] = true
			}
			w.mu.Unlock()
			time.Sleep(seconds(12))
			w.mu.Lock()
			for _, c := range cut {
				delete(w.cut, c)
			}
			w.mu.Unlock()
		case x < 11:
			n.kill()
			time.Sleep(seconds([]float64{0.01, 2, 10}[x-8]))
			w.boot(name)
		case x < 14:
			leave, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			_ = n.q.Leave(leave)
			cancel()
			n.kill()
			time.Sleep(seconds(6))
			w.boot(name)
		default:
			if n.q.voter != nil {
				n.q.voter.stepDown(context.Background())
			}
		}
	}
}

// agree checks that all nodes have the same view, and each id one place.
func (w *world) agree(names []string) {
	w.t.Helper()
	for i := range simIDs {
		id, places := worker.IntID(int64(i)), 0
		for _, name := range names {
			n := w.nodes[name]
			if err := n.q.Await(context.Background(), worker.Key{ID: id}); err == nil {
				places++
			}
		}
		if places != 1 {
			w.t.Errorf("id %v has %d places", id, places)
		}
	}
	for _, name := range names {
		r := w.nodes[name].q.Rights()
		if len(r.views) != 1 || len(r.Newest().Seats) != len(names) {
			w.t.Errorf("%s has views %v", name, r.views)
		}
	}
}
