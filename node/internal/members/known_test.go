package members

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
)

// TestRestartFindsMembers restarts a node without names, in a cluster that may have been
// restarted meanwhile.
func TestRestartFindsMembers(t *testing.T) {
	t.Parallel()
	dir, host := t.TempDir(), testHost()
	a, b := start(t, "1@"+host, withState(dir)), start(t, "2@"+host)
	join(t, b, a)
	awaitView(t, a, b)
	a.Leave()
	a.close()
	path := filepath.Join(dir, "1@"+host+":4371", "members")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v; want mode 0600", info, err)
	}
	b.known.clear() // the one that is restarted has to find the other
	awaitView(t, b)
	a = start(t, "1@"+host, withState(dir))
	awaitView(t, a, b)

	// A disconnected node forgets them, and nodes that knew its name do not join it.
	b.known.add([]placement.Addr{a.Addr}, true)
	if err := b.Remove(t.Context(), b.View().Peer(a.Addr.Name)); err != nil {
		t.Fatal(err)
	}
	await(t, func() error {
		if !a.View().Apart {
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
	if err := b.ConnectTo(t.Context(), a.Addr.Name.String()); err != nil {
		t.Fatal(err)
	}
	awaitView(t, a, b)
	await(t, func() error {
		if a.View().Apart {
			return errors.New("it stays apart after it was connected")
		}
		return nil
	})
}

// TestRestartStopped stops a process that is alone, in the time in which it looks for its
// cluster: it has as much time anew.
func TestRestartStopped(t *testing.T) {
	t.Parallel()
	n := start(t, "1@"+testHost())
	n.knownBy.Store(int64(n.Clock.Now() + time.Second))
	n.Clock.StandStill(2 * time.Second)
	if !n.seeking() || n.knownBy.Load() < int64(n.Clock.Now()+seekTime/2) {
		t.Error("the time in which it stood still counts")
	}
	n.knownBy.Store(0)
	n.StoodStill()
	if n.seeking() {
		t.Error("it looks for a cluster, although it has had time for that")
	}
}

// TestJoinsAgain restarts the node that others were to join: they go on trying.
func TestJoinsAgain(t *testing.T) {
	t.Parallel()
	a, b := startPair(t)
	a.Leave()
	a.close()
	awaitView(t, b)
	a = start(t, a.Addr.Name.String())
	await(t, func() error { // the session to the former start may not have ended
		if b.joinAgain(); len(b.View().Peers) < 2 {
			return errors.New("it does not join again")
		}
		return nil
	})
	awaitView(t, a, b)
}

// TestKnownOfAnotherCluster has a remembered name answer with another cookie: it is
// forgotten after some tries.
func TestKnownOfAnotherCluster(t *testing.T) {
	t.Parallel()
	host := testHost()
	a := start(t, "1@"+host)
	start(t, "2@"+host, withCookie("the cookie of another cluster"))
	a.known.add([]placement.Addr{{Name: placement.Name{Node: "2", Host: host}}, {Name: placement.Name{Node: "9", Host: host}}}, false)
	for range maxRefusals {
		a.joinAgain()
	}
	if list := a.known.missing(a.View()); len(list) != 1 || list[0].Node != "9" {
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
		names.WriteString(placement.Name{Node: strconv.Itoa(i), Host: "h"}.String() + "\n")
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

// TestUnwritableStateIsToldOnce has a folder of state that cannot be made.
func TestUnwritableStateIsToldOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	host := testHost()
	n, other := start(t, "1@"+host, withState(dir)), start(t, "2@"+host)
	join(t, n, other)
	awaitView(t, n, other)
	n.remember()
	n.remember()
	if told := strings.Count(n.log.String(), "cannot remember the members"); told != 1 {
		t.Errorf("told %d times, want once:\n%s", told, n.log.String())
	}
}

// TestJoinRemembers joins a node by its address alone: it is remembered by the name that
// it said.
func TestJoinRemembers(t *testing.T) {
	t.Parallel()
	host := testHost()
	a, b := start(t, "1@"+host), start(t, "2@"+host)
	if err := b.Join(t.Context(), b.Addr.HostPort(), a.Addr.HostPort()); err != nil {
		t.Fatal(err)
	}
	b.known.mu.Lock()
	defer b.known.mu.Unlock()
	if n := b.known.names[addrText(a.Addr)]; n == nil || !n.asked {
		t.Errorf("%v are known, want %s as asked for", b.known.names, addrText(a.Addr))
	}
}

// TestKnownElsewhere has the file of known names keep where a node is dialled, if that is
// not at the HOST of its name.
func TestKnownElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	self := placement.Addr{Name: placement.Name{Node: "9", Host: "h"}, Port: 4379}
	k, err := readKnown(dir, self)
	if err != nil {
		t.Fatal(err)
	}
	want := []placement.Addr{
		{Name: placement.Name{Node: "1", Host: "h"}, Port: 4371},
		{Name: placement.Name{Node: "2", Host: "::1"}, Port: 80, At: "lb.example"},
		{Name: placement.Name{Node: "3", Host: "h"}, Port: 80, At: "2001:db8::1"},
	}
	k.add(want, false)
	if err := k.save(); err != nil {
		t.Fatal(err)
	}
	again, err := readKnown(dir, self)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range want {
		if n := again.names[addrText(a)]; n == nil || n.addr != a {
			t.Errorf("%s is read as %+v", addrText(a), n)
		}
	}
	for _, line := range []string{"1@h:80 ", "1@h:80 a b", "1@h lb:90", "1@h:80 lb:90", "1@h:80 [::1]"} {
		if a, err := parseAddrText(line); err == nil {
			t.Errorf("%q is read as %+v", line, a)
		}
	}
}
