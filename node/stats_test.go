package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// TestStats follows the counts of two nodes through what happens to them.
func TestStats(t *testing.T) {
	bubble(t, func(t *testing.T) {
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

		client, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		checkSessionCount(t, 2, a)
		client.Close()
		checkSessionCount(t, 1, a)

		for range 3 {
			if _, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: []byte("the cookie of another cluster"), network: memory}); err == nil {
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
		if s := b.Stats(); s.HandedOff != 1 || s.HandOffLost != 0 { // to a, which owns all now
			t.Errorf("%d answers handed off, %d lost; want 1 and 0", s.HandedOff, s.HandOffLost)
		}
		if s := a.Stats(); s.HandedOff != 0 {
			t.Errorf("%d answers handed off by who got them", s.HandedOff)
		}
		checkMembers(t, map[State]int{StateAlive: 1}, a)
		checkSessionCount(t, 0, a, b)
	})
}

// TestStatsOfCrash has a member fail: it keeps its slot.
func TestStatsOfCrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		if _, err := nodes[0].Request(t.Context(), worker.IntID(1)); err != nil {
			t.Fatal(err)
		}
		crash(nodes[1])
		checkMembers(t, map[State]int{StateAlive: 1, StateFailed: 1}, nodes[0])
		checkSessionCount(t, 0, nodes[0])
	})
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

// TestKindStats follows the counts of a kind on two nodes through what its requests come
// to.
func TestKindStats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := func(_ context.Context, id worker.ID) (worker.Value, error) {
			if num(id) < 0 {
				return worker.Value{}, errors.New("no such id")
			}
			time.Sleep(3 * time.Millisecond)
			return worker.IntValue(num(id)), nil
		}
		nodes := startCluster(t, 2, worker.Cache{TTL: time.Hour, Load: source})
		a, b := nodes[0], nodes[1]
		for _, id := range []int64{0, 0, 0, 1, 1, -1, -2, -2} { // the even ones are a's
			_, _ = a.Request(t.Context(), worker.IntID(id))
		}
		check := func(n *Node, want string) {
			t.Helper()
			s := n.Stats().Kinds[0]
			got := fmt.Sprintf("local %d remote %d degraded %d failed %v latency %d loads %d errors %d workers %d expired %d",
				s.Local, s.Remote, s.Degraded, s.Failed, total(s.Latency), total(s.Loads), s.LoadErrs, s.Workers, s.Expired)
			if got != want {
				t.Errorf("%s: %s\nwant %s", n.Self(), got, want)
			}
		}
		check(a, "local 3 remote 2 degraded 0 failed map[source failed:3] latency 8 loads 3 errors 2 workers 1 expired 0")
		client, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for _, id := range []int64{0, 4, 1} { // which a has, has not yet, and gets from b
			if _, err := client.Request(t.Context(), worker.IntID(id)); err != nil {
				t.Error(err)
			}
		}
		check(a, "local 5 remote 3 degraded 0 failed map[source failed:3] latency 11 loads 4 errors 2 workers 2 expired 0")
		check(b, "local 0 remote 0 degraded 0 failed map[] latency 0 loads 2 errors 1 workers 1 expired 0")
		s := a.Stats().Kinds[0]
		if s.Latency.Counts[0] < 2 || s.Latency.Sum < 6*time.Millisecond || s.Loads.Sum < 3*time.Millisecond {
			t.Errorf("%+v: want 2 hits that took no time, and two loads of 3 ms", s)
		}
		crash(b)
		if _, err := a.Request(t.Context(), worker.IntID(3)); err != nil {
			t.Fatal(err)
		}
		if s := a.Stats().Kinds[0]; s.Degraded != 1 && s.Local != 6 { // the latter if the crash was seen by then
			t.Errorf("%+v, want a degraded answer", s)
		}
	})
}

func total(h worker.Histogram) (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}
