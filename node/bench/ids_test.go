package bench

import (
	"math"
	"strconv"
	"testing"
)

// counts chooses n ids and counts them.
func counts(t *testing.T, c Config, n int) []float64 {
	t.Helper()
	var from choice
	from.begin(c, 3)
	found := make([]float64, c.IDs)
	for range n {
		k, err := strconv.Atoi(from.next().String())
		if err != nil || k < 0 || k >= len(found) {
			t.Fatalf("id %d of %d, %v", k, c.IDs, err)
		}
		found[k]++
	}
	return found
}

// TestIDsAreDistributed compares how often each id comes with how often it should, by
// chi-square: over a million choices are off by more than 5 standard deviations only if
// they are wrong.
func TestIDsAreDistributed(t *testing.T) {
	const n = 1_000_000
	for _, c := range []Config{{IDs: 100}, {IDs: 7}, {IDs: 100, Zipf: 1.1}, {IDs: 100, Zipf: 2}, {IDs: 5, Zipf: 3}} {
		c.Seed = 42
		weights, sum := make([]float64, c.IDs), 0.0
		for k := range weights {
			weights[k] = math.Pow(float64(1+k), -c.Zipf) // 1 if it is uniform
			sum += weights[k]
		}
		chi := 0.0
		for k, got := range counts(t, c, n) {
			want := n * weights[k] / sum
			chi += (got - want) * (got - want) / want
		}
		df := float64(c.IDs - 1)
		if limit := df + 5*math.Sqrt(2*df); chi > limit {
			t.Errorf("zipf %g over %d ids: chi-square %.0f, want %.0f at most", c.Zipf, c.IDs, chi, limit)
		}
	}
}

func TestIDsOfOne(t *testing.T) {
	for _, zipf := range []float64{0, 1.1} {
		if got := counts(t, Config{IDs: 1, Zipf: zipf}, 100); got[0] != 100 {
			t.Errorf("zipf %g: %v", zipf, got)
		}
	}
}

func TestIDsFollowSeedAndCaller(t *testing.T) {
	sequence := func(seed uint64, caller int) (s string) {
		var from choice
		from.begin(Config{IDs: 1000, Seed: seed}, caller)
		for range 5 {
			s += from.next().String() + " "
		}
		return s
	}
	if a, b := sequence(1, 2), sequence(1, 2); a != b {
		t.Errorf("the same seed chooses %sand %s", a, b)
	}
	if sequence(1, 2) == sequence(1, 3) || sequence(1, 2) == sequence(2, 2) {
		t.Error("callers, or seeds, choose the same ids")
	}
}
