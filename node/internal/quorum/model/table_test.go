package model

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// TestTable prints what catches which mutant, and fails as the other tests do.
func TestTable(t *testing.T) {
	if !*theTable {
		t.Skip("-model.table prints the complete table; it takes some minutes")
	}
	part := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			f(t)
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Printf("%.0f s; %d MiB from the system so far\n\n", time.Since(began).Seconds(), m.Sys>>20)
		})
	}
	part("protocol", func(t *testing.T) { tableRow(t, Variant{Does: "the protocol"}, 6000, 2700/len(Drills)+1) })
	part("mutants", func(t *testing.T) {
		for _, v := range Variants {
			tableRow(t, v, 60, 8)
		}
	})
	part("searches", tableSearches)
	part("scenes", tableScenes)
}

// tableRow plays a variant under random faults, and in each drill.
func tableRow(t *testing.T, v Variant, randoms, perDrill int) {
	if v.Mutant <= 1 {
		fmt.Printf("%-69s %4s %9s %9s %7s %6s %7s %7s %6s %6s %8s %8s\n", "variant", "rule", "random", "drills",
			"overlap", "torn", "falling", "refused", "fenced", "stuck", "calls", "unknown")
	}
	y := tallySeeds(upTo(randoms), func(seed uint64) Result { return Random(seed, v.Mutant) })
	calls, unknown := y.sum.Calls, y.sum.Unknown
	drilled := tallySeeds(upTo(perDrill*len(Drills)), func(seed uint64) Result {
		return Drills[seed%uint64(len(Drills))].Run(seed/uint64(len(Drills)), v.Mutant)
	})
	if v.Mutant == Protocol && (y.caught > 0 || drilled.caught > 0) {
		t.Error(y.sum.First, drilled.sum.First)
	}
	sum := y.sum
	sum.Add(drilled.sum)
	b := sum.Breaches
	counts := fmt.Sprintf("%7d %6d %7d %7d %6d %6d", b[Overlap], b[Torn], b[Falling], b[Refused], b[Fenced], b[Stuck])
	rule := ""
	if v.Rule > 0 {
		rule = fmt.Sprint(v.Rule)
	}
	fmt.Printf("%-69s %4s %4d/%-4d %4d/%-4d %s %8d %7.2f%%\n", v.Does, rule, y.caught, randoms,
		drilled.caught, perDrill*len(Drills), counts, calls,
		100*float64(unknown)/float64(max(calls, 1)))
}

// tableSearches searches the protocol, two searches at a time, and then the mutants that
// a search catches.
func tableSearches(t *testing.T) {
	const limit = 7_000_000
	all := []string{"AB", "ABA", "-BA"}
	found := make([]Found, len(all))
	inParallel(len(all), func(i int) { found[i] = Search(Protocol, all[i], limit) })
	for i, f := range found {
		fmt.Printf("%-69s %4s %v\n", "the protocol", all[i], f)
		if !f.Complete || f.Depth > 0 {
			t.Errorf("%s: %v", all[i], f)
		}
	}
	caught := []Variant{{Mutant: verifiesFirst, Does: "the answer is composed after the verification", Search: "AB"}}
	for _, v := range Variants {
		if v.Search != "" {
			caught = append(caught, v)
		}
	}
	found = make([]Found, len(caught))
	inParallel(len(caught), func(i int) { found[i] = Search(caught[i].Mutant, caught[i].Search, limit) })
	for i, f := range found {
		fmt.Printf("%-69s %4s %v\n", caught[i].Does, caught[i].Search, f)
		if f.Depth == 0 {
			t.Errorf("%s: %v", caught[i].Does, f)
		}
	}
}

// tableScenes measures all scenes, and those of the mutants that a scene catches.
func tableScenes(t *testing.T) {
	fmt.Printf("%-69s %18s %18s %18s %5s %7s\n", "s without a place", "own p50 p95 max", "others p50 p95 max", "to leave p50 p95 max", "views", "unknown")
	figures := make([]Figures, len(Scenes))
	inParallel(len(Scenes), func(i int) { figures[i] = Scenes[i].Measure(24, Protocol) })
	for i, s := range Scenes {
		fmt.Printf("%-69s %v\n", s.Name, figures[i])
		if f := figures[i]; !f.Within(s) || !f.Usual(s) {
			t.Errorf("%s: %v; at most %v and %v", s.Name, f, s.Own, s.Others)
		}
	}
	for _, v := range Variants {
		if v.Scene != "" {
			fmt.Printf("%s: %s\n%-69s %v\n", v.Does, v.Scene, "", scene(t, v.Scene).Measure(24, v.Mutant))
		}
	}
}
