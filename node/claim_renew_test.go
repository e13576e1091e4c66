package node

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
)

// A counted server counts those that live.
type countedServer struct {
	slowToEnd
	live *atomic.Int32
}

func (s countedServer) Terminate(ctx context.Context, why worker.EndReason) {
	s.slowToEnd.Terminate(ctx, why)
	s.live.Add(-1)
}

// TestBarrierRenewed has a member that has too many servers to tell of be out of reach for 4 s,
// when it is asked for them again: its servers are not forgotten.
func TestBarrierRenewed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host, release := testHost(), make(chan struct{})
		var lives [4 * (protocol.MaxHeld + 10)]atomic.Int32
		kind := worker.Serial{TTL: time.Hour, Timeout: time.Hour, Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
			l := &lives[num(id)]
			if l.Add(1) > 1 {
				t.Errorf("two servers of %s live", id)
			}
			return countedServer{slowToEnd{release: release}, l}, nil
		}}
		former := startNode(t, "1@"+host, kind)
		const servers = 3 * (protocol.MaxHeld + 10)
		for i := range int64(servers) {
			if _, err := former.Family("").Call(t.Context(), worker.IntID(i), worker.Value{}); err != nil {
				t.Fatal(err)
			}
		}
		n := startNode(t, "2@"+host, kind)
		third := startNode(t, "3@"+host, kind)
		for _, m := range []*Node{third, n} {
			if err := m.Join(t.Context(), former.Self()); err != nil {
				t.Fatal(err)
			}
		}
		awaitView(t, former, n, third)
		own := func(least int64) worker.ID {
			for i := least; ; i++ {
				if n.members.View().Acting(worker.IntID(i)).Self {
					return worker.IntID(i)
				}
			}
		}
		call := func(what string, id worker.ID, want bool) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := n.Family("").Call(ctx, id, worker.Value{}); (err == nil) != want {
				t.Errorf("%s: %v", what, err)
			}
		}
		held := own(10)
		call("an id that is new", own(servers+1), true)
		call("an id whose server has yet to end", held, false)
		time.Sleep(11 * time.Second)
		// The link is down for 4 s. Gossip goes on by way of the third.
		cutDials(n, former, true)
		for _, s := range n.pool.Live() {
			if s.Peer().Name == former.Self() {
				s.Close()
			}
		}
		call("in the cut", held, false)
		time.Sleep(3 * time.Second)
		network.Mend(n.name, former.addr.HostPort())
		network.Mend(former.name, n.addr.HostPort())
		time.Sleep(5 * time.Second)
		awaitView(t, former, n, third)
		if _, err := n.Ping(t.Context(), former.Self()); err != nil {
			t.Fatal(err)
		}
		call("after the cut", held, false)
		close(release)
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}
