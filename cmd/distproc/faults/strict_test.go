//go:build unix

package faults

import (
	"errors"
	"flag"
	"fmt"
	"testing"
)

var (
	strictFor    = flag.Duration("faults.strict", 0, "how long TestFaultsStrict runs, such as 2m; mind -timeout (default not at all)")
	strictTiming = flag.String("faults.timing", "local", "timing of TestFaultsStrict: local, lan or wan")
)

// TestFaultsStrict runs a cluster with strict kinds under faults, which break no rule.
func TestFaultsStrict(t *testing.T) {
	if *strictFor == 0 {
		t.Skip("-faults.strict says how long to run, such as 2m")
	}
	t.Parallel()
	c := Config{
		Program: build(t), Dir: t.ArtifactDir(), Seed: faultSeed(), Length: *strictFor, Namespaces: true, Strict: true, Timing: *strictTiming,
	}
	r, err := Run(t.Context(), c)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		t.Skipf("no partitions: %v", err)
	case err != nil:
		t.Error(err)
	}
	if r != nil {
		fmt.Printf("faults: strict kinds, seed %d\n%s", c.Seed, r)
		if !r.Passed() {
			t.Errorf("rules are broken:\n%s", r.violations())
		}
	}
	if t.Failed() {
		t.Logf("again, with the same faults: go test ./cmd/distproc/faults -count 1 -run TestFaultsStrict -v -faults.seed=%d -faults.strict=%v -faults.timing=%s",
			c.Seed, *strictFor, *strictTiming)
	}
}
