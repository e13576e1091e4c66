package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// startKnown starts a node that remembers members in dir.
func startKnown(t *testing.T, name, dir string, cookie []byte) *Node {
	t.Helper()
	n, err := Start(Config{Name: name, Cookie: cookie, StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { crash(n) })
	return n
}

// TestRestartSeeksOften restarts a node in a cluster whose other member does not answer
// at that moment. A call of a serial kind waits for that one, which owns the id, instead
// of being answered by a node that thinks itself alone.
func TestRestartSeeksOften(t *testing.T) {
	t.Parallel()
	dir, host := t.TempDir(), testHost()
	serial := worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}
	start := func(name, dir string) *Node {
		n, err := Start(Config{Name: name + "@" + host, Cookie: testCookie, StateDir: dir, Kinds: map[string]worker.Kind{"s": serial}})
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
}

// TestJoinResult joins nodes of which some are not there, or refuse this one.
func TestJoinResult(t *testing.T) {
	t.Parallel()
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
}
