package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
)

// An archive is what the calls of a simulation change, outside of the cluster. It refuses what
// comes with an older token than it has seen.
type archive struct {
	mu    sync.Mutex
	start time.Time
	rand  *rand.Rand    // guarded by mu, as all below
	runs  []*archiveRun // of calls
	loads []*archiveRun // of caches
	cells map[worker.ID]*archiveCell
}

// An archiveCell is what the archive has of one id.
type archiveCell struct {
	token   worker.Token  // the highest that was accepted
	written int64         // the version of what caches load
	floor   int64         // the highest version of which a client knows that no older one is answered
	counted map[int64]int // how often each call was accepted
}

// An archiveRun is one run of a call, or a load.
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
