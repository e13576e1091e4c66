package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A mutant is the product with one thing broken, which the harness has to find. All mutants are in one
// binary; the environment of its processes says which of them is broken.
type mutant struct {
	name string

	// old is a regular expression for what is broken. It is in one place of the product, in whichever file. A space
	// stands for any white space.
	old string

	// new takes the place of old, as [regexp.Regexp.Expand] has it. BROKEN in it is true for this mutant only, and
	// the code must be as before otherwise.
	new string

	finds     rule
	plan      []plannedFault
	rest      time.Duration // after the plan, at most: the first violation ends it
	partition bool          // it takes namespaces
	clients   bool          // it takes clients
}

const moduleRoot = "../.."

// TestFaultsFound breaks the product in one way after the other, and demands that the harness says which.
func TestFaultsFound(t *testing.T) {
	drawn := drawMutants(faultSeed(), *faultsMutants)
	if len(drawn) == 0 {
		t.Skip("-faults.mutants says how many mutants to try; each takes some 10 s")
	}
	needFaultNode(t)
	binary := buildMutants(t)
	for _, m := range drawn {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			m.run(t, binary)
		})
	}
}

// drawMutants draws n mutants, or all if n is negative.
func drawMutants(seed uint64, n int) []mutant {
	if n < 0 || n >= len(mutants) {
		return mutants
	}
	var drawn []mutant
	for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(mutants))[:n] {
		drawn = append(drawn, mutants[i])
	}
	return drawn
}

// run runs a cluster of the mutant until the harness has found it.
func (m mutant) run(t *testing.T, binary string) {
	run := faultRun{
		binary: binary, env: []string{"FAULT_MUTANT=" + m.name}, net: loopbackNet{address: testHost()},
		episodes: [][]plannedFault{m.plan}, rest: m.rest, alone: !m.clients,
	}
	if m.partition {
		run.net = newNamespaces(t)
	}
	run.until = func(h *history) bool { return len(check(h).Violations[m.finds]) > 0 }
	h := runFaults(t, run)
	r := check(h)
	if len(r.Violations[m.finds]) == 0 {
		t.Errorf("not found: %q. What was found: %s", m.finds, r)
	}
	t.Logf("a node's heap, at most: %d MiB", r.PeakHeap>>20)
	for rule, list := range r.Violations {
		t.Logf("%s: %d times within %v", rule, len(list), h.End)
	}
}

// TestMutants checks that each mutant is one of the product as it is now.
func TestMutants(t *testing.T) {
	t.Parallel()
	sources := productSources(t)
	for _, m := range mutants {
		if err := m.apply(maps.Clone(sources)); err != nil {
			t.Error(err)
		}
	}
}

// buildMutants compiles the product with all mutants under the name distproc-fault.
func buildMutants(t *testing.T) string {
	t.Helper()
	before := productSources(t)
	sources := maps.Clone(before)
	for _, m := range mutants {
		if err := m.apply(sources); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	replace := map[string]string{}
	put := func(file, source string) {
		replace[file] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[file], []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, source := range sources {
		if source == before[file] {
			continue
		}
		put(file, source)
		if hook := filepath.Join(filepath.Dir(file), "broken.go"); replace[hook] == "" {
			put(hook, regexp.MustCompile(`(?m)^package \w+$`).FindString(source)+hookSource)
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "distproc-fault")
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return binary
}

// hookSource goes into each package that has a mutant.
const hookSource = `
import "os"

var brokenMutant = os.Getenv("FAULT_MUTANT")

func broken(mutant string) bool { return brokenMutant == mutant }
`

// productSources returns the sources of the module by path, without tests.
func productSources(t *testing.T) map[string]string {
	t.Helper()
	root, err := filepath.Abs(moduleRoot)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		sources[path] = string(source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

// apply puts the mutant into the sources.
func (m mutant) apply(sources map[string]string) error {
	old, err := regexp.Compile(strings.ReplaceAll(m.old, " ", `\s+`))
	if err != nil {
		return err
	}
	var where []string
	for file, source := range sources {
		for range old.FindAllStringIndex(source, -1) {
			where = append(where, file)
		}
	}
	if len(where) != 1 {
		slices.Sort(where)
		return fmt.Errorf("mutant %q: %d places have %q, want 1: %q; change its old to what the product has now", m.name, len(where), m.old, where)
	}
	replacement := strings.ReplaceAll(m.new, "BROKEN", fmt.Sprintf("broken(%q)", m.name))
	sources[where[0]] = old.ReplaceAllString(sources[where[0]], replacement)
	return nil
}
