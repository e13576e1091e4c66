package node

import (
	"errors"
	"testing"
	"time"

	"github.com/distproc/distproc/wire"
)

// TestRights has nodes without a seat, and clients, ask what only members may.
func TestRights(t *testing.T) {
	n := startNode(t, "1@"+testHost(), Kind{TTL: time.Hour})
	member, former, other := stranger(n, 1), stranger(n, 1), stranger(n, 2)
	former.Incarnation++
	gone := stranger(n, 3)
	giveSeat(n, member)
	n.members.learn(n.members.swim(), []wire.Member{{Name: gone.Name, Addr: gone.Addr, Incarnation: gone.Incarnation, State: wire.Left}})
	if _, err := n.Request(t.Context(), IntID(8)); err != nil {
		t.Fatal(err)
	}
	third := stranger(n, 4)
	rumour := []wire.Member{{Name: third.Name, Addr: third.Addr, Incarnation: 1}}
	value := []handedOver{{ID: IntID(10), Data: "x", Left: time.Hour}}
	for _, c := range []struct {
		what  string
		hello wire.Hello
	}{
		{"stranger", other}, {"another start of a member", former}, {"client", clientHello()},
	} {
		s, err := dialAs(t, n, c.hello)
		if err != nil {
			t.Fatal(c.what, err)
		}
		client := c.hello.Role == wire.RoleClient
		if !client {
			if err := s.Do(t.Context(), opTell, tellMessage{List: rumour}, nil); err != nil {
				t.Error(c.what, err)
			}
			if n.members.view.Load().peer(Name{"stranger4", n.addr.Host}) != nil {
				t.Errorf("%s: what it tells of others counts", c.what)
			}
		}
		for op, args := range map[wire.Op]any{opHandOver: value, opPart: nil, opStop: key{ID: IntID(8)}} {
			if op == opStop && client {
				continue // clients have it as well
			}
			err := s.Do(t.Context(), op, args, nil)
			if err == nil || !client && (OutcomeOf(err) != NotRun || !errors.Is(err, wire.BadRequest)) {
				t.Errorf("%s: operation %d: %v", c.what, op, err)
			}
		}
		s.Close()
	}
	if live := n.registry.live(); live != 1 || n.members.parting() {
		t.Errorf("%d workers, want 1; parting %v", live, n.members.parting())
	}
	for what, hello := range map[string]wire.Hello{"member": member, "member that has left": gone} {
		s, err := dialAs(t, n, hello)
		if err != nil {
			t.Fatal(what, err)
		}
		if err := s.Do(t.Context(), opHandOver, value, nil); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		s.Close()
	}
}

// TestOperationNumbers has the numbers of operations, by which versions of this package understand each other: they
// stay, and new ones are appended.
func TestOperationNumbers(t *testing.T) {
	for i, op := range []wire.Op{
		opTell, opConnect, opOwner, opMembers, opWorkers, opInfo, opInspect, opStop, opPart, opDisconnect, opNodes, opWhy, opPing,
		opVia, opRetire, opHandOver, opRoll, opHolds, opKinds, opView, opInvalidate,
	} {
		if want := wire.Op(i + 1); op != want {
			t.Errorf("operation %d has the number %d", want, op)
		}
	}
}
