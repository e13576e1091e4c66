package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// TestTimeLimit has a source that takes long: a call with a time limit gives up when that
// is over, at the owner as well as by way of other nodes and of clients, and one context
// is enough for all of them.
func TestTimeLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		endless := func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}
		nodes := startCluster(t, 2, worker.Cache{Load: endless, Timeout: time.Minute})
		ways := map[string]func(context.Context, worker.ID) (worker.Reply, error){"node": nodes[0].Request}
		for name, direct := range map[string]bool{"client": false, "direct client": true} {
			c, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie, network: memory, Direct: direct})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ways[name] = c.Request
		}
		ctx := worker.WithTimeLimit(context.Background(), time.Second)
		for name, request := range ways {
			for id := range int64(2) {
				began := time.Now()
				_, err := request(ctx, worker.IntID(id))
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took < time.Second || took > 1100*time.Millisecond {
					t.Errorf("%s, id %d: %v after %v, want a timeout after a second", name, id, err, took)
				}
			}
		}
	})
}
