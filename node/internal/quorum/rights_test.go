package quorum

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

const simLease = 5 * time.Second

// granted returns the rights of a member that has taken an answer with a lease at 0.
func granted(t testing.TB, me Member, facts Facts, views ...*View) *Rights {
	t.Helper()
	r, news := (&Rights{me: me}).take(&Answer{Views: views, Facts: facts, Lease: true}, 0, 1, simLease)
	if !news || r.Newest() != views[len(views)-1] {
		t.Fatal("the first answer was not taken")
	}
	return r
}

// TestVerdict checks when a call may start (rule 9). Of two members, the first acts for 0.
func TestVerdict(t *testing.T) {
	t.Parallel()
	both, alone, second := seats(1, 2), seats(1), seats(-1, 2)
	view := func(epoch uint64, s []Seat) *View { return newView(t, epoch, slices.Clone(s)) }
	past := func(p uint64, busy ...int64) Facts { return Facts{node(2): {Past: p, Busy: keys(busy...)}} }
	for _, test := range []struct {
		name  string
		views []*View
		facts Facts
		want  Verdict
		by    Member
	}{
		{"its own", []*View{view(5, both)}, nil, Granted, node(1)},
		{"of another", []*View{view(5, second)}, nil, NotOwner, node(2)},
		{"of nobody", []*View{view(5, seats(-1, -2))}, nil, NotOwner, Member{}},
		{"an older view gave it to another", []*View{view(4, second), view(5, both)}, nil, Occupied, node(2)},
		{"that one has passed it not quite", []*View{view(4, second), view(5, both)}, past(4), Occupied, node(2)},
		{"that one has passed it", []*View{view(4, second), view(5, both)}, past(5), Granted, node(1)},
		{"that one still runs it", []*View{view(4, second), view(5, both)}, past(5, 0), Occupied, node(2)},
		{"that one runs others", []*View{view(4, second), view(5, both)}, past(5, 2), Granted, node(1)},
		{"the oldest view counts, too", []*View{view(3, second), view(4, both), view(5, both)}, past(3), Occupied, node(2)},
		{"an older view gave it to itself", []*View{view(4, alone), view(5, both)}, nil, Granted, node(1)},
		{"an older view gave it to nobody", []*View{view(4, seats(-1, -2)), view(5, both)}, nil, Granted, node(1)},
		{"it runs since a view that is retired", []*View{view(5, both)}, past(5, 0), Occupied, node(2)},
	} {
		r := granted(t, node(1), test.facts, test.views...)
		if v, by, _ := r.verdict(keys(0)[0]); v != test.want || by != test.by {
			t.Errorf("%s: verdict %d because of %v, want %d, %v", test.name, v, by, test.want, test.by)
		}
	}
	if v, _, _ := (&Rights{me: node(1)}).verdict(keys(0)[0]); v != NoView {
		t.Errorf("without a view the verdict is %d", v)
	}
	r := granted(t, node(1), nil, view(5, both))
	r.leaving = true
	if v, _, _ := r.verdict(keys(0)[0]); v != Leaving {
		t.Errorf("of a member that leaves, the verdict is %d", v)
	}
}

// TestTakeLease checks how long a lease is valid, and which calls it covers (rules 8 and 10).
func TestTakeLease(t *testing.T) {
	t.Parallel()
	v := newView(t, 5, seats(1, 2))
	answer := &Answer{Views: []*View{v}, Lease: true}
	r := granted(t, node(1), nil, v)
	if !r.leased(simLease-1) || r.leased(simLease) || r.Left(time.Second) != simLease-time.Second {
		t.Errorf("a lease sent at 0 ends at %v", r.end)
	}
	since := r.version
	later, _ := r.take(answer, 2*time.Second, 3*time.Second, simLease)
	if later.end != 7*time.Second || later.held != r.held {
		t.Errorf("renewed without a gap: end %v, held since %d, was %d", later.end, later.held, r.held)
	}
	if old, _ := later.take(answer, time.Second, 4*time.Second, simLease); old.end != later.end {
		t.Error("an answer that was late has shortened the lease")
	}
	if none, _ := later.take(&Answer{Views: answer.Views}, 4*time.Second, 4*time.Second, simLease); none.end != later.end {
		t.Error("an answer without a lease has changed the lease")
	}
	if late, _ := r.take(answer, simLease, 3*simLease, simLease); late.end != r.end || late.held != r.held {
		t.Error("a lease was taken that had ended already")
	}
	// The old lease has ended when the new one is taken, though not when that was asked for.
	gap, _ := r.take(answer, 4*time.Second, simLease, simLease)
	if gap.end != 9*time.Second || gap.held <= since {
		t.Errorf("renewed with a gap: end %v, held since %d, calls since %d", gap.end, gap.held, since)
	}
	if gap.covers(worker.IntID(0), since) || !gap.covers(worker.IntID(0), gap.version) {
		t.Error("what was kept of before the gap counts still, or what came after does not")
	}
	if v, _, _ := gap.verdict(keys(0)[0]); v != Granted {
		t.Errorf("after the gap the verdict is %d", v)
	}
}

// TestTakeViews checks that views, facts and lease are taken together, or not at all (rule 7).
func TestTakeViews(t *testing.T) {
	t.Parallel()
	v4, v5, v6 := newView(t, 4, seats(1)), newView(t, 5, seats(1, 2)), newView(t, 6, seats(-1, 2))
	r := granted(t, node(1), Facts{node(2): {Past: 3}}, v4, v5)
	for _, test := range []struct {
		name  string
		views []*View
		facts Facts
		want  []uint64
		past  uint64
		news  bool
	}{
		{"an older one", []*View{v4}, Facts{node(2): {Past: 9}}, []uint64{4, 5}, 3, false},
		{"the same", []*View{v4, v5}, Facts{node(2): {Past: 3}}, []uint64{4, 5}, 3, false},
		{"a fact", []*View{v4, v5}, Facts{node(2): {Past: 5}}, []uint64{4, 5}, 5, true},
		{"less of a fact", []*View{v4, v5}, Facts{node(2): {Past: 2}}, []uint64{4, 5}, 3, false},
		{"no fact", []*View{v4, v5}, nil, []uint64{4, 5}, 3, false},
		{"of a stranger", []*View{v4, v5}, Facts{node(7): {Past: 5}}, []uint64{4, 5}, 3, false},
		{"one is retired", []*View{v5}, nil, []uint64{5}, 3, true},
		{"a newer one", []*View{v4, v5, v6}, nil, []uint64{4, 5, 6}, 3, true},
		{"a newer one alone", []*View{v6}, nil, []uint64{6}, 3, true},
	} {
		next, news := r.take(&Answer{Views: test.views, Facts: test.facts, Lease: true}, 2*time.Second, 2*time.Second, simLease)
		var got []uint64
		for _, v := range next.views {
			got = append(got, v.Epoch)
		}
		if news != test.news || !slices.Equal(got, test.want) || next.facts[node(2)].Past != test.past {
			t.Errorf("%s: views %v, facts %v, news %t", test.name, got, next.facts, news)
		}
		if (next.version != r.version) != test.news {
			t.Errorf("%s: version %d after %d", test.name, next.version, r.version)
		}
		if dropped := test.views[len(test.views)-1].Epoch < 5; dropped != (next.end == r.end) {
			t.Errorf("%s: the lease ends at %v, before at %v", test.name, next.end, r.end)
		}
		if next.facts[node(7)].Past != 0 {
			t.Errorf("%s: a fact is kept of one that has no rights", test.name)
		}
	}
	one, _ := r.take(&Answer{Views: []*View{v5}}, 0, 1, simLease)
	if back, _ := one.take(&Answer{Views: []*View{v4, v5, v6}}, 0, 1, simLease); len(back.views) != 2 {
		t.Error("a view that was retired has come back")
	}
	if len(r.views) != 2 || r.facts[node(2)].Past != 3 {
		t.Error("rights have changed that others have")
	}
}

// TestCovers checks that what a server keeps of an id ends when another member has acted for
// the id since, though both views that moved it are retired already.
func TestCovers(t *testing.T) {
	t.Parallel()
	v5, v6, v7 := newView(t, 5, seats(1, 2)), newView(t, 6, seats(-1, 2)), newView(t, 7, seats(1, 2))
	id := worker.IntID(0)
	r := granted(t, node(1), nil, v5)
	since := r.version
	take := func(views ...*View) {
		r, _ = r.take(&Answer{Views: views, Lease: true}, 2*time.Second, 2*time.Second, simLease)
	}
	if !r.covers(id, since) {
		t.Error("its own id is not covered")
	}
	take(v5, v6)
	if r.covers(id, since) {
		t.Error("covered under a view that gives the id to another")
	}
	take(v5, v6, v7)
	if r.covers(id, since) {
		t.Error("covered though another had it between")
	}
	take(v7)
	if r.covers(id, since) {
		t.Error("covered though another had it between, by a view that is retired")
	}
	if !r.covers(id, r.version) {
		t.Error("not covered from now on")
	}
}

// TestCoversThrough checks that what a server keeps stays when views come and go that all give
// the id to the same member.
func TestCoversThrough(t *testing.T) {
	t.Parallel()
	r := granted(t, node(1), nil, newView(t, 5, seats(1, 2)))
	since := r.version
	r, _ = r.take(&Answer{Views: []*View{newView(t, 5, seats(1, 2)), newView(t, 6, seats(1, -2))}, Lease: true}, 2*time.Second, 2*time.Second, simLease)
	r, _ = r.take(&Answer{Views: []*View{newView(t, 6, seats(1, -2))}, Lease: true}, 3*time.Second, 3*time.Second, simLease)
	if !r.covers(worker.IntID(0), since) {
		t.Error("not covered though it had the id all the time")
	}
}

// TestAcknowledge checks what a member says of the calls that it runs (rules 4 and 12).
func TestAcknowledge(t *testing.T) {
	t.Parallel()
	v5, v6 := newView(t, 5, seats(1, 2)), newView(t, 6, seats(-1, 2))
	for _, test := range []struct {
		name    string
		views   []*View
		running []worker.Key
		ack     uint64
		busy    []worker.Key
	}{
		{"no view", nil, keys(1), 0, nil},
		{"nothing", []*View{v5, v6}, nil, 6, nil},
		{"its own", []*View{v5}, keys(0, 2, 4), 5, nil},
		{"not its own", []*View{v5}, keys(3, 0, 1), 5, keys(1, 3)},
		{"no more its own", []*View{v5, v6}, keys(4, 2, 2, 0), 6, keys(0, 2, 4)},
	} {
		r := &Rights{me: node(1), views: test.views}
		ack, busy := r.acknowledge(test.running)
		if ack != test.ack || !slices.Equal(busy, test.busy) {
			t.Errorf("%s: %d, busy with %v", test.name, ack, busy)
		}
	}
	var many []worker.Key
	for i := range MaxBusy + 1 {
		many = append(many, worker.Key{ID: worker.IntID(int64(2 * i))})
	}
	r := &Rights{me: node(1), views: []*View{v5, v6}}
	if ack, busy := r.acknowledge(many); ack != 5 || len(busy) != 0 {
		t.Errorf("with too many to list it acknowledges %d, with %d busy", ack, len(busy))
	}
	if ack, busy := r.acknowledge(many[1:]); ack != 6 || len(busy) != MaxBusy {
		t.Errorf("with as many as can be listed it acknowledges %d, with %d busy", ack, len(busy))
	}
	r.views = r.views[1:]
	if ack, busy := r.acknowledge(many); ack != 0 || busy != nil {
		t.Errorf("with too many under all views it acknowledges %d, with %d busy", ack, len(busy))
	}
}

// TestMayGo checks when a member that leaves may end (rule 14).
func TestMayGo(t *testing.T) {
	t.Parallel()
	seated, left, gone := newView(t, 5, seats(1, 2)), newView(t, 6, seats(2), node(1)), newView(t, 7, seats(2))
	for _, test := range []struct {
		views []*View
		want  bool
	}{
		{nil, false},
		{[]*View{seated}, false},
		{[]*View{seated, left}, false},
		{[]*View{seated, left, gone}, false},
		{[]*View{left}, true},
		{[]*View{left, gone}, true},
		{[]*View{gone}, true},
	} {
		if got := (&Rights{me: node(1), views: test.views}).mayGo(); got != test.want {
			t.Errorf("%s: %t", fmt.Sprint(len(test.views)), got)
		}
	}
}
