package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

func TestConnectResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		a := startNode(t, "1@"+host, worker.Cache{})
		startNode(t, "3@"+host, worker.Cache{})
		results := a.Connect(t.Context())
		var got []string
		for _, c := range results {
			got = append(got, fmt.Sprint(strings.TrimSuffix(c.Name, "@"+host), c.Err == nil))
		}
		if want := []string{"1true", "2false", "3true", "4false", "5false"}; !slices.Equal(got, want) {
			t.Errorf("connect() = %v, want %v", got, want)
		}
		if err := results[1].Err; !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("connection to 2@: %v", err)
		}
		for _, c := range a.Connect(t.Context(), "nonsense", "9@"+host+":4373") {
			if c.Err == nil {
				t.Errorf("connected to %s", c.Name)
			}
		}
	})
}

// TestNameTaken starts a second node with a name that a live node has.
func TestNameTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{})
		first := nodes[1]
		time.Sleep(time.Millisecond) // so that the second one has started later
		second, err := Start(Config{Name: first.Self(), Port: 4999, Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{})})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close(t.Context())
		for _, c := range second.Connect(t.Context(), nodes[0].Self(), nodes[2].Self()) {
			if !errors.Is(c.Err, ErrNameTaken) || !strings.Contains(c.Err.Error(), first.Addr()) {
				t.Errorf("connection of the second %s to %s: %v; want %v and who has it", first.Self(), c.Name, c.Err, ErrNameTaken)
			}
		}
		awaitView(t, nodes...)
		checkSessions(t, nodes)
	})
}

// TestRoutingDisagrees has a node that routes in another way join: it is refused, and
// says why.
func TestRoutingDisagrees(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		other, err := Start(Config{Name: "3@" + nodes[0].addr.Host, Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), Routing: placement.Rendezvous})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close(t.Context())
		for _, c := range []Connection{other.Connect(t.Context(), nodes[0].Self())[0], nodes[0].Connect(t.Context(), other.Self())[0]} {
			if !errors.Is(c.Err, ErrDisagreement) || !strings.Contains(c.Err.Error(), "--routing") {
				t.Errorf("connection to %s: %v, want %v and what to do", c.Name, c.Err, ErrDisagreement)
			}
		}
		awaitView(t, nodes...)
	})
}

func TestJoinKeepsTrying(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		a := startNode(t, "1@"+host, worker.Cache{})
		joined := make(chan error)
		go func() { joined <- a.Join(t.Context(), "2@"+host) }()
		time.Sleep(200 * time.Millisecond) // some tries fail
		b := startNode(t, "2@"+host, worker.Cache{})
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
		awaitView(t, a, b)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := a.Join(ctx, "3@"+host); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Join = %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

// TestRestartSeeksOften restarts a node in a cluster whose other member does not answer
// at that moment. A call of a serial kind waits for that one, which owns the id, instead
// of being answered by a node that thinks itself alone.
func TestRestartSeeksOften(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir, host := t.TempDir(), testHost()
		serial := worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}
		start := func(name, dir string) *Node {
			n, err := Start(Config{Name: name + "@" + host, Cookie: testCookie, network: memory, StateDir: dir, Kinds: map[string]worker.Kind{"s": serial}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { crash(n) })
			return n
		}
		state := filepath.Join(dir, "1@"+host+":4371")
		if err := os.Mkdir(state, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(state, "members"), []byte("2@"+host+":4372\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		a := start("1", dir)
		if err := a.Join(t.Context()); err != nil { // as a program does that has no names to join
			t.Fatal(err)
		}
		answered := make(chan worker.Reply, 1)
		go func() {
			r, err := a.Family("s").Call(t.Context(), worker.IntID(3), worker.Value{})
			if err != nil {
				t.Error(err)
			}
			answered <- r
		}()
		select {
		case r := <-answered:
			t.Fatalf("answered by %s, which is alone", r.Node)
		case <-time.After(400 * time.Millisecond):
		}
		b := start("2", "")
		awaitView(t, a, b)
		if r := <-answered; r.Node != b.Self() {
			t.Errorf("answered by %s, want %s", r.Node, b.Self())
		}
	})
}

// TestJoinResult joins nodes of which some are not there, or refuse this one.
func TestJoinResult(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		a, b := startNode(t, "1@"+host, worker.Cache{}), startNode(t, "2@"+host, worker.Cache{})
		other := startKnown(t, "3@"+host, "", []byte("the cookie of another cluster"))
		if err := b.Join(t.Context(), "9@"+host, b.Self(), other.Self(), a.Self()); err != nil {
			t.Error(err)
		}
		awaitView(t, a, b)
		c := startNode(t, "4@"+host, worker.Cache{})
		if err := c.Join(t.Context(), c.Self()); err != nil {
			t.Error(err)
		}
		if err := c.Join(t.Context(), c.Self(), other.Self()); !errors.Is(err, ErrCookie) || !strings.Contains(err.Error(), other.Self()) {
			t.Errorf("Join of another cluster = %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		err := c.Join(ctx, other.Self(), "9@"+host)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("Join of a dead node = %v", err)
		}
		if err := b.Join(ctx, other.Self()); !errors.Is(err, context.DeadlineExceeded) { // it was a member before
			t.Errorf("Join of a member = %v", err)
		}
	})
}

// TestConnectAfterRestart connects to a node that was lost, and is back.
func TestConnectAfterRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		checkSessions(t, nodes)
		crash(nodes[1])
		await(t, func() error {
			if list, _ := nodes[0].Members(t.Context()); list[1].State != StateFailed {
				return errors.New("the crash is not seen")
			}
			return nil
		})
		startNode(t, nodes[1].Self(), worker.Cache{})
		connect(t, nodes[0], nodes[1].Self())
	})
}

// TestJoinAfterClose closes a node that tries to join: it does not say that it has.
func TestJoinAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := startNode(t, "1@"+testHost(), worker.Cache{})
		time.AfterFunc(200*time.Millisecond, func() { a.Close(context.Background()) })
		if err := a.Join(t.Context(), "9@"+a.addr.Host); !errors.Is(err, ErrClosed) {
			t.Errorf("Join = %v, want %v", err, ErrClosed)
		}
	})
}

// TestJoinTooLate joins when the time is up already. The error says so, and why there is no
// other reason.
func TestJoinTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := startNode(t, "1@"+testHost(), worker.Cache{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := a.Join(ctx, "9@"+a.addr.Host)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "it was not asked") {
			t.Errorf("Join = %v", err)
		}
	})
}

// TestLeaverMeetsNewcomer has a node that is leaving dial one that has just started: it
// takes no slot there.
func TestLeaverMeetsNewcomer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		running, finish := make(chan struct{}), make(chan struct{})
		nodes := startCluster(t, 2, worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) {
			close(running)
			<-finish
			return worker.IntValue(1), nil
		}})
		a, b := nodes[0], nodes[1]
		var wg sync.WaitGroup
		wg.Go(func() { b.Request(t.Context(), worker.IntID(1)) })
		<-running
		crash(a)
		wg.Go(func() { b.Close(t.Context()) }) // it waits for the source
		time.Sleep(50 * time.Millisecond)
		again := startNode(t, a.Self(), worker.Cache{})
		time.Sleep(500 * time.Millisecond) // b tries to reach a
		close(finish)
		wg.Wait()
		awaitView(t, again)
	})
}

// TestOldAddress has a node come back on another port than the one that the others know:
// it is let in at once.
func TestOldAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		a := startNode(t, "1@"+host, worker.Cache{})
		a.members.Learn(a.members.View(), []wire.Member{{Name: "2@" + host, Addr: host + ":4399", Incarnation: 1}})
		b := startNode(t, "2@"+host, worker.Cache{})
		if c := b.Connect(t.Context(), a.Self())[0]; c.Err != nil {
			t.Fatal(c.Err)
		}
		awaitView(t, a, b)
	})
}
