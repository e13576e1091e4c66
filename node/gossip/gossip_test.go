package gossip

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/distproc/distproc/wire"
)

// within is for what takes no time but that of a busy machine.
const within = 20 * time.Second

func TestJoin(t *testing.T) { bubble(t, checkJoin) }

func checkJoin(t *testing.T) {
	n := newNetwork(t, Local)
	nodes := n.many(7)
	n.see(within, nodes, nodes, nil)
	for _, v := range nodes {
		if v.changes.Load() == 0 {
			t.Errorf("%s was not told of a change", v.name)
		}
		for i, m := range v.g.Members() {
			if m != nodes[i].self {
				t.Errorf("%s has %+v, want %+v", v.name, m, nodes[i].self)
			}
		}
	}
}

// A node that is only told of a living node meets it.
func TestUnconfirmed(t *testing.T) { bubble(t, checkUnconfirmed) }

func checkUnconfirmed(t *testing.T) {
	n := newNetwork(t, Local)
	a, b, c := n.start(1), n.start(2), n.start(3)
	a.join(b)
	dead := n.start(4)
	dead.kill()
	if !a.g.Learn([]wire.Member{c.self, dead.self}) || a.g.Learn([]wire.Member{c.self, dead.self}) {
		t.Error("what is news to it is wrong")
	}
	living := []*node{a, b, c}
	n.until(within, "serf knows all", func() bool {
		for _, v := range living {
			if v.g.serf.Memberlist().NumMembers() != 3 {
				return false
			}
		}
		return true
	})
	n.see(within, living, living, []*node{dead})
}

func TestCrash(t *testing.T) { bubble(t, checkCrash) }

func checkCrash(t *testing.T) {
	n := newNetwork(t, Local)
	nodes := n.many(6)
	n.see(within, nodes, nodes, nil)
	dead, rest := nodes[:1], nodes[1:]
	changes := map[*node]int64{}
	for _, v := range rest {
		changes[v] = v.changes.Load()
	}
	dead[0].kill()
	n.see(2*time.Second, rest, rest, dead)
	n.until(time.Second, "all are told of the change", func() bool {
		for _, v := range rest {
			if v.changes.Load() == changes[v] {
				return false
			}
		}
		return true
	})

	// Newcomers see it too, though serf tells them nothing of it.
	late := n.start(8)
	late.join(rest[3])
	rest = append(slices.Clip(rest), late)
	n.see(within, rest, rest, dead)
	age := func(v *node) time.Duration { return v.g.Members()[0].Age }
	if a, b := age(rest[0]), age(late); a <= 0 || (a-b).Abs() > time.Second {
		t.Errorf("it has failed for %v, a newcomer says for %v", a, b)
	}
}

func TestRestart(t *testing.T) { bubble(t, checkRestart) }

func checkRestart(t *testing.T) {
	n := newNetwork(t, LAN) // failures take long to see
	nodes := n.many(4)
	n.see(within, nodes, nodes, nil)
	for _, addr := range []string{nodes[3].addr, "elsewhere.test:1"} {
		nodes[3].kill()
		nodes[3] = n.startAt(nodes[3].name, addr)
		nodes[3].join(nodes[1])
		n.until(time.Second, "all have the new start", func() bool {
			for _, v := range nodes {
				if v.g.Members()[3] != nodes[3].self {
					return false
				}
			}
			return true
		})
	}
	// It is not taken for the dead one later, nor for another process.
	n.see(within, nodes, nodes, nil)
	select {
	case m := <-nodes[3].conflicts:
		t.Errorf("conflict with %+v", m)
	default:
	}
}

// TestMeet has serf tell that a member is back: it is told at once of all, though it asks
// nobody.
func TestMeet(t *testing.T) { bubble(t, checkMeet) }

func checkMeet(t *testing.T) {
	n := newNetwork(t, Local)
	n.pace.tick, n.pace.news, n.pace.sync = time.Hour, time.Hour, time.Hour // nobody meets by chance
	nodes := n.many(3)
	n.see(within, nodes, nodes, nil)
	lost := n.start(4)
	known := lost.self
	known.Incarnation--
	known.State = wire.Failed
	nodes[0].g.Learn([]wire.Member{known})
	nodes[0].mute.Store(true) // as a session to the former start may not have ended
	time.AfterFunc(meetPause/2, func() { nodes[0].mute.Store(false) })
	nodes[0].g.handle(serf.MemberEvent{Type: serf.EventMemberJoin, Members: []serf.Member{{Name: lost.name, Tags: toTags(lost.self)}}})
	n.until(within, "it knows all", func() bool { return len(lost.g.Members()) == 4 })
}

func TestLeave(t *testing.T) { bubble(t, checkLeave) }

// TestLeaveAlone has a node leave that is alone: it waits for nobody.
func TestLeaveAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newNetwork(t, LAN).start(1).g
		began := time.Now()
		g.Leave(t.Context())
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// TestLeaveTwin has a node leave that has a twin: it does not hasten its farewell.
func TestLeaveTwin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork(t, LAN)
		nodes := n.many(3)
		n.see(within, nodes, nodes, nil)
		began := time.Now()
		nodes[2].g.LeaveTwin(t.Context())
		if took := time.Since(began); took != farewellTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

// A node leaves once all know it. If it can only tell by gossip, it leaves some time for it.
func checkLeave(t *testing.T) {
	for _, mute := range []bool{false, true} { // whether it can only tell through serf
		n := newNetwork(t, LAN)
		nodes := n.many(5)
		n.see(within, nodes, nodes, nil)
		n.until(within, "serf knows all", func() bool {
			return !slices.ContainsFunc(nodes, func(v *node) bool { return v.g.serf.Memberlist().NumMembers() < len(nodes) })
		})
		leaver, rest := nodes[4], nodes[:4]
		for _, v := range nodes {
			v.mute.Store(mute)
		}
		start := time.Now()
		leaver.g.Leave(context.Background())
		if took := time.Since(start); mute != (took >= farewellTimeout) || took > farewellTimeout {
			t.Errorf("it took %v to leave; the others were told: %v", took, !mute)
		}
		if s := leaver.g.Snapshot()[4]; s.Name != leaver.name || s.State != wire.Left {
			t.Errorf("who has left tells %+v", s)
		}
		if got := len(leaver.g.Members()); got != 5 {
			t.Errorf("who has left has %d members", got)
		}
		leaver.kill()
		n.see(time.Second-time.Since(start), rest, rest, nil)

		// It is back at once, and not taken for the one that has left.
		for _, v := range rest {
			v.mute.Store(false) // gossip alone may miss one of them
		}
		back := n.startAt(leaver.name, leaver.addr)
		back.join(rest[1])
		nodes = append(slices.Clip(rest), back)
		n.see(2*time.Second, nodes, nodes, nil)
	}
}

func TestReap(t *testing.T) { bubble(t, checkReap) }

func checkReap(t *testing.T) {
	n := newNetwork(t, Local)
	n.conf = func(c *Config) { c.ReapAfter = 500 * time.Millisecond }
	nodes := n.many(4)
	n.see(within, nodes, nodes, nil)
	nodes[0].kill()
	n.see(within, nodes[1:], nodes[1:], nodes[:1])
	n.see(within, nodes[1:], nodes[1:], nil)
}

func TestRemove(t *testing.T) { bubble(t, checkRemove) }

func checkRemove(t *testing.T) {
	n := newNetwork(t, Local)
	n.pace.sync = time.Hour
	nodes := n.many(4)
	n.see(within, nodes, nodes, nil)
	for _, name := range []string{nodes[0].name, nodes[1].name, "9@h"} {
		if err := nodes[0].g.Remove(name); err == nil {
			t.Errorf("removed %s", name)
		}
	}
	n.cut(nodes[:3], nodes[3:])
	n.cut(nodes[3:], nodes[:3])
	n.see(within, nodes[:3], nodes[:3], nodes[3:])
	if err := nodes[1].g.Remove(nodes[3].name); err != nil {
		t.Error(err)
	}
	n.see(within, nodes[:3], nodes[:3], nil)

	// It was alive all the time, and has its slot again when it comes back.
	n.heal(nodes[:3], nodes[3:])
	n.heal(nodes[3:], nodes[:3])
	n.see(2*within, nodes, nodes, nil)
}

func TestSplit(t *testing.T) { bubble(t, checkSplit) }

func checkSplit(t *testing.T) {
	n := newNetwork(t, Local)
	nodes := n.many(5)
	n.see(within, nodes, nodes, nil)
	a, b := nodes[:3], nodes[3:]
	n.cut(a, b)
	n.cut(b, a)
	n.see(within, a, a, b)
	n.see(within, b, b, a)
	n.heal(a, b)
	n.heal(b, a)
	n.see(10*time.Second, nodes, nodes, nil)
}

// Halves that were apart until they had given each other up find each other too.
func TestSplitReaped(t *testing.T) { bubble(t, checkSplitReaped) }

func checkSplitReaped(t *testing.T) {
	n := newNetwork(t, Local)
	n.conf = func(c *Config) { c.ReapAfter = 300 * time.Millisecond }
	n.pace.toTheDead, n.refuse = 100*time.Millisecond, true // so that nothing but reconnection finds them
	nodes := n.many(4)
	n.see(within, nodes, nodes, nil)
	a, b := nodes[:2], nodes[2:]
	n.cut(a, b)
	n.cut(b, a)
	n.see(within, a, a, nil)
	n.see(within, b, b, nil)
	n.until(within, "farewells are forgotten", func() bool { return a[0].seen() == "1@h 2@h" && b[1].seen() == "3@h 4@h" })
	n.heal(a, b)
	n.heal(b, a)
	n.see(10*time.Second, nodes, nodes, nil)
}

func TestOneWay(t *testing.T) { bubble(t, checkOneWay) }

func checkOneWay(t *testing.T) {
	n := newNetwork(t, Local)
	nodes := n.many(5)
	n.see(within, nodes, nodes, nil)
	n.cut(nodes[:1], nodes[1:2])
	n.cut(nodes[2:3], nodes[3:4])
	// Nobody may stay failed for long: look for as long as it takes to fail.
	worst := 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		failed := 0
		for _, v := range nodes {
			for _, m := range v.g.Members() {
				if m.State == wire.Failed {
					failed++
				}
			}
		}
		worst = max(worst, failed)
	}
	n.see(time.Second, nodes, nodes, nil)
	t.Logf("at worst %d slots were seen as failed", worst)
}

func TestConflict(t *testing.T) { bubble(t, checkConflict) }

func checkConflict(t *testing.T) {
	n := newNetwork(t, Local)
	nodes := n.many(3)
	n.see(within, nodes, nodes, nil)
	other := n.startAt(nodes[2].name, "elsewhere.test:1")
	other.join(nodes[0])
	for _, v := range []*node{nodes[2], other} {
		want := other.self.Incarnation + nodes[2].self.Incarnation - v.self.Incarnation
		select {
		case m := <-v.conflicts:
			if m.Name != v.name || m.Incarnation != want {
				t.Errorf("conflict with %+v, want incarnation %d", m, want)
			}
		case <-time.After(15 * time.Second):
			t.Errorf("the start at %s knows of no conflict", v.addr)
		}
	}
}

// TestJoinTwin has a node join one of two processes of one name. It meets that process,
// although it has a link to the other one, which has left.
func TestJoinTwin(t *testing.T) { bubble(t, checkJoinTwin) }

func checkJoinTwin(t *testing.T) {
	n := newNetwork(t, Local)
	n.pace.tick, n.pace.pushPull, n.pace.sync = time.Hour, time.Hour, time.Hour // nobody meets by chance
	first, second := n.startAt("1@h", "host1.test:1"), n.startAt("1@h", "elsewhere.test:1")
	c := n.start(2)
	second.join(c)
	n.see(within, []*node{c, second}, []*node{c, second}, nil)
	second.g.Leave(t.Context())
	n.see(within, []*node{c}, []*node{c}, nil)
	if err := c.g.Join(t.Context(), first.self); err != nil {
		t.Fatal(err)
	}
	n.see(within, []*node{first, c}, []*node{first, c}, nil)
}

// status returns what serf at v knows of another node.
func status(v, other *node) serf.MemberStatus {
	for _, m := range v.g.serf.Members() {
		if m.Name == other.name {
			return m.Status
		}
	}
	return serf.StatusNone
}

// A member that others take for gone hears of it when it compares tables with one of
// them, if not before.
func TestRefute(t *testing.T) { bubble(t, checkRefute) }

func checkRefute(t *testing.T) {
	n := newNetwork(t, Local)
	n.pace.pushPull, n.pace.sync = time.Hour, time.Hour
	nodes := n.many(3)
	first, rest := nodes[1], []*node{nodes[0], nodes[2]}
	n.see(within, nodes, nodes, nil)
	packet := func(kind []byte, v any) []byte {
		b := bytes.NewBuffer(kind)
		if err := codec.NewEncoder(b, &codec.MsgpackHandle{}).Encode(v); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	leave := packet([]byte{userMsg, serfLeave}, struct { // serf's messageLeave
		LTime uint64
		Node  string
		Prune bool
	}{1000, first.name, false})
	dead := packet([]byte{deadMsg}, struct { // memberlist's
		Incarnation uint32
		Node, From  string
	}{1000, first.name, first.name})
	for _, b := range [][]byte{leave, dead} {
		first.g.transport.sieve.sift(b, time.Now()) // so that it does not reach it
	}
	send := func(v *node, b []byte) {
		v.g.transport.packets <- &memberlist.Packet{Buf: b, From: nodeAddr("9@h"), Timestamp: time.Now()}
	}
	// Of two packets that wait memberlist takes the later one first. So no member is told of
	// the death, and gossips it, before all have taken the leave in.
	for _, v := range rest {
		send(v, leave)
	}
	for _, v := range rest {
		for began := time.Now(); status(v, first) != serf.StatusLeaving; time.Sleep(time.Millisecond) {
			if time.Since(began) > within {
				t.Fatalf("%s takes %s for %v", v.name, first.name, status(v, first))
			}
		}
	}
	for _, v := range rest {
		send(v, dead)
	}
	n.see(within, rest, rest, nil)
	first.sync(t.Context(), first.g, rest[0].self)
	n.see(within, nodes, nodes, nil)
}

// All members learn in time what only one of them knew.
func TestAntiEntropy(t *testing.T) { bubble(t, checkAntiEntropy) }

func checkAntiEntropy(t *testing.T) {
	for _, quick := range []bool{false, true} {
		n := newNetwork(t, Local)
		size := 4
		if quick {
			n.pace.news, n.pace.sync, size = time.Millisecond, time.Hour, 2
		}
		nodes := n.many(size)
		n.see(within, nodes, nodes, nil)
		dead := n.start(9)
		dead.kill()
		told := dead.self
		told.State = wire.Failed
		nodes[size-1].g.Learn([]wire.Member{told})
		n.see(2*within, nodes, nodes, []*node{dead})
	}
}

func TestClose(t *testing.T) { bubble(t, checkClose) }

func checkClose(t *testing.T) {
	n := newNetwork(t, Local)
	nodes := n.many(3)
	n.see(within, nodes, nodes, nil)
	a, b, c := nodes[0], nodes[1], nodes[2]

	// It does not wait for a dial.
	far := n.start(4)
	n.cut([]*node{c}, []*node{far})
	joined := make(chan error)
	go func() { joined <- c.g.Join(context.Background(), far.self) }()
	n.until(within, "it dials", func() bool {
		c.g.mu.Lock()
		defer c.g.mu.Unlock()
		return len(c.g.joining) > 0
	})
	start := time.Now()
	c.kill()
	if took := time.Since(start); took > 200*time.Millisecond {
		t.Errorf("it took %v to close while it dialled", took)
	}
	if err := <-joined; err == nil {
		t.Error("a closed node has joined another")
	}

	// It waits for Leave, even for one that nobody waits for.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.g.Leave(ctx)
	b.kill()
	b.kill()
	b.g.Leave(context.Background())
	n.see(within, []*node{a}, []*node{a}, []*node{c})

	a.g.Leave(context.Background())
	if err := a.g.Join(context.Background(), far.self); !errors.Is(err, errLeft) {
		t.Errorf("who has left joins again: %v", err)
	}
	a.kill()
	for what, err := range map[string]error{
		"Join":   b.g.Join(context.Background(), far.self),
		"Remove": b.g.Remove(c.name),
	} {
		if err == nil {
			t.Errorf("%s works after Close", what)
		}
	}
	ours, theirs := newLinks(n, far.name, b.name)
	b.g.Serve(far.name, theirs)
	select {
	case <-ours.Done():
	default:
		t.Error("a closed node keeps a link")
	}
}

// TestCloseTogether has many close a node at once that leaves. They wait for a mutex, so
// it is in real time.
func TestCloseTogether(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, Local)
	nodes := n.many(2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	nodes[1].g.Leave(ctx)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(nodes[1].kill)
	}
	wg.Wait()
}

func TestJoinErrors(t *testing.T) { bubble(t, checkJoinErrors) }

func checkJoinErrors(t *testing.T) {
	n := newNetwork(t, Local)
	a, b := n.start(1), n.start(2)
	for what, m := range map[string]wire.Member{
		"itself":       a.self,
		"a bad name":   {Name: "a/b", Addr: b.addr},
		"no address":   {Name: b.name},
		"nobody":       {Name: "3@h", Addr: "nowhere.test:1"},
		"another name": {Name: "3@h", Addr: b.addr},
	} {
		if err := a.g.Join(t.Context(), m); err == nil {
			t.Errorf("it joins %s", what)
		}
	}
	if got := len(a.g.Members()); got != 1 {
		t.Errorf("it has %d members", got)
	}
	a.mute.Store(true)
	if err := a.g.Join(t.Context(), b.self); err == nil {
		t.Error("it joins without comparing tables")
	}
	if _, err := Start(Config{Self: wire.Member{Name: "a b", Addr: "x:1"}, Logger: n.log}, loneHost{}); err == nil {
		t.Error("a node has a bad name")
	}
}

// TestStartFails has an address that no packet has room for: nothing that was begun goes
// on.
func TestStartFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		self := wire.Member{Name: "1@h", Addr: strings.Repeat("h", 600) + ":1", Incarnation: 1}
		if g, err := Start(Config{Self: self, Logger: slog.New(slog.DiscardHandler)}, loneHost{}); err == nil {
			g.Close()
			t.Error("started")
		}
	})
}
