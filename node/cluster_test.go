package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var testCookie = []byte("the cookie of the tests")

var hosts atomic.Int32

// testHost returns a loopback address of this test's own, so that nodes can have their usual ports.
func testHost() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid%250, pid/250%250, hosts.Add(1))
}

// testLog writes a node's log to the test's.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func startNode(t testing.TB, name string, kind Kind) *Node {
	t.Helper()
	n, err := Start(Config{
		Name: name, Cookie: testCookie, Default: kind,
		Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)).With("at", name),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(context.Background()) })
	return n
}

// startCluster starts nodes 1@ to size@ and connects them.
func startCluster(t testing.TB, size int, kind Kind) []*Node {
	t.Helper()
	host := testHost()
	var nodes []*Node
	for i := range size {
		nodes = append(nodes, startNode(t, fmt.Sprintf("%d@%s", i+1, host), kind))
	}
	for _, n := range nodes[1:] {
		for _, c := range n.Connect(t.Context(), nodes[0].Self()) {
			if c.Err != nil {
				t.Fatalf("%s to %s: %v", n.Self(), c.Name, c.Err)
			}
		}
	}
	awaitView(t, nodes...)
	return nodes
}

// awaitView waits until all nodes have the same members, all alive, and these are the nodes.
func awaitView(t testing.TB, nodes ...*Node) {
	t.Helper()
	var want []string
	for _, n := range nodes {
		want = append(want, n.Self()+" alive")
	}
	for _, n := range nodes {
		await(t, func() error {
			var got []string
			members, _ := n.Members(t.Context())
			for _, m := range members {
				got = append(got, m.Name+" "+m.State.String())
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s sees %v, want %v", n.Self(), got, want)
			}
			return nil
		})
	}
}

// await waits until check returns nil, for at most 10 s.
func await(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestOwnersAgree(t *testing.T) {
	nodes := startCluster(t, 3, Kind{})
	for i := range 10_000 {
		id := IntID(int64(i - 5000))
		want, _ := nodes[0].Owner(t.Context(), id)
		for _, n := range nodes[1:] {
			if got, _ := n.Owner(t.Context(), id); got != want {
				t.Fatalf("owner of %s: %s from %s, %s from %s", id, got, n.Self(), want, nodes[0].Self())
			}
		}
		reply, err := nodes[i%3].Request(t.Context(), id)
		if err != nil || reply.Node != want || reply.Degraded {
			t.Fatalf("request(%s) from %s = %+v, %v; want an answer of %s", id, nodes[i%3].Self(), reply, err, want)
		}
	}
}
