package members

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/wire"
)

// TestAwaitClusterWakes has a node that is alone wait for its cluster: each event that
// ends the wait wakes it at once.
func TestAwaitClusterWakes(t *testing.T) {
	t.Parallel()
	taken := func(n *testNode) wire.Member {
		return wire.Member{Name: n.Addr.Name.String(), Addr: "127.0.0.1:1", Incarnation: 1}
	}
	for what, event := range map[string]func(*testNode){
		"Join ends": func(n *testNode) {
			if err := n.Join(context.Background(), n.Addr.Name.String()); err != nil {
				t.Error(err)
			}
		},
		"a Join with names ends": func(n *testNode) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if n.Join(ctx, "2@127.0.0.1:1") == nil {
				t.Error("joined nobody")
			}
		},
		"another node is met": func(n *testNode) {
			n.currentGossip().Learn([]wire.Member{{Name: "2@127.0.0.1", Addr: "127.0.0.1:1", Incarnation: 1}})
			await(t, func() error {
				if len(n.View().Peers) < 2 {
					return errors.New("the member is not in the view")
				}
				return nil
			})
		},
		"a node refuses this one": func(n *testNode) {
			n.noteRefusal(&wire.Error{Code: wire.NameTaken, Members: []wire.Member{taken(n)}})
		},
		"this node gives way": func(n *testNode) {
			n.host = lasting{n}
			n.giveWay(taken(n), true)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			n := start(t, "1@"+testHost())
			n.joinsBy.Store(int64(n.Clock.Now() + time.Hour))
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if n.AwaitCluster(ctx) {
				t.Fatal("the wait is over before the event")
			}
			changed := n.nextChange()
			event(n)
			if !clock.IsDone(changed) || !n.AwaitCluster(t.Context()) {
				t.Error("nobody is woken")
			}
		})
	}
}

// lasting is a node that does not leave the cluster when it is outranked.
type lasting struct{ *testNode }

func (lasting) Outranked() {}
