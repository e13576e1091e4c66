package node

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestRights has nodes without a seat, and clients, ask what only members may.
func TestRights(t *testing.T) {
	n := startNode(t, "1@"+testHost(), worker.Cache{TTL: time.Hour})
	member, former, other := stranger(n, 1), stranger(n, 1), stranger(n, 2)
	former.Incarnation++
	gone := stranger(n, 3)
	giveSeat(n, member)
	n.members.learn(n.members.swim(), []wire.Member{{Name: gone.Name, Addr: gone.Addr, Incarnation: gone.Incarnation, State: wire.Left}})
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
			if n.members.view.Load().peer(placement.Name{Node: "stranger4", Host: n.addr.Host}) != nil {
				t.Errorf("%s: what it tells of others counts", c.what)
			}
		}
		for op, args := range map[wire.Op]any{opHandOver: value, opPart: nil, opStop: worker.Key{ID: worker.IntID(8)}} {
			if op == opStop && client {
				continue // clients have it as well
			}
			err := s.Do(t.Context(), op, args, nil)
			if err == nil || !client && (OutcomeOf(err) != worker.OutcomeNotRun || !errors.Is(err, wire.BadRequest)) {
				t.Errorf("%s: operation %d: %v", c.what, op, err)
			}
		}
		s.Close()
	}
	if live := live(n.registry); live != 1 || n.members.parting() {
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
		opVia, opRetire, opHandOver, opRoll, opHolds, opKinds, opView, opInvalidate, opAlone,
	} {
		if want := wire.Op(i + 1); op != want {
			t.Errorf("operation %d has the number %d", want, op)
		}
	}
}

// TestSoon looks again and again, for as long as there is hope.
func TestSoon(t *testing.T) {
	for _, c := range []struct {
		what     string
		finds    int           // this look finds it; 0: none does
		ends     time.Duration // of the context; 0: it does not
		want     bool
		wantTook time.Duration
	}{
		{what: "at once", finds: 1, want: true},
		{what: "at the third look", finds: 3, want: true, wantTook: 750 * time.Millisecond},
		{what: "at the last", finds: 4, want: true, wantTook: 1750 * time.Millisecond},
		{what: "never", wantTook: 1750 * time.Millisecond},
		{what: "too late", finds: 3, ends: 500 * time.Millisecond, wantTook: 500 * time.Millisecond},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(c.ends, time.Hour))
				defer cancel()
				looks, start := 0, time.Now()
				got := soon(ctx, func() bool { looks++; return looks == c.finds })
				if took := time.Since(start); got != c.want || took != c.wantTook {
					t.Errorf("%v after %v, want %v after %v", got, took, c.want, c.wantTook)
				}
			})
		})
	}
}
