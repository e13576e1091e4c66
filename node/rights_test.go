package node

import (
	"errors"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestRights has nodes without a slot, and clients, ask what only members may.
func TestRights(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{TTL: time.Hour})
		member, former, other := stranger(n, 1), stranger(n, 1), stranger(n, 2)
		former.Incarnation++
		gone := stranger(n, 3)
		giveSlot(n, member)
		n.members.Learn(n.members.View(), []wire.Member{{Name: gone.Name, Addr: gone.Addr, Incarnation: gone.Incarnation, State: wire.Left}})
		if _, err := n.Request(t.Context(), worker.IntID(8)); err != nil {
			t.Fatal(err)
		}
		third := stranger(n, 4)
		rumour := []wire.Member{{Name: third.Name, Addr: third.Addr, Incarnation: 1}}
		value := []registry.Answer{{ID: worker.IntID(10), Data: "x", Left: time.Hour}}
		for _, c := range []struct {
			what  string
			hello wire.Hello
		}{
			{"stranger", other}, {"another start of a member", former}, {"client", protocol.ClientHello()},
		} {
			s, err := dialAs(t, n, c.hello)
			if err != nil {
				t.Fatal(c.what, err)
			}
			client := c.hello.Role == wire.RoleClient
			if !client {
				if err := s.Do(t.Context(), protocol.OpSync, protocol.Sync{List: rumour}, nil); err != nil {
					t.Error(c.what, err)
				}
				if n.members.View().Peer(placement.Name{Node: "stranger4", Host: n.addr.Host}) != nil {
					t.Errorf("%s: what it tells of others counts", c.what)
				}
			}
			for op, args := range map[wire.Op]any{protocol.OpHandOff: value, protocol.OpAnswers: []byte{}, protocol.OpDetach: nil, protocol.OpStop: worker.Key{ID: worker.IntID(8)}, protocol.OpForceStop: worker.Key{ID: worker.IntID(8)}, protocol.OpTrace: observe.TraceQuery{Key: worker.Key{ID: worker.IntID(8)}}} {
				if (op == protocol.OpStop || op == protocol.OpForceStop || op == protocol.OpTrace) && client {
					continue // clients have it as well
				}
				err := s.Do(t.Context(), op, args, nil)
				if err == nil || !client && (OutcomeOf(err) != worker.OutcomeNotRun || !errors.Is(err, wire.BadRequest)) {
					t.Errorf("%s: operation %d: %v", c.what, op, err)
				}
			}
			s.Close()
		}
		if live := live(n.kinds.Of("")); live != 1 || n.members.Detaching() {
			t.Errorf("%d workers, want 1; parting %v", live, n.members.Detaching())
		}
		for what, hello := range map[string]wire.Hello{"member": member, "member that has left": gone} {
			name, _ := placement.ParseName(hello.Name)
			await(t, func() error { // for the end of the session of another start, which would be kept as the later one
				if s := n.pool.Peer(name).Session(); s != nil && s.Err() == nil {
					return errors.New("the session has yet to end")
				}
				return nil
			})
			s, err := dialAs(t, n, hello)
			if err != nil {
				t.Fatal(what, err)
			}
			if err := s.Do(t.Context(), protocol.OpHandOff, value, nil); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			s.Close()
		}
	})
}
