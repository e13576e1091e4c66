package quorum

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
)

// TestHints checks what is news for all members (rule 21).
func TestHints(t *testing.T) {
	t.Parallel()
	v5 := newView(t, 5, seats(1, 2))
	l := newTestLeader(v5)
	if _, news := l.renew(node(2), 0, 5, 4); !news {
		t.Error("an acknowledgement is no news")
	}
	if _, news := l.renew(node(2), 0, 5, 4); news {
		t.Error("the same again is news")
	}
	if _, news := l.renew(node(2), 0, 5); !news {
		t.Error("the end of a call is no news")
	}
	if !l.commit(t, &entry{View: newView(t, 6, seats(1, 2))}, 0) {
		t.Error("a view is no news")
	}
	if l.commit(t, &entry{Retire: 6}, 0) {
		t.Error("a retired view is news though nobody leaves")
	}
	if !l.commit(t, &entry{View: newView(t, 7, seats(1), node(2))}, 0) || !l.commit(t, &entry{Retire: 7}, 0) {
		t.Error("a retired view is no news though somebody waits for that to go")
	}
	l.commit(t, &entry{View: newView(t, 8, seats(1, 4))}, 0)
	if !l.commit(t, &entry{Retire: 8}, 0) {
		t.Error("a retired view is no news for one that leaves it")
	}
}

// describe returns a view as text: failed seats after a "!", leavers after a "-".
func describe(v *View) string {
	if v == nil {
		return "none"
	}
	list := slices.SortedFunc(slices.Values(v.Seats), func(a, b Seat) int { return strings.Compare(a.Name, b.Name) })
	text := fmt.Sprint(v.Epoch)
	for _, s := range list {
		text += " "
		if s.Failed {
			text += "!"
		}
		text += fmt.Sprint(s.Name, "/", s.Incarnation)
	}
	for _, m := range v.Leavers {
		text += fmt.Sprint(" -", m.Name, "/", m.Incarnation)
	}
	return text
}

// TestWanted checks which view the leader proposes next (rule 20).
func TestWanted(t *testing.T) {
	t.Parallel()
	hear := func(l *leader, at time.Duration, members ...Member) {
		for _, m := range members {
			l.renew(m, at, 5)
		}
	}
	all := []Member{node(1), node(2), node(3)}
	for _, test := range []struct {
		name string
		do   func(*leader)
		at   time.Duration
		want string
	}{
		{"all well", func(l *leader) { hear(l, second, all...) }, second, "none"},
		{"nobody heard yet", func(*leader) {}, 2 * second, "none"},
		{"nobody heard", func(*leader) {}, 2*second + 1, "6 1@h/1 !2@h/1 !3@h/1"},
		{"one silent", func(l *leader) { hear(l, 2*second, node(2)) }, 3 * second, "6 1@h/1 2@h/1 !3@h/1"},
		{"one deaf", func(l *leader) {
			hear(l, 0, all...)
			hear(l, 3*second, node(2))
			l.renewal(&Renewal{Member: node(3), Ack: 5, Deaf: true}, time.Hour+3*second)
		}, 3 * second, "6 1@h/1 2@h/1 !3@h/1"},
		{"one back", func(l *leader) {
			l.log = l.log.after(&entry{View: newView(t, 6, seats(1, 2, -3))})
			l.log.views = l.log.views[1:]
			for _, m := range all {
				l.renew(m, second, 6)
			}
		}, second, "7 1@h/1 2@h/1 3@h/1"},
		{"one overdue", func(l *leader) {
			hear(l, 0, all...)
			l.viewAt = time.Hour
			l.facts[node(3)] = Fact{Past: 4}
			for _, m := range all[:2] {
				l.renew(m, simLease, 5)
			}
			l.renew(node(3), simLease, 4)
		}, simLease + 1, "6 1@h/1 2@h/1 !3@h/1"},
		{"the leader itself overdue", func(l *leader) {
			hear(l, simLease, all[1:]...)
		}, simLease + 1, "6 !1@h/1 2@h/1 3@h/1"},
		{"one restarted", func(l *leader) { hear(l, second, node(1), node(2), Member{"3@h", 2}) }, second, "6 1@h/1 2@h/1 3@h/2"},
		{"one of before", func(l *leader) { hear(l, second, node(1), node(2), node(3), Member{"3@h", 0}) }, second, "none"},
		{"one joins", func(l *leader) { hear(l, second, append(all, node(4))...) }, second, "6 1@h/1 2@h/1 3@h/1 4@h/1"},
		{"three join", func(l *leader) { hear(l, second, append(all, node(4), node(5), node(6))...) }, second,
			"6 1@h/1 2@h/1 3@h/1 4@h/1 5@h/1 6@h/1"},
		{"one joined and is silent", func(l *leader) { hear(l, 0, node(4)); hear(l, 3*second, all...) }, 3 * second, "none"},
		{"one leaves", func(l *leader) {
			hear(l, second, all...)
			l.renewal(&Renewal{Member: node(3), Ack: 5, Leaving: true}, time.Hour+second)
			hear(l, second, node(3)) // an older renewal, which was late
		}, second, "6 1@h/1 2@h/1 -3@h/1"},
		{"one leaves that has not joined", func(l *leader) {
			hear(l, second, all...)
			l.renewal(&Renewal{Member: node(4), Leaving: true}, time.Hour+second)
		}, second, "none"},
		{"one forgotten", func(l *leader) {
			l.log = l.log.after(&entry{View: newView(t, 6, seats(1, 2, -3))})
			l.present = func(name string) bool { return name != "3@h" }
			for _, m := range all[:2] {
				l.renew(m, 3*second, 6)
			}
		}, 3 * second, "7 1@h/1 2@h/1"},
		{"one forgotten and not failed", func(l *leader) {
			l.present = func(name string) bool { return name != "3@h" }
			hear(l, second, all...)
		}, second, "none"},
		{"another routing", func(l *leader) { l.routing = placement.Rendezvous; hear(l, second, all...) }, second, "6 1@h/1 2@h/1 3@h/1"},
		{"a member knows a later view", func(l *leader) { hear(l, second, all...); l.renew(node(2), second, 50) }, second, "51 1@h/1 2@h/1 3@h/1"},
	} {
		l := newTestLeader(newView(t, 5, seats(1, 2, 3)))
		test.do(l)
		if got := describe(l.wanted(time.Hour + test.at)); got != test.want {
			t.Errorf("%s: wants %s, want %s", test.name, got, test.want)
		}
	}
}

// TestLeavers checks how long a member that leaves is in the views.
func TestLeavers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		fact Fact
		at   time.Duration
		want string
	}{
		{"runs", Fact{Past: 6, Busy: keys(4)}, second, "7 1@h/1 2@h/1 -3@h/1"},
		{"behind", Fact{Past: 5}, second, "7 1@h/1 2@h/1 -3@h/1"},
		{"done", Fact{Past: 6}, second, "7 1@h/1 2@h/1"},
		{"dead", Fact{Past: 5, Busy: keys(4)}, outlived + 1, "7 1@h/1 2@h/1"},
	} {
		l := newTestLeader(newView(t, 5, seats(1, 3)), newView(t, 6, seats(1), node(3)))
		l.facts[node(3)] = test.fact
		l.renew(node(1), test.at, 6)
		l.renew(node(2), test.at, 0)
		if got := describe(l.wanted(time.Hour + test.at)); got != test.want {
			t.Errorf("%s: wants %s, want %s", test.name, got, test.want)
		}
	}
	// A node that starts again while its last life leaves has both a seat and a leaver.
	l := newTestLeader(newView(t, 6, seats(1), node(3)))
	l.renew(node(1), second, 6)
	l.renew(Member{"3@h", 2}, second, 0)
	if got := describe(l.wanted(time.Hour + second)); got != "7 1@h/1 3@h/2 -3@h/1" {
		t.Errorf("wants %s", got)
	}
}

// TestFirstView checks that the first view comes when the leases of a log that was lost are
// over, and above the epochs that members know (rule 24).
func TestFirstView(t *testing.T) {
	t.Parallel()
	l := newTestLeader()
	if a, _ := l.renew(node(1), 0, 0); a != nil {
		t.Error("an answer without a view")
	}
	l.renew(node(2), second, 41)
	l.renew(node(1), outlived, 0)
	if e, _ := l.tick(time.Hour + outlived); e != nil {
		t.Errorf("proposes %v while leases of before may be left", describe(e.View))
	}
	l.renew(node(2), outlived, 40, 3)
	e, _ := l.tick(time.Hour + outlived + 1)
	if e == nil || describe(e.View) != "42 1@h/1 2@h/1" {
		t.Fatalf("proposes %+v", e)
	}
	l.commit(t, e, outlived+2)
	if a, _ := l.renew(node(1), outlived+3, 42); !a.Lease {
		t.Error("no lease in the first view")
	}
}

// TestProposals checks that views come one at a time, and not too often.
func TestProposals(t *testing.T) {
	t.Parallel()
	l := newTestLeader(newView(t, 5, seats(1, 2)))
	at := second
	hear := func(extra ...Member) {
		for _, m := range append(extra, node(1), node(2)) {
			l.renew(m, at, l.log.newest().Epoch)
		}
	}
	hear(node(3))
	first, _ := l.tick(time.Hour + at)
	if first == nil || first.View == nil || l.next != first.View {
		t.Fatalf("proposes %+v", first)
	}
	hear(node(4))
	if e, _ := l.tick(time.Hour + at + 9*second); e != nil {
		t.Errorf("proposes %+v while an entry is pending", e)
	}
	l.commit(t, first, at)
	hear(node(3), node(4))
	if e, _ := l.tick(time.Hour + at); e == nil || e.Retire != 6 {
		t.Errorf("proposes %+v", e)
	} else {
		l.commit(t, e, at)
	}
	at += second - 1
	hear(node(3), node(4))
	if e, _ := l.tick(time.Hour + at); e != nil {
		t.Errorf("proposes %+v too soon", e)
	}
	at++
	if e, _ := l.tick(time.Hour + at); e == nil || describe(e.View) != "7 1@h/1 2@h/1 3@h/1 4@h/1" {
		t.Errorf("proposes %+v", e)
	}
	// A member that leaves does not wait, unless it has no seat.
	leave := func(m Member) *entry {
		l.settled()
		l.renewal(&Renewal{Member: m, Leaving: true}, time.Hour+at)
		e, _ := l.tick(time.Hour + at)
		return e
	}
	if e := leave(node(5)); e != nil {
		t.Errorf("one leaves that has no seat, and the leader proposes %+v", e)
	}
	if e := leave(node(2)); e == nil || describe(e.View) != "7 1@h/1 3@h/1 4@h/1 -2@h/1" {
		t.Errorf("one leaves, and the leader proposes %+v", e)
	}
	// An entry that is lost is proposed again.
	l.settled()
	if e, _ := l.tick(time.Hour + at + second); e == nil || l.next == nil || l.next.Epoch != 7 {
		t.Errorf("proposes %+v", e)
	}
}

// TestLeaderBounded has a node claim ever other incarnations, and restart ever again. The leader
// keeps no more for that than for one.
func TestLeaderBounded(t *testing.T) {
	t.Parallel()
	for _, step := range []uint64{1, math.MaxUint64} { // rising and falling
		l := newTestLeader(newView(t, 1, seats(1, 2)))
		m := Member{Name: "9@h", Incarnation: 1 << 40}
		for range 100 {
			m.Incarnation += step
			l.renew(m, second, 1, 1, 2, 3)
		}
		if len(l.facts) > 3 || len(l.told) > 3 || len(l.seen) > 3 {
			t.Errorf("%d facts, %d told, %d seen", len(l.facts), len(l.told), len(l.seen))
		}
	}
	l := newTestLeader(newView(t, 1, seats(1, 2)))
	for i := range 100 {
		now := time.Duration(i) * 10 * second
		l.renew(node(1), now, l.log.newest().Epoch)
		l.renew(Member{Name: "2@h", Incarnation: 10 + uint64(i)}, now, l.log.newest().Epoch)
		e, _ := l.tick(time.Hour + now)
		for e != nil {
			l.commit(t, e, now)
			e, _ = l.tick(time.Hour + now)
		}
		l.renew(Member{Name: "2@h", Incarnation: 10 + uint64(i)}, now, l.log.newest().Epoch)
	}
	if len(l.granted) > 4 || len(l.facts) > 4 || len(l.told) > 4 || len(l.came) > 4 {
		t.Errorf("%d granted, %d facts, %d told, %d came", len(l.granted), len(l.facts), len(l.told), len(l.came))
	}
}
