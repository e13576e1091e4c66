package node

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A sleeper is a server that sleeps for as long as its messages say. It tells if there
// are two.
type sleeper struct{ live, twice *atomic.Int32 }

func (s sleeper) Call(_ context.Context, millis int) (int, error) {
	time.Sleep(time.Duration(millis) * time.Millisecond)
	return millis, nil
}

func (s sleeper) Terminate(context.Context, worker.EndReason) { s.live.Add(-1) }

// TestSerialLostSession has a new owner lose its connection to the old one while that
// still runs a call. Both live, and a moment later they are connected again.
func TestSerialLostSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var live, twice atomic.Int32
		kind := worker.Serial{Open: worker.Serve(func(context.Context, worker.ID) (sleeper, error) {
			if live.Add(1) > 1 {
				twice.Add(1)
			}
			return sleeper{&live, &twice}, nil
		})}
		nodes := startCluster(t, 2, kind)
		const id = 5 // of the second of two, and of the third of three
		var wg sync.WaitGroup
		call := func(millis int) {
			wg.Go(func() {
				if _, err := Call[int](t.Context(), nodes[0].Family(""), worker.IntID(id), millis); err != nil {
					t.Errorf("call for %d ms: %v (%v)", millis, err, OutcomeOf(err))
				}
			})
		}
		call(2000)
		time.Sleep(200 * time.Millisecond)
		n3 := startNode(t, "3@"+nodes[0].addr.Host, kind)
		if err := n3.Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes[0], nodes[1], n3)
		call(1)
		time.Sleep(300 * time.Millisecond)
		for range 100 {
			for p, s := range nodes[1].members.Pool().Live() {
				if p.Name == n3.addr.Name {
					s.Shut()
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		wg.Wait()
		if twice.Load() > 0 {
			t.Error("there were two servers")
		}
	})
}

// TestFailedIsDialled has a node lose its session to a member that the cluster takes for
// failed, as it was slow. The member is asked for its servers all the same.
func TestFailedIsDialled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Serial{Open: worker.Serve(func(context.Context, worker.ID) (echoServer, error) { return echoServer{}, nil })})
		const id = 1 // of the second of two
		if _, err := Call[int](t.Context(), nodes[0].Family(""), worker.IntID(id), 1); err != nil {
			t.Fatal(err)
		}
		m := nodes[0].members
		p := m.Pool().Peer(nodes[1].addr.Name)
		m.PretendFailed(p)
		lost := p.Session()
		lost.Shut()
		for p.Session() == lost {
			runtime.Gosched() // the other one dials again in less than a millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := nodes[0].claims.Claim(ctx, worker.Key{Kind: worker.DefaultKind, ID: worker.IntID(id)}); err == nil {
			t.Errorf("%s may start a server, and %s has one", nodes[0].Self(), p.Text)
		}
	})
}
