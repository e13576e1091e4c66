package node

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A ledger is what the servers of all nodes of a test share, as they would a database. It
// tells if two of them work on one id at once.
type ledger struct {
	servers [20]atomic.Int32 // that live, by id
	runs    [20]atomic.Int32 // that are in progress
	sum     [20]int          // of what was added; the calls for an id are to be serial
	overlap atomic.Int32
}

type teller struct {
	*ledger
	id int64
}

func (l *ledger) start(_ context.Context, id worker.ID) (*teller, error) {
	n := num(id)
	if l.servers[n].Add(1) != 1 {
		l.overlap.Add(1)
	}
	return &teller{l, n}, nil
}

func (c *teller) Call(_ context.Context, add int) (int, error) {
	if c.runs[c.id].Add(1) != 1 {
		c.overlap.Add(1)
	}
	before := c.sum[c.id]
	time.Sleep(time.Duration(rand.IntN(16)) * time.Millisecond)
	c.sum[c.id] = before + add
	c.runs[c.id].Add(-1)
	return c.sum[c.id], nil
}

func (c *teller) Terminate(context.Context, worker.EndReason) { c.servers[c.id].Add(-1) }

// A plainTeller has nothing to do at its end. It remembers the sum, and tells if another
// server has changed that: then it has come back though it has ended.
type plainTeller struct {
	teller *teller
	sum    int // -1 before the first call
}

func (l *ledger) startPlain(_ context.Context, id worker.ID) (*plainTeller, error) {
	return &plainTeller{&teller{l, num(id)}, -1}, nil
}

func (c *plainTeller) Call(ctx context.Context, add int) (sum int, err error) {
	if t := c.teller; c.sum >= 0 && c.sum != t.sum[t.id] {
		t.overlap.Add(1)
	}
	c.sum, err = c.teller.Call(ctx, add)
	return c.sum, err
}

// callAll has many callers, each at one of the nodes, add to random ids until stop, and
// checks the sums.
func (l *ledger) callAll(t *testing.T, callers int, nodes func() []*Node, during func()) (calls int) {
	t.Helper()
	var want [20]atomic.Int64
	var stop atomic.Bool
	var total atomic.Int64
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for !stop.Load() {
				all := nodes()
				n, id := all[i%len(all)], rand.Int64N(20)
				if _, err := Call[int](t.Context(), n.Family(worker.DefaultKind), worker.IntID(id), 1); err != nil {
					t.Errorf("call(%d) at %s: %v (%v)", id, n.Self(), err, OutcomeOf(err))
					return
				}
				want[id].Add(1)
				total.Add(1)
			}
		})
	}
	during()
	stop.Store(true)
	wg.Wait()
	for id := range want {
		if got := int64(l.sum[id]); got != want[id].Load() {
			t.Errorf("id %d: %d calls have counted %d", id, want[id].Load(), got)
		}
	}
	if n := l.overlap.Load(); n > 0 {
		t.Errorf("%d times there were two at once", n)
	}
	return int(total.Load())
}

type echoServer struct{}

func (echoServer) Call(_ context.Context, message worker.Value) (worker.Value, error) {
	return message, nil
}

// A serverFunc is a server without state.
type serverFunc func(context.Context, worker.Value) (worker.Value, error)

func (f serverFunc) Call(ctx context.Context, message worker.Value) (worker.Value, error) {
	return f(ctx, message)
}

// A sourceServer does for a message what a source does for a value.
type sourceServer worker.Source

func (s sourceServer) Call(ctx context.Context, _ worker.Value) (worker.Value, error) {
	return s(ctx, worker.ID{})
}

// An ending server says why it ends.
type ending struct{ why chan worker.EndReason }

func (e ending) Call(context.Context, worker.Value) (worker.Value, error) { return worker.Value{}, nil }

func (e ending) Terminate(_ context.Context, why worker.EndReason) { e.why <- why }

func gatedKind(begun, release chan struct{}) worker.Serial {
	return worker.Serial{Timeout: time.Minute, Open: func(context.Context, worker.ID) (worker.Server, error) {
		return gatedServer{begun, release}, nil
	}}
}

type gatedServer struct{ begun, release chan struct{} }

func (s gatedServer) Call(_ context.Context, message worker.Value) (worker.Value, error) {
	s.begun <- struct{}{}
	<-s.release
	return message, nil
}
