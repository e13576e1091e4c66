package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
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

// TestAskedServerEnds has another node ask for the server of an id that is its own now,
// while this node still moves the workers of another kind: the server ends at once.
func TestAskedServerEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		why, release := make(chan worker.EndReason, 10), make(chan struct{})
		endScan := sync.OnceFunc(func() { close(release) })
		t.Cleanup(endScan)
		n.kinds.Host = slowHost{n.kinds.Host, func(string) { <-release }}
		kinds := map[string]worker.Kind{"first": orRandom(worker.Cache{TTL: time.Hour}), "second": worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) { return ending{why}, nil }}}
		if err := n.SetKinds(kinds); err != nil {
			t.Fatal(err)
		}
		id := worker.IntID(7)
		if _, err := n.Family("first").Request(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Family("second").Call(t.Context(), id, worker.Value{}); err != nil {
			t.Fatal(err)
		}
		name := placement.Name{Node: "2", Host: n.addr.Host}
		n.members.Learn(n.members.View(), []wire.Member{{Name: name.String(), Addr: placement.Addr{Name: name}.HostPort(), Incarnation: 1, State: wire.Alive}})
		await(t, func() error {
			if n.members.View().Acting(id).Self {
				return errors.New("the id has not moved")
			}
			return nil
		})
		synctest.Wait()
		select {
		case reason := <-why:
			t.Fatalf("the server has ended before anybody asked: %v", reason)
		default:
		}
		k := worker.Key{Kind: "second", ID: id}
		if !n.claims.Holds(k) {
			t.Error("no server is held, though it has yet to end")
		}
		synctest.Wait()
		select {
		case reason := <-why:
			if reason != worker.EndMoved {
				t.Errorf("the server ended: %v", reason)
			}
		default:
			t.Error("the server has not ended")
		}
		if n.claims.Holds(k) {
			t.Error("a server is held that has ended")
		}
	})
}

// A slowHost waits before it takes answers of a kind.
type slowHost struct {
	registry.Host
	wait func(kind string)
}

func (h slowHost) HandOff(list []registry.Answer) { h.wait(list[0].Kind) }
