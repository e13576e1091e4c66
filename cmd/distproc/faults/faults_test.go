//go:build unix

package faults

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	faultsFor     = flag.Duration("faults.for", 0, "how long TestFaults runs, half of it on loopback and half in namespaces, such as 60s; mind -timeout (default not at all)")
	faultsSeed    = flag.Uint64("faults.seed", 0, "seed of the faults of TestFaults; 0 chooses one")
	faultsOnly    = flag.String("faults.only", "", "kinds of faults, such as kill,roll,pair (default all)")
	faultsMutants = flag.Int("faults.mutants", 0, "how many mutants TestFaultsFound tries, drawn with the seed; -1 means all")
)

// faultSeed returns the seed to use.
var faultSeed = sync.OnceValue(func() uint64 {
	if *faultsSeed != 0 {
		return *faultsSeed
	}
	return rand.Uint64()
})

var hosts atomic.Int32

// testHost returns a loopback address of this test's own.
func testHost() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid%250, pid/250%250, hosts.Add(1))
}

// build builds the program with the tag faults, and the flags of go build. It has the
// race detector if the test has it.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "distproc")
	args := append([]string{"build", "-tags", "faults", "-o", program}, flags...)
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "..")...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return program
}

// TestFaults runs clusters under faults, which break no rule.
func TestFaults(t *testing.T) { // alone: it takes the machine
	if *faultsFor == 0 {
		t.Skip("-faults.for says how long to run, such as 60s")
	}
	if !hasFlock() {
		t.Log("no programs: there is no flock, which is part of util-linux")
	}
	c := Config{Program: build(t), Seed: faultSeed(), Length: *faultsFor / 2}
	again := fmt.Sprintf("-v -faults.seed=%d -faults.for=%v -faults.only=%q", c.Seed, *faultsFor, *faultsOnly)
	fmt.Println("faults:", again)
	for _, mode := range []string{"loopback", "namespaces"} {
		t.Run(mode, func(t *testing.T) {
			c := c
			c.Dir, c.Namespaces, c.Host = t.ArtifactDir(), mode == "namespaces", testHost()
			if *faultsOnly != "" {
				c.Only = slices.DeleteFunc(strings.Split(*faultsOnly, ","), func(kind string) bool {
					return !slices.Contains(Kinds(c.Namespaces), kind)
				})
				if len(c.Only) == 0 {
					t.Skipf("none of these faults is possible here: %s", *faultsOnly)
				}
			}
			r, err := Run(t.Context(), c)
			switch {
			case errors.Is(err, errors.ErrUnsupported):
				t.Skipf("no partitions: %v", err)
			case err != nil:
				t.Error(err)
			}
			if r != nil {
				fmt.Printf("faults: %s, seed %d\n%s", mode, c.Seed, r)
				if !r.Passed() {
					t.Errorf("rules are broken:\n%s", r.violations())
				}
			}
			if t.Failed() {
				t.Logf("again, with the same faults: go test ./cmd/distproc/faults -count 1 -run 'TestFaults$/^%s$' %s", mode, again)
			}
		})
	}
}
