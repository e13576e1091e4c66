package node

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// TestStats follows the counts of two nodes through what happens to them.
func TestStats(t *testing.T) {
	t.Parallel()
	const size = 200_000
	large := func(context.Context, worker.ID) (worker.Value, error) {
		return worker.BytesValue(strings.Repeat("x", size)), nil
	}
	nodes := startCluster(t, 2, worker.Cache{TTL: time.Hour, Load: large})
	a, b := nodes[0], nodes[1]
	checkMembers(t, map[State]int{StateAlive: 2}, a, b)
	await(t, func() error { // that the session by which they have met is idle
		a.members.Pool().RetireIdle()
		if x, y := a.Stats().Sessions, b.Stats().Sessions; x+y > 0 {
			return fmt.Errorf("%d and %d sessions are left", x, y)
		}
		return nil
	})

	beforeA, beforeB := a.Stats(), b.Stats()
	if beforeA.BytesIn == 0 || beforeA.BytesOut == 0 {
		t.Errorf("the nodes have met without a byte: %+v", beforeA)
	}
	if _, err := a.Request(t.Context(), worker.IntID(1)); err != nil { // of b
		t.Fatal(err)
	}
	if n := a.Stats().BytesIn - beforeA.BytesIn; n < size || n > 2*size {
		t.Errorf("%d bytes came with a value of %d", n, size)
	}
	if n := b.Stats().BytesOut - beforeB.BytesOut; n < size || n > 2*size {
		t.Errorf("%d bytes went with a value of %d", n, size)
	}
	checkSessionCount(t, 1, a, b)

	client, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: testCookie})
	if err != nil {
		t.Fatal(err)
	}
	checkSessionCount(t, 2, a)
	client.Close()
	checkSessionCount(t, 1, a)

	for range 3 {
		if _, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: []byte("the cookie of another cluster")}); err == nil {
			t.Fatal("a client with another cookie is let in")
		}
	}
	await(t, func() error { // as they are told before they are counted
		if s := a.Stats(); s.Refused != 3 {
			return fmt.Errorf("%d refused, want 3", s.Refused)
		}
		return nil
	})
	if s := b.Stats(); s.Refused != 0 {
		t.Errorf("%d refused by the other node", s.Refused)
	}

	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := b.Stats(); s.HandedOver != 1 || s.HandOverLost != 0 { // to a, which owns all now
		t.Errorf("%d answers handed over, %d lost; want 1 and 0", s.HandedOver, s.HandOverLost)
	}
	if s := a.Stats(); s.HandedOver != 0 {
		t.Errorf("%d answers handed over by who got them", s.HandedOver)
	}
	checkMembers(t, map[State]int{StateAlive: 1}, a)
	checkSessionCount(t, 0, a, b)
}

// TestStatsOfCrash has a member fail: it keeps its slot.
func TestStatsOfCrash(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, 2, worker.Cache{})
	if _, err := nodes[0].Request(t.Context(), worker.IntID(1)); err != nil {
		t.Fatal(err)
	}
	crash(nodes[1])
	checkMembers(t, map[State]int{StateAlive: 1, StateFailed: 1}, nodes[0])
	checkSessionCount(t, 0, nodes[0])
}

func checkSessionCount(t *testing.T, want int, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		await(t, func() error {
			if s := n.Stats(); s.Sessions != want {
				return fmt.Errorf("%s has %d sessions, want %d", n.Self(), s.Sessions, want)
			}
			return nil
		})
	}
}

func checkMembers(t *testing.T, want map[State]int, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		await(t, func() error {
			if s := n.Stats(); !maps.Equal(s.Members, want) {
				return fmt.Errorf("%s has members %v, want %v", n.Self(), s.Members, want)
			}
			return nil
		})
	}
}
