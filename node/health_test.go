package node

import (
	"context"
	"testing"
	"time"
)

// TestStuckKind has the callers of one kind meet their deadlines: its node is stuck for that kind only.
func TestStuckKind(t *testing.T) {
	nodes := startCluster(t, 2, Kind{})
	kinds := map[string]Kind{"slow": {Timeout: 20 * time.Second, Source: func(ctx context.Context, _ ID) (Value, error) {
		<-ctx.Done()
		return Value{}, ctx.Err()
	}}}
	for _, n := range nodes {
		if err := n.SetKinds(kinds); err != nil {
			t.Fatal(err)
		}
	}
	p := nodes[0].members.view.Load().peer(nodes[1].addr.Name)
	for i := range int64(20) {
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		_, _ = nodes[0].Family("slow").Request(ctx, IntID(2*i+1))
		cancel()
		if p.health.stuck("slow") {
			break
		}
	}
	if !p.health.stuck("slow") || p.health.stuck("") || !p.health.anyStuck() {
		t.Errorf("stuck for slow %v, for the default kind %v, for any %v", p.health.stuck("slow"), p.health.stuck(""), p.health.anyStuck())
	}
	for i := range int64(10) {
		if reply, err := nodes[0].Request(t.Context(), IntID(101+2*i)); err != nil || reply.Degraded {
			t.Errorf("%+v, %v: its owner is well", reply, err)
		}
	}
	if !p.health.stuck("slow") {
		t.Error("the answers of one kind tell of another")
	}
	p.health.answered("slow")
	if p.health.doubt.Load() || p.health.anyStuck() {
		t.Error("an answer leaves doubts")
	}
}

// TestManyKinds has clients make up names.
func TestManyKinds(t *testing.T) {
	var hs healths
	for i := range int64(10 * maxHealths) {
		hs.of(IntID(i).String()).stuck.Store(true)
	}
	hs.doubt.Store(true)
	if n := len(hs.kinds); n > maxHealths+1 {
		t.Errorf("%d are kept", n)
	}
	hs.reset()
	if hs.anyStuck() {
		t.Error("stuck after a reset")
	}
}
