package quorum

import (
	"math"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
)

// newTestLeader returns the leader 1@h of a log with views, elected at an hour of its clock.
func newTestLeader(views ...*View) *leader {
	s := &state{cluster: "c", views: views}
	if len(views) > 0 {
		s.retired = views[0].Epoch
	}
	return newLeader(node(1), placement.Modulo, NewTiming(simLease), func(string) bool { return true }, s, time.Hour)
}

// renew has a member renew that acknowledges a view and runs ids that are not its own.
func (l *leader) renew(m Member, now time.Duration, ack uint64, busy ...int64) (a *Answer, news bool) {
	return l.renewal(&Renewal{Member: m, Ack: ack, Busy: keys(busy...)}, time.Hour+now)
}

// commit has the log take an entry.
func (l *leader) commit(t *testing.T, e *entry, now time.Duration) (news bool) {
	t.Helper()
	if e == nil {
		t.Fatal("the leader proposes nothing")
	}
	if e.View != nil {
		if err := e.View.arrange(); err != nil {
			t.Fatal(err)
		}
	}
	news = l.applied(l.log.after(e), time.Hour+now)
	l.settled()
	return news
}

const (
	second   = time.Second
	outlived = 5106010102 // 5 s × 1.01/0.99, rounded up, and readError
)

// TestOutlived checks the time after which a lease of a slow clock has ended, by a fast one.
func TestOutlived(t *testing.T) {
	t.Parallel()
	for _, lease := range []time.Duration{second, 2 * second, simLease, 15 * second} {
		out := NewTiming(lease).outlived()
		passed := float64(out-readError) / (1 + drift)
		if held := time.Duration(passed * (1 - drift)); held < lease-time.Nanosecond || held > lease+time.Microsecond {
			t.Errorf("a lease of %v is held to be over after %v of a slow clock", lease, held)
		}
	}
	if out := NewTiming(simLease).outlived(); out != outlived {
		t.Errorf("outlived is %d", out)
	}
}

// TestLeases checks who gets a lease (rule 18). In view 6, member 3 has failed and 4 leaves.
func TestLeases(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		r    Renewal
		at   time.Duration // since view 6 was committed
		next *View         // is proposed
		want bool
	}{
		{"in time", Renewal{Member: node(2), Ack: 6}, 0, nil, true},
		{"deaf", Renewal{Member: node(2), Ack: 6, Deaf: true}, 0, nil, false},
		{"a stranger", Renewal{Member: node(9), Ack: 6}, 0, nil, false},
		{"another life", Renewal{Member: Member{"2@h", 2}, Ack: 6}, 0, nil, false},
		{"behind", Renewal{Member: node(2), Ack: 5}, simLease, nil, true},
		{"behind for too long", Renewal{Member: node(2), Ack: 5}, simLease + 1, nil, false},
		{"failed, behind", Renewal{Member: node(3), Ack: 5}, 0, nil, false},
		{"failed, not behind", Renewal{Member: node(3), Ack: 6}, 9 * second, nil, true},
		{"a leaver, behind", Renewal{Member: node(4), Ack: 5}, 0, nil, false},
		{"a leaver, not behind", Renewal{Member: node(4), Ack: 6}, 9 * second, nil, true},
		{"about to fail, behind", Renewal{Member: node(2), Ack: 5}, 0, &View{Epoch: 7, Seats: seats(1, -2)}, false},
		{"about to go, behind", Renewal{Member: node(2), Ack: 5}, 0, &View{Epoch: 7, Seats: seats(1)}, false},
		{"about to leave, behind", Renewal{Member: node(2), Ack: 5}, 0, &View{Epoch: 7, Seats: seats(1), Leavers: []Member{node(2)}}, true},
		{"another about to fail, behind", Renewal{Member: node(2), Ack: 5}, 0, &View{Epoch: 7, Seats: seats(1, 2, -3)}, true},
		{"about to fail, not behind", Renewal{Member: node(2), Ack: 6}, 0, &View{Epoch: 7, Seats: seats(1, -2)}, true},
	} {
		l := newTestLeader(newView(t, 5, seats(1, 2, 3, 4)), newView(t, 6, seats(1, 2, -3), node(4)))
		l.next = test.next
		a, _ := l.renewal(&test.r, time.Hour+test.at)
		if a.Lease != test.want {
			t.Errorf("%s: lease %t", test.name, a.Lease)
		}
		if _, noted := l.granted[test.r.Member]; noted != a.Lease {
			t.Errorf("%s: lease %t, noted %t", test.name, a.Lease, noted)
		}
		if got := l.facts[test.r.Member].Past; got != test.r.Ack {
			t.Errorf("%s: the acknowledgement of %d was taken as %d", test.name, test.r.Ack, got)
		}
		if len(a.Views) != 2 || a.Views[1] != l.log.newest() {
			t.Errorf("%s: the answer has the views %v", test.name, a.Views)
		}
	}
}

// TestRunOut checks that what is not known of a member is so until its last lease has ended by
// any clock, counted from the grant or else from the election (rules 15 and 16).
func TestRunOut(t *testing.T) {
	t.Parallel()
	v5, v6 := newView(t, 5, seats(1, 2, 3, 4)), newView(t, 6, seats(1, 2, -3), node(4))
	l := newTestLeader(v5, v6)
	if l.renew(node(1), second, 6); l.facts[node(1)].Past != 6 {
		t.Fatal("its own acknowledgement was not taken")
	}
	l.renew(node(2), 2*second, 5, 7)
	a, _ := l.renew(node(1), outlived, 6)
	if a.Facts[node(3)].Past != 0 || a.Facts[node(4)].Past != 0 {
		t.Errorf("a new leader takes leases of before as over after %v: %v", time.Duration(outlived), a.Facts)
	}
	if next := l.nextRunOut(time.Hour + outlived); next != time.Hour+outlived+1 {
		t.Errorf("it wakes at %v", next-time.Hour)
	}
	a, news := l.renew(node(1), outlived+1, 6)
	if a.Facts[node(3)].Past != 6 || a.Facts[node(4)].Past != 6 || !news {
		t.Errorf("leases of before are not over after %v: %v", time.Duration(outlived+1), a.Facts)
	}
	if f := a.Facts[node(2)]; f.Past != 5 || len(f.Busy) != 1 {
		t.Errorf("the lease of one that had it later is over: %v", f)
	}
	l.tick(time.Hour + 2*second + outlived)
	l.settled()
	if f := l.facts[node(2)]; f.Past != 5 {
		t.Errorf("a lease is over when it may be valid yet: %v", f)
	}
	if _, news := l.tick(time.Hour + 2*second + outlived + 1); !news {
		t.Error("no news when a lease is over")
	}
	if f := l.facts[node(2)]; f.Past != 6 || len(f.Busy) > 0 {
		t.Errorf("a lease is not over: %v", f)
	}
	// Busy ids of one that has acknowledged the newest view end with its lease, too.
	l = newTestLeader(v5, v6)
	l.renew(node(2), second, 6, 7)
	if l.tick(time.Hour + second + outlived + 1); len(l.facts[node(2)].Busy) > 0 {
		t.Error("what a member ran is busy when its lease is over")
	}
}

// TestRetired checks when a view is retired (rule 19), and that the log says so.
func TestRetired(t *testing.T) {
	t.Parallel()
	v5, v6, v7 := newView(t, 5, seats(1, 2)), newView(t, 6, seats(1), node(2)), newView(t, 7, seats(1))
	for _, test := range []struct {
		name string
		ack1 uint64
		fact Fact // of 2
		want uint64
	}{
		{"nothing known", 7, Fact{}, 5},
		{"behind", 7, Fact{Past: 5}, 5},
		{"past its seat, and not past the view that it leaves", 7, Fact{Past: 6}, 7},
		{"past both", 7, Fact{Past: 7}, 7},
		{"busy", 7, Fact{Past: 7, Busy: keys(4)}, 5},
		{"busy where it leaves", 7, Fact{Past: 6, Busy: keys(4)}, 5},
		{"the other is behind", 5, Fact{Past: 7}, 5},
		{"the other is past the first", 6, Fact{Past: 7}, 6},
	} {
		l := newTestLeader(v5, v6, v7)
		l.facts[node(2)], l.facts[node(1)] = test.fact, Fact{Past: test.ack1}
		if got := l.retired(); got != test.want {
			t.Errorf("%s: the views before %d are retired, want %d", test.name, got, test.want)
		}
		e, _ := l.tick(time.Hour)
		if want := test.want; want > 5 && (e == nil || e.Retire != want) || want == 5 && e != nil && e.Retire != 0 {
			t.Errorf("%s: proposes %+v", test.name, e)
		}
		if e != nil && !l.pending {
			t.Errorf("%s: nothing is pending", test.name)
		}
		if second, _ := l.tick(time.Hour + time.Minute); e != nil && second != nil {
			t.Errorf("%s: proposes a second entry while the first is pending: %+v", test.name, second)
		}
	}
	if len(newTestLeader(v5, v6, v7).log.views) != 3 {
		t.Error("a view that is not retired is not kept")
	}
}

// TestHostileRenewals checks that no renewal keeps the leader from changing the view.
func TestHostileRenewals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		r    Renewal
	}{
		{"no name", Renewal{}},
		{"a name that is none", Renewal{Member: Member{"nobody", 1}}},
		{"a name with a port", Renewal{Member: Member{"4@h:99", 1}}},
		{"a name spelled otherwise", Renewal{Member: Member{"2@H", 9}}},
		{"the last epoch", Renewal{Member: node(4), Ack: math.MaxUint64}},
		{"almost the last epoch", Renewal{Member: node(4), Ack: math.MaxUint64 - 1}},
		{"the last incarnation", Renewal{Member: Member{"4@h", math.MaxUint64}}},
	} {
		l := newTestLeader(newView(t, 5, seats(1, 2)))
		for _, m := range []Member{node(1), node(2), node(3)} {
			l.renew(m, second, 5)
		}
		hostile := func(at time.Duration) {
			if _, err := test.r.Member.parse(); err == nil { // as voter.renewal
				l.renewal(&test.r, time.Hour+at)
			}
		}
		hostile(second)
		for at := second; len(l.log.newest().Seats) < 3 && at < 5*second; at += second {
			for _, m := range []Member{node(1), node(2), node(3)} {
				l.renew(m, at, l.log.newest().Epoch)
			}
			hostile(at)
			e, _ := l.tick(time.Hour + at)
			if e == nil {
				continue
			}
			if e.View == nil || e.View.arrange() == nil {
				l.applied(l.log.after(e), time.Hour+at)
			}
			l.settled()
		}
		if l.log.newest().seat(node(3)) < 0 {
			t.Errorf("%s: another member cannot join: %s", test.name, describe(l.log.newest()))
		}
		if l.log.newest().Epoch > math.MaxUint64/2 {
			t.Errorf("%s: there are no epochs left after %d", test.name, l.log.newest().Epoch)
		}
	}
}

// TestLeasesOfBefore has a leader whose leases are shorter, or longer, than those of the leader
// before it. No view says so before it is true, and no lease is over before that of then.
func TestLeasesOfBefore(t *testing.T) {
	t.Parallel()
	for _, before := range []time.Duration{simLease / 5, 3 * simLease} {
		v := newView(t, 6, []Seat{{Member: node(1)}, {Member: node(2)}, {Member: node(3)}})
		v.Lease = before
		l := newTestLeader(v)
		over := Timing{Lease: max(before, simLease)}.outlived()
		granted := func(now time.Duration) bool {
			a, _ := l.renew(node(2), now, l.log.newest().Epoch)
			return a.Lease
		}
		if got, want := granted(0), before >= simLease; got != want {
			t.Errorf("leases of %v before: a lease is granted: %t, want %t", before, got, want)
		}
		l.granted = map[Member]time.Duration{}
		if l.leaseOver(node(3), time.Hour+over) || !l.leaseOver(node(3), time.Hour+over+1) {
			t.Errorf("leases of %v before are not taken for over after %v", before, over)
		}
		at := time.Duration(0)
		if before > simLease {
			for _, n := range []int{1, 2, 3} {
				l.renew(node(n), over-second, 6)
			}
			if e, _ := l.tick(time.Hour + over); e != nil && e.View != nil {
				t.Errorf("%+v is proposed while leases of %v may be left", e.View, before)
			}
			at = over + 1
		}
		for _, n := range []int{1, 2, 3} {
			l.renew(node(n), at, 6)
		}
		e, _ := l.tick(time.Hour + at)
		if e == nil || e.View == nil || e.View.Lease != simLease {
			t.Fatalf("leases of %v before: %+v is proposed after %v; want a view with leases of %v", before, e, at, simLease)
		}
		l.commit(t, e, at)
		if !granted(at) {
			t.Error("no lease is granted under the new view")
		}
	}
}
