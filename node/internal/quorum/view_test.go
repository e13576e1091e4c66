package quorum

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// node returns the member of a number in its first life.
func node(i int) Member { return Member{fmt.Sprint(i, "@h"), 1} }

// seats returns the seats of members of some numbers. Those of negative numbers have failed.
func seats(numbers ...int) (list []Seat) {
	for _, i := range numbers {
		list = append(list, Seat{Member: node(max(i, -i)), Failed: i < 0})
	}
	return list
}

// newView returns a view that is ready for use.
func newView(t testing.TB, epoch uint64, seats []Seat, leavers ...Member) *View {
	t.Helper()
	v := &View{Epoch: epoch, Seats: seats, Leavers: leavers}
	if err := v.arrange(); err != nil {
		t.Fatal(err)
	}
	return v
}

func keys(ids ...int64) (list []worker.Key) {
	for _, id := range ids {
		list = append(list, worker.Key{ID: worker.IntID(id)})
	}
	return list
}

// TestActing checks that an id has one place at most, which has not failed.
func TestActing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		seats []Seat
		id    int64
		want  Member
		ok    bool
	}{
		{nil, 1, Member{}, false},
		{seats(1, 2, 3), 0, node(1), true},
		{seats(3, 2, 1), 1, node(2), true},
		{seats(1, 2, 10), 2, node(10), true},
		{seats(-1, 2), 0, node(2), true},
		{seats(-1, -2), 0, Member{}, false},
		{seats(-1), 0, Member{}, false},
	} {
		m, ok := newView(t, 1, test.seats).Acting(worker.IntID(test.id))
		if ok != test.ok || ok && m != test.want {
			t.Errorf("%v acts for %d in %v, %t", m, test.id, test.seats, ok)
		}
	}
}

// TestActingProperty checks that the place of an id depends on the seats alone, not on the
// order in which a peer lists them.
func TestActingProperty(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 9; n++ {
		for failed := range 1 << n {
			var list []Seat
			for i := range n {
				list = append(list, Seat{Member: node(i + 1), Failed: failed>>i&1 == 1})
			}
			other := slices.Clone(list)
			slices.Reverse(other)
			a, b := newView(t, 1, list), newView(t, 1, other)
			for id := range int64(n) {
				m, ok := a.Acting(worker.IntID(id))
				if o, ok2 := b.Acting(worker.IntID(id)); m != o || ok != ok2 {
					t.Fatalf("%v and %v act for %d", m, o, id)
				}
				if i := a.seat(m); ok && (i < 0 || a.Seats[i].Failed) || !ok && failed != 1<<n-1 {
					t.Fatalf("%v acts for %d in %v: %t", m, id, a.Seats, ok)
				}
			}
		}
	}
}

// TestMerge checks that a fact is never replaced by less.
func TestMerge(t *testing.T) {
	t.Parallel()
	old := Fact{Past: 5, Busy: keys(1, 2)}
	for _, test := range []struct {
		name     string
		add, now Fact
		news     bool
	}{
		{"older", Fact{Past: 4}, old, false},
		{"later", Fact{Past: 6, Busy: keys(7)}, Fact{Past: 6, Busy: keys(7)}, true},
		{"the same", old, old, false},
		{"fewer", Fact{Past: 5, Busy: keys(2)}, Fact{Past: 5, Busy: keys(2)}, true},
		{"none", Fact{Past: 5}, Fact{Past: 5}, true},
		{"others", Fact{Past: 5, Busy: keys(2, 3)}, Fact{Past: 5, Busy: keys(2)}, true},
		{"more", Fact{Past: 5, Busy: keys(1, 2, 3)}, old, false},
	} {
		f := Facts{node(1): Fact{Past: old.Past, Busy: slices.Clone(old.Busy)}}
		if news := f.merge(node(1), test.add); news != test.news {
			t.Errorf("%s: news is %t", test.name, news)
		}
		if got := f[node(1)]; got.Past != test.now.Past || !slices.Equal(got.Busy, test.now.Busy) {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	if !slices.Equal(old.Busy, keys(1, 2)) {
		t.Error("merge has changed a fact that others have")
	}
}

// TestViewsOfPeers checks that views that make no sense are refused.
func TestViewsOfPeers(t *testing.T) {
	t.Parallel()
	many := make([]Seat, 20_000)
	for i := range many {
		many[i].Name = fmt.Sprint("n", i, "@h")
	}
	for _, test := range []struct {
		name  string
		views []*View
		ok    bool
	}{
		{"nothing", nil, true},
		{"nil", []*View{nil}, false},
		{"no epoch", []*View{{Seats: seats(1)}}, false},
		{"no name", []*View{{Epoch: 1, Seats: []Seat{{}}}}, false},
		{"a port", []*View{{Epoch: 1, Seats: []Seat{{Member: Member{Name: "1@h:5"}}}}}, false},
		{"twice", []*View{{Epoch: 1, Seats: seats(1, 1)}}, false},
		{"two spellings", []*View{{Epoch: 1, Seats: []Seat{{Member: Member{Name: "1@h"}}, {Member: Member{Name: "1@H"}}}}}, false},
		{"two lives", []*View{{Epoch: 1, Seats: []Seat{{Member: Member{"1@h", 1}}, {Member: Member{"1@h", 2}}}}}, false},
		{"the same epoch", []*View{{Epoch: 1}, {Epoch: 1}}, false},
		{"falling epochs", []*View{{Epoch: 2}, {Epoch: 1}}, false},
		{"unknown routing", []*View{{Epoch: 1, Routing: 200, Seats: seats(1)}}, true},
		{"many", []*View{{Epoch: 1, Seats: many}}, true},
	} {
		if err := checkViews(test.views); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// FuzzViews has a peer send any views. What passes the check can be used.
func FuzzViews(f *testing.F) {
	f.Add("1@h,2@h", "2@h", uint64(1), uint64(2), uint8(0), int64(3))
	f.Add("1@h,1@h", "", uint64(0), uint64(0), uint8(1), int64(-1))
	f.Add("1@H,1@h", ",", uint64(2), uint64(1), uint8(9), int64(1))
	f.Fuzz(func(t *testing.T, first, second string, e1, e2 uint64, routing uint8, id int64) {
		views := []*View{
			{Epoch: e1, Routing: placement.Routing(routing), Seats: seatsOf(first), Leavers: []Member{{Name: second}}},
			{Epoch: e2, Seats: seatsOf(second)},
		}
		if checkViews(views) != nil {
			return
		}
		r := &Rights{me: Member{Name: "1@h"}}
		r, _ = r.take(&Answer{Views: views, Facts: Facts{node(9): {Past: 9}}, Lease: true}, 0, 1, 5)
		if r.Newest() != views[1] {
			t.Fatal("the newest view is not acted on")
		}
		k := worker.Key{ID: worker.IntID(id)}
		if v, by, _ := r.verdict(k); v == Granted && by != r.me {
			t.Errorf("%v acts for %v", by, k)
		}
		r.acknowledge([]worker.Key{k})
		r.covers(k.ID, 0)
		r.mayGo()
	})
}

// seatsOf returns a seat for each name in a list. Those with a "!" have failed.
func seatsOf(names string) (list []Seat) {
	for name := range strings.SplitSeq(names, ",") {
		failed := len(name) > 0 && name[0] == '!'
		if failed {
			name = name[1:]
		}
		list = append(list, Seat{Member: Member{Name: name}, Failed: failed})
	}
	return list
}
