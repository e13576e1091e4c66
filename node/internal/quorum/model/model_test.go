package model

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	theTable = flag.Bool("model.table", false, "print the complete table: the protocol and all mutants under random faults, in drills, searches and scenes; it takes some minutes")
	theSeed  = flag.Int64("model.seed", -1, "the one seed of TestRandom and TestDrills")
)

// seeds returns the seeds from 0 to n-1, or the one that was asked for.
func seeds(n int) []uint64 {
	if *theSeed >= 0 {
		return []uint64{uint64(*theSeed)}
	}
	return upTo(n)
}

func upTo(n int) (list []uint64) {
	for seed := range uint64(n) {
		list = append(list, seed)
	}
	return list
}

// inParallel calls f for 0 to n-1 on all processors.
func inParallel(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wg.Wait()
}

// A tally sums up the results of several seeds.
type tally struct {
	caught int
	sum    Result
	seed   uint64 // the first one that was caught
}

func tallySeeds(list []uint64, f func(seed uint64) Result) (t tally) {
	results := make([]Result, len(list))
	inParallel(len(list), func(i int) { results[i] = f(list[i]) })
	for i, r := range results {
		if r.Bad() {
			if t.caught == 0 {
				t.seed = list[i]
			}
			t.caught++
		}
		t.sum.Add(r)
	}
	return t
}

// check fails the test if the protocol broke a guarantee, and says how to repeat that.
func (y tally) check(t *testing.T, run string, seeds int) {
	t.Helper()
	if y.caught > 0 {
		t.Errorf("%d of %d seeds break a guarantee. With seed %d: %s\nAgain: go test ./node/internal/quorum/model -run '%s' -v -model.seed %d",
			y.caught, seeds, y.seed, y.sum.First, run, y.seed)
	}
}

// TestRandom has the protocol keep its guarantees under random faults.
func TestRandom(t *testing.T) {
	list := seeds(100)
	y := tallySeeds(list, func(seed uint64) Result { return Random(seed, Protocol) })
	y.check(t, "TestRandom$", len(list))
	if calls := y.sum.Calls / len(list); calls < 500 {
		t.Errorf("%d calls per seed; the simulation hardly runs", calls)
	}
}

// TestDrills has the protocol keep its guarantees in all drills.
func TestDrills(t *testing.T) {
	for _, d := range Drills {
		t.Run(d.Name, func(t *testing.T) {
			list := seeds(8)
			y := tallySeeds(list, func(seed uint64) Result { return d.Run(seed, Protocol) })
			y.check(t, "TestDrills$/^"+strings.ReplaceAll(d.Name, " ", "_")+"$", len(list))
			if y.sum.Calls == 0 {
				t.Error("no call was made")
			}
		})
	}
}

// TestSearch has the protocol keep its guarantees in all orders of steps.
func TestSearch(t *testing.T) {
	t.Parallel()
	if f := Search(Protocol, "AB", 2_000_000); !f.Complete || f.Depth > 0 {
		t.Error(f)
	}
}

// TestSeed repeats a run by its seed.
func TestSeed(t *testing.T) {
	for _, m := range []Mutant{Protocol, neverVerifies} {
		for seed := range uint64(3) {
			if a, b := Random(seed, m), Random(seed, m); a != b {
				t.Errorf("seed %d: %+v, and then %+v", seed, a, b)
			}
		}
	}
}

// TestMutants has each mutant caught by all that the list names. For a drill one of some
// seeds is enough.
func TestMutants(t *testing.T) {
	t.Parallel()
	described, found, played := map[Mutant]bool{}, [breaches]bool{}, map[string]bool{}
	for _, v := range Variants {
		described[v.Mutant], found[v.Finds], played[v.Drill] = true, true, true
		t.Run(v.Does, func(t *testing.T) {
			for _, by := range v.missed(t) {
				t.Errorf("%q does not find that it breaks rule %d: %s", by, v.Rule, v.Breaks)
			}
		})
	}
	for m := Protocol + 1; m < mutants; m++ {
		if !described[m] {
			t.Errorf("mutant %d is not in the list", m)
		}
	}
	for b, ok := range found {
		if !ok {
			t.Errorf("no mutant shows that this is found: %v", Breach(b))
		}
	}
	for _, d := range Drills {
		if !played[d.Name] {
			t.Errorf("no mutant needs the drill %q", d.Name)
		}
	}
}

// missed returns by what the mutant should be caught, but is not.
func (v Variant) missed(t *testing.T) (by []string) {
	if v.Drill != "" {
		d := drill(t, v.Drill)
		finds := func(seed uint64) bool { return d.Run(seed, v.Mutant).Breaches[v.Finds] > 0 }
		if !slices.ContainsFunc(upTo(20), finds) {
			by = append(by, v.Drill)
		}
	}
	if v.Search != "" && Search(v.Mutant, v.Search, 2_000_000).Depth == 0 {
		by = append(by, v.Search)
	}
	if v.Scene != "" {
		s := scene(t, v.Scene)
		if f := s.Measure(3, v.Mutant); f.Within(s) {
			t.Log(f)
			by = append(by, v.Scene)
		}
	}
	if v.Drill+v.Search+v.Scene == "" {
		t.Error("nothing catches it")
	}
	return by
}

func drill(t *testing.T, name string) Drill {
	t.Helper()
	i := slices.IndexFunc(Drills, func(d Drill) bool { return d.Name == name })
	if i < 0 {
		t.Fatalf("no drill %q", name)
	}
	return Drills[i]
}

func scene(t *testing.T, name string) Scene {
	t.Helper()
	i := slices.IndexFunc(Scenes, func(s Scene) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no scene %q", name)
	}
	return Scenes[i]
}

// TestScenes has ids without a place for no longer than the README says.
func TestScenes(t *testing.T) {
	t.Parallel()
	inParallel(len(Scenes), func(i int) {
		s := Scenes[i]
		if f := s.Measure(2, Protocol); !f.Within(s) {
			t.Errorf("%s: %v; at most %v and %v", s.Name, f, s.Own, s.Others)
		}
	})
}

// TestREADME compares the README with the rules that mutants name, and with the limits of
// the scenes.
func TestREADME(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`(?m)^(\d+)\. \*\*`).FindAllStringSubmatch(string(page), -1)
	for i, r := range rules {
		if r[1] != fmt.Sprint(i+1) {
			t.Errorf("rule %d has the number %s", i+1, r[1])
		}
	}
	for _, v := range Variants {
		if v.Rule < 1 || v.Rule > len(rules) {
			t.Errorf("%s: there is no rule %d", v.Does, v.Rule)
		}
	}
	for _, s := range Scenes {
		leaves := "–"
		if s.Leaves > 0 {
			leaves = fmt.Sprint(s.Leaves)
		}
		if row := fmt.Sprintf("| %s | %v | %v | %s |\n", s.Name, s.Own, s.Others, leaves); !strings.Contains(string(page), row) {
			t.Errorf("README.md lacks the row\n%s", row)
		}
	}
}
