package node

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestFollowNewest starts a server under a view while the node still moves workers
// because of the view before, in which the id was another node's: the server lives on.
func TestFollowNewest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		why := make(chan worker.EndReason, 10)
		kinds := map[string]worker.Kind{"first": orRandom(worker.Cache{}), "second": worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) { return ending{why}, nil }}, "third": orRandom(worker.Cache{})}
		// Kinds are gone through by name: "first" holds up the scan for the view before, and
		// "third" the next scan.
		stuck, release, late := make(chan struct{}), make(chan struct{}), make(chan struct{})
		endScan, endLate := sync.OnceFunc(func() { close(release) }), sync.OnceFunc(func() { close(late) })
		t.Cleanup(func() { endScan(); endLate() }) // Close waits for the scans, also when the test has failed
		n.kinds.Host = slowHost{n.kinds.Host, func(kind string) {
			if kind == "first" {
				close(stuck)
				<-release
				return
			}
			select {
			case <-stuck:
				<-late
			default: // the scan of the node's start is under way, and has gone through "first" already
			}
		}}
		if err := n.SetKinds(kinds); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"first", "third"} {
			if _, err := n.Family(kind).Request(t.Context(), worker.IntID(7)); err != nil {
				t.Fatal(err)
			}
		}
		name := placement.Name{Node: "2", Host: n.addr.Host}
		var learning sync.WaitGroup
		learn := func(state wire.MemberState, members int) {
			member := wire.Member{Name: name.String(), Addr: placement.Addr{Name: name}.HostPort(), Incarnation: 1, State: state}
			learning.Go(func() { n.members.Learn(n.members.View(), []wire.Member{member}) })
			await(t, func() error {
				if got := len(n.members.View().Peers); got != members {
					return fmt.Errorf("%d members, want %d", got, members)
				}
				return nil
			})
		}
		learn(wire.Alive, 2) // 7 is the other one's
		<-stuck
		learn(wire.Left, 1) // 7 is this node's
		if _, err := n.Family("second").Call(t.Context(), worker.IntID(7), worker.Value{}); err != nil {
			t.Error(err)
		}
		endScan()
		select {
		case reason := <-why:
			t.Errorf("the server has ended: %v", reason)
		case <-time.After(100 * time.Millisecond):
		}
		endLate()
		learning.Wait()
	})
}

// A slowHost waits before it takes answers of a kind.
type slowHost struct {
	registry.Host
	wait func(kind string)
}

func (h slowHost) HandOff(list []registry.Answer) { h.wait(list[0].Kind) }
