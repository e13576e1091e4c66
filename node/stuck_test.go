package node

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// TestStuckKind has the callers of one kind meet their deadlines: its node is stuck for
// that kind only.
func TestStuckKind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		kinds := map[string]worker.Kind{"slow": worker.Cache{Timeout: 20 * time.Second, Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}}}
		for _, n := range nodes {
			if err := n.SetKinds(kinds); err != nil {
				t.Fatal(err)
			}
		}
		p := nodes[0].members.View().Peer(nodes[1].addr.Name)
		for i := range int64(20) {
			ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
			_, _ = nodes[0].Family("slow").Request(ctx, worker.IntID(2*i+1))
			cancel()
			if p.Stuck("slow") {
				break
			}
		}
		if !p.Stuck("slow") || p.Stuck("") || !p.AnyStuck() {
			t.Errorf("stuck for slow %v, for the default kind %v, for any %v", p.Stuck("slow"), p.Stuck(""), p.AnyStuck())
		}
		const stuck = 10 * time.Second // less than the probe of a stuck node waits
		time.Sleep(stuck)
		list, err := nodes[0].Members(t.Context())
		if err != nil || list[1].State != StateStuck || list[1].Since < stuck || list[1].Since > stuck+time.Second || list[1].Kept != 0 {
			t.Errorf("%+v, %v", list, err)
		}
		for i := range int64(10) {
			if reply, err := nodes[0].Request(t.Context(), worker.IntID(101+2*i)); err != nil || reply.Degraded {
				t.Errorf("%+v, %v: its owner is well", reply, err)
			}
		}
		if !p.Stuck("slow") {
			t.Error("the answers of one kind tell of another")
		}
		page, err := nodes[0].Events(t.Context(), observe.EventQuery{})
		if err != nil || !slices.ContainsFunc(page.List, func(e observe.Event) bool {
			return e.What == "node stuck: it answers pings but no calls" && e.Node == nodes[1].Self() && e.Kind == "slow"
		}) {
			t.Errorf("no event says so: %v, %v", page.List, err)
		}
		p.RecordSuccess("slow")
		if p.Doubtful() || p.AnyStuck() {
			t.Error("an answer leaves doubts")
		}
	})
}
