package placement

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/distproc/distproc/node/worker"
)

var anyName = rapid.Custom(func(t *rapid.T) Name {
	return Name{
		Node: rapid.StringMatching(`[0-9]{1,3}|[a-z]{1,8}`).Draw(t, "node"),
		Host: rapid.SampledFrom([]string{"127.0.0.1", "10.0.0.2", "::1", "a.example"}).Draw(t, "host"),
	}
})

var anyID = rapid.Custom(func(t *rapid.T) worker.ID {
	id, err := worker.ParseID(rapid.OneOf(rapid.StringMatching(`-?[1-9][0-9]{0,30}`), rapid.StringN(0, 20, 80)).Draw(t, "id"))
	if err != nil {
		t.Fatal(err)
	}
	return id
})

// TestOwnersAgreeProperty: whoever knows the same members, in whatever order they came to
// know them, chooses the same owner, and has the same epoch.
func TestOwnersAgreeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(anyName, 1, 12, rapid.ID[Name]).Draw(t, "names")
		r := Routing(rapid.IntRange(0, 1).Draw(t, "routing"))
		ring := func(names []Name) *Ring {
			var slots []Slot
			for _, n := range names {
				slots = append(slots, Slot{Name: n})
			}
			return NewRing(r, slots)
		}
		a := ring(names)
		shuffled := slices.Clone(names)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		b := ring(shuffled)
		if a.Epoch() != b.Epoch() {
			t.Fatalf("epochs %d and %d of the same members", a.Epoch(), b.Epoch())
		}
		for range 20 {
			id := anyID.Draw(t, "id")
			if x, y := a.Slot(a.Owner(id)).Name, b.Slot(b.Owner(id)).Name; x != y {
				t.Fatalf("owner of %s: %s and %s", id, x, y)
			}
		}
	})
}

// TestRendezvousMovesLittle: a newcomer takes its share, from all alike, and nothing else
// moves.
func TestRendezvousMovesLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(anyName, 2, 12, rapid.ID[Name]).Draw(t, "names")
		newcomer := names[0]
		before, after := ringOf(Rendezvous, names[1:]), ringOf(Rendezvous, names)
		for range 50 {
			id := anyID.Draw(t, "id")
			old, now := before.Slot(before.Owner(id)), after.Slot(after.Owner(id))
			if now != old && now.Name != newcomer {
				t.Fatalf("%s moved from %s to %s when %s joined", id, old.Name, now.Name, newcomer)
			}
		}
	})
}

// TestLoadIsEven: modulo is within 1 % of even over 100,000 integer ids; rendezvous is a
// random choice, which is within five standard deviations of even.
func TestLoadIsEven(t *testing.T) {
	const ids = 100_000
	for _, r := range []Routing{Modulo, Rendezvous} {
		for _, n := range []int{2, 3, 5, 10, 30} {
			var names []Name
			for i := range n {
				names = append(names, Name{fmt.Sprint(i + 1), "127.0.0.1"})
			}
			ring := ringOf(r, names)
			load := make([]int, n)
			for i := range ids {
				load[ring.Owner(worker.IntID(int64(i)))]++
			}
			even := float64(ids) / float64(n)
			tolerance := even / 100
			if r == Rendezvous {
				tolerance = 5 * math.Sqrt(even*(1-1/float64(n)))
			}
			for i, l := range load {
				if math.Abs(float64(l)-even) > tolerance {
					t.Errorf("%s: slot %d of %d has %d ids, even is %.0f ± %.0f", r, i, n, l, even, tolerance)
				}
			}
		}
	}
}

// TestCrashMovesOneSeat: when a member fails, the ids that it answered for are spread
// over the rest, and no other id moves; when it is back, all is as it was.
func TestCrashMovesOneSeat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(anyName, 2, 12, rapid.ID[Name]).Draw(t, "names")
		r := Routing(rapid.IntRange(0, 1).Draw(t, "routing"))
		slots := ringOf(r, names).slots
		for i := range slots { // some have failed before
			slots[i].Failed = rapid.IntRange(0, 4).Draw(t, "failed") == 0
		}
		lost := rapid.IntRange(0, len(slots)-1).Draw(t, "lost")
		slots[lost].Failed = false
		before := NewRing(r, slots)
		slots[lost].Failed = true
		after := NewRing(r, slots)
		alive := slices.IndexFunc(slots, func(s Slot) bool { return !s.Failed }) >= 0
		for range 50 {
			id := anyID.Draw(t, "id")
			old, now := before.Acting(id), after.Acting(id)
			switch {
			case old != lost && now != old:
				t.Fatalf("%s moved from %s to %s when %s failed", id, slots[old].Name, slots[now].Name, slots[lost].Name)
			case old == lost && alive && after.Slot(now).Failed:
				t.Fatalf("%s went to %s, which has failed", id, slots[now].Name)
			}
		}
	})
}

// TestFallbacksShare: what a failed member leaves is spread over all others, within five
// standard deviations of even.
func TestFallbacksShare(t *testing.T) {
	const ids = 100_000
	for _, r := range []Routing{Modulo, Rendezvous} {
		for _, n := range []int{3, 5, 10, 30} {
			var names []Name
			for i := range n {
				names = append(names, Name{fmt.Sprint(i + 1), "127.0.0.1"})
			}
			slots := ringOf(r, names).slots
			slots[1].Failed = true
			ring := NewRing(r, slots)
			load, moved := make([]int, n), 0
			for i := range ids {
				if id := worker.IntID(int64(i)); ring.Owner(id) == 1 {
					load[ring.Acting(id)]++
					moved++
				}
			}
			even := float64(moved) / float64(n-1)
			tolerance := 5 * math.Sqrt(even*(1-1/float64(n-1)))
			for i, l := range load {
				if i != 1 && math.Abs(float64(l)-even) > tolerance || i == 1 && l != 0 {
					t.Errorf("%s: slot %d of %d is the fallback of %d ids, even is %.0f ± %.0f", r, i, n, l, even, tolerance)
				}
			}
		}
	}
}

func TestPlanChange(t *testing.T) {
	var names []Name
	for i := range 5 {
		names = append(names, Name{fmt.Sprint(i + 1), "h"})
	}
	plans := PlanChange(names[:4], names, 100_000)
	if len(plans) != 2 || plans[0].Routing != Modulo || plans[0].Moved != 80_000 {
		t.Errorf("4 → 5 under modulo: %+v; ids that differ modulo 4 and 5 are 4 of 5", plans)
	}
	if moved := plans[1].Moved; moved < 19_000 || moved > 21_000 {
		t.Errorf("4 → 5 under rendezvous moves %d of 100,000, want about 20,000", moved)
	}
	for _, p := range PlanChange(names, names, 1000) {
		if p.Moved != 0 {
			t.Errorf("no change under %s moves %d", p.Routing, p.Moved)
		}
	}
}

// TestChangeOf checks that shares and moves account for each id, and that rendezvous moves
// ids only to a member that joins and from one that leaves.
func TestChangeOf(t *testing.T) {
	a, b, c, d := Name{"1", "h"}, Name{"2", "h"}, Name{"3", "h"}, Name{"4", "h"}
	const sample = 12_000
	sum := func(shares []Share) (n int) {
		for _, s := range shares {
			n += s.IDs
		}
		return n
	}
	for _, r := range []Routing{Modulo, Rendezvous} {
		change := ChangeOf(r, []Name{c, a, b, a}, []Name{d, b, a}, sample) // c leaves, d joins
		if len(change.Before) != 3 || len(change.After) != 3 || sum(change.Before) != sample || sum(change.After) != sample {
			t.Errorf("%s: before %v, after %v, want the %d ids of three members each", r, change.Before, change.After, sample)
		}
		net, moved := map[Name]int{}, 0
		for i, m := range change.Moves {
			if m.From == m.To || m.IDs <= 0 || i > 0 && m.IDs > change.Moves[i-1].IDs {
				t.Errorf("%s: move %+v of %v", r, m, change.Moves)
			}
			if r == Rendezvous && m.From != c && m.To != d {
				t.Errorf("%s moves ids from %s, which stays, to %s, which was there", r, m.From, m.To)
			}
			net[m.From] -= m.IDs
			net[m.To] += m.IDs
			moved += m.IDs
		}
		if moved != change.Moved {
			t.Errorf("%s: the moves are of %d ids, want %d", r, moved, change.Moved)
		}
		for _, s := range change.Before {
			net[s.Name] += s.IDs
		}
		for _, s := range change.After {
			if net[s.Name] != s.IDs {
				t.Errorf("%s: %s had and got %d ids, want %d", r, s.Name, net[s.Name], s.IDs)
			}
		}
	}
	if change := ChangeOf(Modulo, []Name{a, b, c}, []Name{a, b, c, d}, sample); change.Moved != 3*sample/4 || change.Largest != sample/4 {
		t.Errorf("3 → 4 under modulo: %+v", change.Plan)
	}
}
