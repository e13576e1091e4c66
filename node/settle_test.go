package node

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/distproc/distproc/node/worker"
)

// Nodes that differ about who is a member, for a moment or for long.

// TestManySettle has hundreds of calls at once whose caller alone takes a member for
// failed: all get the answer of that, and the session to who says so is none the worse.
func TestManySettle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		a := nodes[0]
		for id := range int64(3) {
			if _, err := a.Request(t.Context(), worker.IntID(id)); err != nil {
				t.Fatal(err)
			}
		}
		v := a.members.View()
		odd := a.members.PretendFailed(v.Peers[1])
		session := v.Peers[2].Session()
		var wg sync.WaitGroup
		var bad atomic.Int64
		for i := range int64(3000) {
			if id := worker.IntID(3*i + 1); !odd.Acting(id).Self {
				wg.Go(func() {
					if reply, err := a.Request(t.Context(), id); err != nil || reply.Degraded || reply.Node != nodes[1].Self() {
						bad.Add(1)
					}
				})
			}
		}
		wg.Wait()
		if n := bad.Load(); n > 0 || session.Err() != nil {
			t.Errorf("%d calls went wrong, the session to %s: %v", n, nodes[2].Self(), session.Err())
		}
	})
}

// TestManyOperations asks a peer for more operations at once than it serves: they wait
// for one another.
func TestManyOperations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		var wg sync.WaitGroup
		var bad atomic.Int64
		for i := range int64(600) {
			wg.Go(func() {
				if _, err := nodes[0].Stop(t.Context(), worker.IntID(2*i+1)); err != nil {
					bad.Add(1)
				}
			})
		}
		wg.Wait()
		if n := bad.Load(); n > 0 {
			t.Errorf("%d of 600 failed", n)
		}
	})
}

// TestSettle has a caller and the fallback differ about who has failed: the call is
// answered all the same.
func TestSettle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		a := nodes[0]
		v := a.members.View()
		for i := range int64(9) {
			a.members.PretendFailed(v.Peers[1]) // and nobody else takes it for failed
			reply, err := a.Request(t.Context(), worker.IntID(3*i+1))
			if err != nil {
				t.Fatal(err)
			}
			if stand := a.members.View().Acting(worker.IntID(3*i + 1)); !stand.Self && (reply.Degraded || reply.Node != nodes[1].Self()) {
				t.Errorf("request(%d) = %+v, want the answer of %s, as %s says", 3*i+1, reply, nodes[1].Self(), stand.Name)
			}
		}
	})
}
