//go:build unix

package faults

import (
	"encoding/json"
	"errors"
	"fmt"
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

// A mutant is the product with one thing broken, which the harness has to find. All
// mutants are in one program; the environment of its processes says which of them is
// broken.
type mutant struct {
	name   string
	change change

	finds     Rule // for a mutant of strict kinds, one of strictRules that is likely
	or        Rule // another one that finds it, if not empty; on a slow machine it may be the only one
	plan      []plannedFault
	rest      time.Duration // after the plan, at most: the first violation ends it
	partition bool          // it takes namespaces
	clients   bool          // it takes clients
	strict    bool          // it is about strict kinds, which take both
}

// TestFaultsFound breaks the product in one way after the other. The harness finds each.
func TestFaultsFound(t *testing.T) {
	drawn := drawMutants(faultSeed(), *faultsMutants)
	if len(drawn) == 0 {
		t.Skip("-faults.mutants says how many mutants to try; each takes some 10 s")
	}
	t.Parallel()
	program := buildMutants(t)
	for _, m := range drawn {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			m.run(t, program)
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
func (m mutant) run(t *testing.T, program string) {
	r := run{
		program: program, env: []string{"FAULT_MUTANT=" + m.name}, dir: t.ArtifactDir(), net: loopback{address: testHost()},
		episodes: [][]plannedFault{m.plan}, rest: m.rest, alone: !m.clients,
	}
	if m.strict {
		r.strict, r.timing, r.alone = []string{counterKind, registerKind}, "local", false
	}
	if m.partition || m.strict {
		net, err := newNamespaces()
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skipf("no partitions: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer net.Close()
		r.net = net
	}
	r.until = func(h *history) bool { return m.found(check(h)) }
	h, err := play(t.Context(), r)
	if err != nil {
		t.Error(err)
	}
	report := check(h)
	if !m.found(report) {
		t.Errorf("not found: %q. What was found: %s", m.finds, report.violations())
	}
	t.Logf("a node's heap, at most: %d MiB", report.PeakHeap>>20)
	for rule, list := range report.Violations {
		t.Logf("%s: %d times within %v", rule, len(list), h.End)
	}
}

func (m mutant) found(r *Report) bool {
	if m.strict && slices.ContainsFunc(strictRules, func(rule Rule) bool { return len(r.Violations[rule]) > 0 }) {
		return true
	}
	return len(r.Violations[m.finds]) > 0 || m.or != "" && len(r.Violations[m.or]) > 0
}

// TestMutants finds the place of each mutant in the product as it is now, and compiles them.
func TestMutants(t *testing.T) {
	t.Parallel()
	args := []string{"build", "-tags", "faults", "-overlay", overlayMutants(t), "../../../node/...", "../../../wire/..."}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// buildMutants builds the program with all mutants.
func buildMutants(t *testing.T) string {
	t.Helper()
	return build(t, "-overlay", overlayMutants(t))
}

// overlayMutants writes the product with all mutants, as what -overlay of go build takes.
func overlayMutants(t *testing.T) (file string) {
	t.Helper()
	p := readProduct(t)
	for _, m := range mutants {
		if err := p.apply(m); err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	dir := t.TempDir()
	replace := map[string]string{}
	put := func(name, source string) {
		replace[name] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[name], []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, source := range p.edited() {
		put(name, source)
		if hook := filepath.Join(filepath.Dir(name), "broken.go"); replace[hook] == "" {
			put(hook, regexp.MustCompile(`(?m)^package \w+$`).FindString(source)+hookSource)
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// hookSource goes into each package that has a mutant.
const hookSource = `
import "os"

var brokenMutant = os.Getenv("FAULT_MUTANT")

func broken(mutant string) bool { return brokenMutant == mutant }
`
