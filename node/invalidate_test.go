package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
)

// TestInvalidateEverywhere invalidates from each member and client. Values that members
// other than the owner have go as well.
func TestInvalidateEverywhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{TTL: time.Hour, Load: counter()})
		client, err := Attach(t.Context(), ClientConfig{Node: nodes[2].Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		id := worker.IntID(1)
		for name, via := range map[string]interface {
			Invalidate(context.Context, worker.ID) (bool, error)
			Request(context.Context, worker.ID) (worker.Reply, error)
		}{"owner": nodes[1], "other": nodes[0], "client": client, "family": client.Family(worker.DefaultKind)} {
			id = worker.IntID(num(id) + 3) // the second's
			before, err := via.Request(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range nodes {
				n.kinds.Of("").Adopt([]registry.Answer{{ID: id, Data: "degraded", Left: time.Hour}}) // as if the owner had been out of reach
				if !n.kinds.Of("").Inspect(id).Live {
					t.Fatal("there is no value to invalidate")
				}
			}
			if had, err := via.Invalidate(t.Context(), id); !had || err != nil {
				t.Errorf("%s: %v, %v", name, had, err)
			}
			for _, n := range nodes {
				if n.kinds.Of("").Inspect(id).Live {
					t.Errorf("%s: a value is left at %s", name, n.Self())
				}
			}
			if had, err := via.Invalidate(t.Context(), id); had || err != nil {
				t.Errorf("%s, again: %v, %v", name, had, err)
			}
			if after, err := via.Request(t.Context(), id); err != nil || after.Cached || after.Value == before.Value {
				t.Errorf("%s: %+v after %+v, %v", name, after, before, err)
			}
		}
		if _, err := nodes[0].Family("none").Invalidate(t.Context(), id); !errors.Is(err, ErrUnknownKind) {
			t.Error(err)
		}
	})
}
