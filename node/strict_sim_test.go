package node

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

var (
	strictSeed  = flag.Uint64("strict.seed", 1, "the first seed of TestStrictSimulation")
	strictSeeds = flag.Uint64("strict.seeds", 1, "how many seeds TestStrictSimulation tries")
	strictFor   = flag.Duration("strict.for", time.Minute, "how much time of a cluster each of them takes")
)

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
	w.l.mu.Lock() // a run may go on
	runs := len(w.l.runs)
	w.l.mu.Unlock()
	t.Logf("%v in %v, %d runs", w.counts, time.Since(w.l.start), runs)
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

// check looks at all runs when they have ended.
func (w *strictWorld) check() {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
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
