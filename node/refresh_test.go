package node

import (
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// TestRefreshWhileLeaving refreshes a value on a node that has handed it over already:
// the new value follows.
func TestRefreshWhileLeaving(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{TTL: time.Hour, Load: counter()})
		b := nodes[1]
		if _, err := nodes[0].Request(t.Context(), worker.IntID(1)); err != nil {
			t.Fatal(err)
		}
		b.leaving.Store(true)
		b.kinds.Leave(t.Context())
		b.flush(t.Context())
		time.Sleep(time.Millisecond) // a value of the same time would be as fresh
		fresh, err := nodes[0].Refresh(t.Context(), worker.IntID(1))
		if err != nil {
			t.Fatal(err)
		}
		b.Close(t.Context())
		awaitView(t, nodes[0], nodes[2])
		if reply, err := nodes[0].Request(t.Context(), worker.IntID(1)); err != nil || reply.Value != fresh.Value {
			t.Errorf("%+v, %v; want %s", reply, err, fresh.Value)
		}
	})
}
