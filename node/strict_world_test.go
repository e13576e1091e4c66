package node

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/worker"
)

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
