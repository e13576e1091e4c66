package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
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

// TestRestartFindsMembers restarts a node without names, in a cluster that may have been restarted meanwhile.
func TestRestartFindsMembers(t *testing.T) {
	t.Parallel()
	dir, host := t.TempDir(), testHost()
	a, b := startKnown(t, "1@"+host, dir, testCookie), startNode(t, "2@"+host, worker.Cache{})
	if err := b.Join(t.Context(), a.Self()); err != nil {
		t.Fatal(err)
	}
	awaitView(t, a, b)
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, a.Self()+":4371", "members")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v; want mode 0600", info, err)
	}
	b.known.clear() // the one that is restarted has to find the other
	awaitView(t, b)
	a = startKnown(t, a.Self(), dir, testCookie)
	awaitView(t, a, b)

	// A disconnected node forgets them, and nodes that knew its name do not join it.
	b.known.add([]placement.Addr{a.addr}, true)
	if err := b.Disconnect(t.Context(), a.Self()); err != nil {
		t.Fatal(err)
	}
	await(t, func() error {
		if !a.members.staysApart() {
			return errors.New("it does not stay apart")
		}
		return nil
	})
	awaitView(t, b)
	if data, err := os.ReadFile(path); err != nil || len(data) > 0 {
		t.Errorf("it remembers %q, %v", data, err)
	}
	a.joinAgain()
	b.joinAgain()
	awaitView(t, a)
	awaitView(t, b)
	if c := b.Connect(t.Context(), a.Self()); c[0].Err != nil {
		t.Fatal(c[0].Err)
	}
	awaitView(t, a, b)
	if a.members.staysApart() {
		t.Error("it stays apart after it was connected")
	}
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
	k, err := readKnown(dir, placement.Addr{Name: placement.Name{Node: "1", Host: host}})
	if err != nil {
		t.Fatal(err)
	}
	k.add([]placement.Addr{{Name: placement.Name{Node: "2", Host: host}}}, false)
	if err := k.save(); err != nil {
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
	case <-time.After(4 * firstRetry):
	}
	b := start("2", "")
	awaitView(t, a, b)
	if r := <-answered; r.Node != b.Self() {
		t.Errorf("answered by %s, want %s", r.Node, b.Self())
	}
}

// TestRestartStopped stops a process that is alone, in the time in which it looks for its
// cluster: it has as much time anew.
func TestRestartStopped(t *testing.T) {
	t.Parallel()
	n := startNode(t, "1@"+testHost(), worker.Cache{})
	n.knownBy.Store(int64(n.now() + standstill))
	n.watch.mu.Lock()
	n.watch.last -= 2 * standstill
	n.watch.seen.Add(-int64(2 * standstill))
	n.watch.mu.Unlock()
	if !n.seeksCluster() || n.knownBy.Load() < int64(n.now()+rollTime/2) {
		t.Error("the time in which it stood still counts")
	}
	n.knownBy.Store(0)
	n.stoodStill()
	if n.seeksCluster() {
		t.Error("it looks for a cluster, although it has had time for that")
	}
}

// TestJoinsAgain restarts the node that others were to join: they go on trying.
func TestJoinsAgain(t *testing.T) {
	t.Parallel()
	host := testHost()
	a, b := startNode(t, "1@"+host, worker.Cache{}), startNode(t, "2@"+host, worker.Cache{})
	if err := b.Join(t.Context(), a.Self()); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitView(t, b)
	a = startNode(t, a.Self(), worker.Cache{})
	await(t, func() error { // the session to the former start may not have ended
		if b.joinAgain(); len(b.members.view.Load().peers) < 2 {
			return errors.New("it does not join again")
		}
		return nil
	})
	awaitView(t, a, b)
}

// TestKnownOfAnotherCluster has a remembered name answer with another cookie: it is forgotten after some tries.
func TestKnownOfAnotherCluster(t *testing.T) {
	t.Parallel()
	host := testHost()
	a := startNode(t, "1@"+host, worker.Cache{})
	startKnown(t, "2@"+host, "", []byte("the cookie of another cluster"))
	a.known.add([]placement.Addr{{Name: placement.Name{Node: "2", Host: host}}, {Name: placement.Name{Node: "9", Host: host}}}, false)
	for range maxRefusals {
		a.joinAgain()
	}
	if list := a.known.missing(a.members.view.Load()); len(list) != 1 || list[0].Node != "9" {
		t.Errorf("known: %v, want the one that is only down", list)
	}
}

// TestKnownFile reads files that no node has written, and writes where none can be.
func TestKnownFile(t *testing.T) {
	t.Parallel()
	self, _ := placement.ParseAddr("1@127.0.0.1")
	many := strings.Repeat("2@127.0.0.1\n", maxKnownFile/10)
	var names strings.Builder
	for i := range 10 * maxKnown {
		names.WriteString(placement.Name{Node: worker.IntID(int64(i)).String(), Host: "h"}.String() + "\n")
	}
	for text, want := range map[string]int{"": 0, "2@127.0.0.1:4372\n3@[::1]:5\n": 2, "\x00\n": -1, "2@h\nnonsense": -1, many: -1, names.String(): maxKnown} {
		dir := t.TempDir()
		path := filepath.Join(dir, "1@127.0.0.1:4371", "members")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := readKnown(dir, self)
		if (err != nil) != (want < 0) || len(k.names) != max(want, 0) {
			t.Errorf("%.20q: %d names, %v; want %d", text, len(k.names), err, want)
		}
		if err := k.save(); err != nil {
			t.Error(err)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
			t.Errorf("%v, %v; want one file", entries, err)
		}
	}
	if k, err := readKnown("/dev/null", self); err == nil || k == nil || k.save() == nil {
		t.Error("a folder that is none is not noticed")
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

// TestCloseWaitsForMembers closes a node that is just settling something about its members.
func TestCloseWaitsForMembers(t *testing.T) {
	t.Parallel()
	n := startNode(t, "1@"+testHost(), worker.Cache{})
	release, closed := make(chan struct{}), make(chan struct{})
	n.members.wg.Go(func() { <-release })
	go func() {
		defer close(closed)
		n.Close(context.Background())
	}()
	<-n.ctx.Done()
	n.listener.Close() // which Close does before it closes the members
	select {
	case <-closed:
		t.Error("Close has not waited")
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	<-closed
}

// TestUnwritableStateIsToldOnce has a folder of state that cannot be made.
func TestUnwritableStateIsToldOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log safeBuffer
	host := testHost()
	n, err := Start(Config{Name: "1@" + host, Cookie: testCookie, StateDir: dir, Default: orRandom(worker.Cache{}),
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { crash(n) })
	other := startNode(t, "2@"+host, worker.Cache{})
	if err := n.Join(t.Context(), other.Self()); err != nil {
		t.Fatal(err)
	}
	awaitView(t, n, other)
	n.remember()
	n.remember()
	n.flushLog()
	if told := strings.Count(log.String(), "cannot remember the members"); told != 1 {
		t.Errorf("told %d times, want once:\n%s", told, log.String())
	}
}
