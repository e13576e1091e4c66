package node

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/internal/strict"
	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/memnet"
)

// num returns the integer of an id that is one.
func num(id worker.ID) int64 {
	n, _ := id.Int64()
	return n
}

// live returns how many workers live.
func live(r *registry.Registry) int {
	n, _, _ := r.Count()
	return n
}

// counter is a source that counts its runs: the first value is 1.
func counter() worker.Source {
	var runs atomic.Int64
	return func(context.Context, worker.ID) (worker.Value, error) { return worker.IntValue(runs.Add(1)), nil }
}

// orRandom returns a kind that answers, if only with random numbers.
func orRandom(kind worker.Kind) worker.Kind {
	if c, ok := kind.(worker.Cache); ok && c.Load == nil {
		c.Load, c.Inline = worker.RandomSource, true
		return c
	}
	return kind
}

// TestMain checks that Close waits for every goroutine, but for one: memberlist's
// Shutdown does not wait for a probe that it makes just then, which ends by itself within
// a few seconds. Benchmarks run this program as their peer.
func TestMain(m *testing.M) {
	if what := os.Getenv("DISTPROC_BENCH_PEER"); what != "" {
		if err := servePeer(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).handleIndirectPing.func2"),
	)
}

var testCookie = []byte("the cookie of the tests")

// network carries all connections of the tests. Each node that startNode starts is a host
// of its name on it.
var network = memnet.New()

// memory is the network for all others.
var memory = network.Host("")

// credentials returns those of a peer that a test plays.
func credentials(t testing.TB, cookie []byte) *wire.Credentials {
	t.Helper()
	creds, err := wire.NewCredentials(cookie, wire.TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	creds.Network = memory
	return creds
}

var hosts atomic.Int32

// testHost returns a loopback address of this test's own, so that nodes can have their
// usual ports.
func testHost() string {
	pid, n := os.Getpid(), int(hosts.Add(1))
	return fmt.Sprintf("127.%d.%d.%d", 1+pid%250, (pid/250+n/250)%250, n%250)
}

// testLog writes a node's log to the test's.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// bubble runs a test in false time, in which nothing but computing takes any.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	time.Sleep(time.Until(time.Unix(0, lastTimer.Load())))
	memnet.Bubble(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) }) // probes for which memberlist does not wait end, see TestMain
		test(t)
	})
}

// realTime marks a test that is not in a bubble. Streams of yamux leave timers, which must
// not run out while there is a bubble. That matters to -count only, as such a test is
// parallel, and so it runs after all bubbles.
func realTime(t *testing.T) {
	t.Helper()
	t.Parallel()
	t.Cleanup(func() { lastTimer.Store(time.Now().Add(3 * time.Second).UnixNano()) })
}

// lastTimer is when the last timer of a test outside bubbles has run out.
var lastTimer atomic.Int64

// pause has a caller wait for up to 8 ms between two calls, as false time stands still
// while anything runs.
func pause() { time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond) }

func startNode(t testing.TB, name string, kind worker.Kind) *Node {
	t.Helper()
	time.Sleep(time.Microsecond) // as no two starts of a node are at the same time
	n, err := Start(Config{
		Name: name, Cookie: testCookie, network: network.Host(name), Default: orRandom(kind),
		Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)).With("at", name),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { crash(n) })
	return n
}

// startCluster starts nodes 1@ to size@ and connects them.
func startCluster(t testing.TB, size int, kind worker.Kind) []*Node {
	t.Helper()
	host := testHost()
	var nodes []*Node
	for i := range size {
		nodes = append(nodes, startNode(t, fmt.Sprintf("%d@%s", i+1, host), kind))
	}
	for _, n := range nodes[1:] {
		if err := n.Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
	}
	awaitView(t, nodes...)
	return nodes
}

// awaitView waits until all nodes have the same members, all alive, and these are the
// nodes.
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

// connect has n connect to another node, again if the machine is too slow for its second.
func connect(t testing.TB, n *Node, name string) {
	t.Helper()
	await(t, func() error { return n.Connect(t.Context(), name)[0].Err })
}

// await waits until check returns nil, for at most a minute.
func await(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(wait)
	}
}

// awaitFailed waits until the cluster takes a member for failed, as these nodes see it.
func awaitFailed(t testing.TB, name string, nodes ...*Node) {
	t.Helper()
	lost, _ := placement.ParseName(name)
	for _, n := range nodes {
		await(t, func() error {
			if v := n.members.View(); v.Failed(v.Peer(lost)) {
				return nil
			}
			return fmt.Errorf("%s does not know that %s has failed", n.Self(), name)
		})
	}
}

// crash ends a node as kill -9 does: nobody is told.
func crash(n *Node) {
	n.closeOnce.Do(func() {
		n.closing.Store(true)
		n.handoffs.Close()
		n.cancel()
		n.listener.Close()
		n.claims.Close()
		strict.Close(n.quorum)
		n.members.Close()
		for n.clients.Load() > 0 { // no client hears of what ends now
			time.Sleep(time.Millisecond)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = n.kinds.Close(ctx)
	})
	n.kinds.Wait()
	n.wg.Wait()
	n.flushLog()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// said waits until the log has a line for each pattern.
func said(t *testing.T, log *testlog.Buffer, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		await(t, func() error {
			if !regexp.MustCompile("(?m)" + p).MatchString(log.String()) {
				return fmt.Errorf("no line %s in\n%s", p, log)
			}
			return nil
		})
	}
}

// checkSessions has each pair of nodes dial each other at the same moment, and checks
// that they come to have one session, with one end at each.
func checkSessions(t *testing.T, nodes []*Node) {
	t.Helper()
	var wg sync.WaitGroup
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b {
				wg.Go(func() {
					if _, err := a.Ping(t.Context(), b.Self()); err != nil {
						t.Errorf("%s to %s: %v", a.Self(), b.Self(), err)
					}
				})
			}
		}
	}
	wg.Wait()
	session := func(from, to *Node) *wire.Session { return from.members.Pool().Peer(to.addr.Name).Session() }
	for i, a := range nodes {
		for _, b := range nodes[i+1:] {
			await(t, func() error {
				s, r := session(a, b), session(b, a)
				if s == nil || r == nil || s.Err() != nil || r.Err() != nil || s.Dialed() == r.Dialed() {
					return fmt.Errorf("%s and %s have no session in common", a.Self(), b.Self())
				}
				return nil
			})
		}
	}
}

// startKnown starts a node that remembers members in dir.
func startKnown(t *testing.T, name, dir string, cookie []byte) *Node {
	t.Helper()
	n, err := Start(Config{Name: name, Cookie: cookie, network: memory, StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { crash(n) })
	return n
}

// attachDirect attaches a client that asks owners itself.
func attachDirect(t *testing.T, home string) *Client { return attachSteady(t, home, time.Hour) }

// passedOn returns how many requests a node has made for others that it was no owner of.
func passedOn(n *Node) (count uint64) {
	for _, k := range n.kinds.Stats() {
		count += k.Remote + k.Degraded
	}
	return count
}

// checkDirect requests many ids. It returns an error unless owners answer, and none of
// these nodes was asked in place of one.
func checkDirect(t *testing.T, c *Client, nodes ...*Node) error {
	t.Helper()
	var ids []worker.ID
	for i := range 60 {
		for _, text := range []string{"%d", "-%d9", "tenant %d", "%d12345678901234567890"} {
			id, err := worker.ParseID(fmt.Sprintf(text, i))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	var before, after uint64
	for _, n := range nodes {
		before += passedOn(n)
	}
	for _, id := range ids {
		want, _ := nodes[0].Owner(t.Context(), id)
		reply, err := c.Request(t.Context(), id)
		if err != nil {
			t.Fatalf("request(%s) = %v", id, err)
		}
		if reply.Node != want || reply.Degraded {
			return fmt.Errorf("request(%s) = %+v, want an answer of %s", id, reply, want)
		}
	}
	for _, n := range nodes {
		after += passedOn(n)
	}
	if after != before {
		return fmt.Errorf("%d of %d requests went to another node than the owner", after-before, len(ids))
	}
	return nil
}

// awaitDirect waits until checkDirect is content. The client of attachDirect fetches its
// view only when it has noticed that it is old.
func awaitDirect(t *testing.T, c *Client, nodes ...*Node) {
	t.Helper()
	await(t, func() error { return checkDirect(t, c, nodes...) })
}

// requestAll requests ids all the time until stop is called, which fails the test for
// each request that failed.
func requestAll(t *testing.T, c *Client) (stop func()) {
	var calls, bad atomic.Int64
	var last atomic.Value
	end := make(chan struct{})
	var wg sync.WaitGroup
	for k := range int64(8) {
		wg.Go(func() {
			for i := k; !isClosed(end); i += 8 {
				if _, err := c.Request(context.Background(), worker.IntID(i%1000)); err != nil {
					bad.Add(1)
					last.Store(err.Error())
				}
				calls.Add(1)
				pause()
			}
		})
	}
	return func() {
		close(end)
		wg.Wait()
		if n := bad.Load(); n > 0 {
			t.Errorf("%d of %d requests failed, such as with %v", n, calls.Load(), last.Load())
		}
	}
}
