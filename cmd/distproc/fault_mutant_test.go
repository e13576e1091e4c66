package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A mutant is the product with one thing broken, which the harness has to find.
type mutant struct {
	name     string
	file     string
	old, new string // one place in the file
	finds    rule
	plan     []plannedFault
	rest     time.Duration // after the plan
}

var mutants = []mutant{
	{
		name: "compare before delete", file: "node/expiry.go", finds: ruleOverlap, rest: 8 * time.Second,
		old: "case s.workers.get(w.id) != w: // it has a successor, or was dropped",
		new: "case s.workers.get(w.id) != w: s.workers.remove(s.workers.get(w.id))",
	},
	{
		name: "canonical order", file: "node/view.go", finds: ruleViews, rest: settleTime,
		old: "return a.name.Compare(b.name)",
		new: "if a.self { return -1 }; if b.self { return 1 }; return a.name.Compare(b.name)",
	},
	{
		name: "single flight", file: "node/registry.go", finds: ruleOverlap, rest: time.Second,
		old: "\tw.load.add(w, c)\n\treturn nil",
		new: "\tr.startLocked(s, c.id, now, []*waiter{c})\n\treturn nil",
	},
	{
		name: "local answer", file: "node/request.go", finds: ruleFailed, rest: time.Second,
		plan: []plannedFault{{kind: faultKill, nodes: []int{2}, length: time.Second}},
		old:  "\tif !n.closing.Load() {\n\t\treply, err = n.here(ctx, request.Kind, id, request.Fresh)",
		new:  "\tif n.closing.Load() {\n\t\treply, err = n.here(ctx, request.Kind, id, request.Fresh)",
	},
	{
		name: "expiry", file: "node/load.go", finds: ruleAge, rest: time.Second,
		old: "\tw.expires = w.started + w.kind.life()\n",
		new: "\tw.expires = w.started + 3*w.kind.life()\n",
	},
}

// TestFaultsFound breaks the product in one way after the other, and demands that the harness says which.
func TestFaultsFound(t *testing.T) {
	needFaultNode(t)
	if testing.Short() {
		t.Skip("it builds the product several times")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			binary := m.build(t)
			net := loopbackNet{address: testHost()}
			r := check(runFaults(t, binary, net, [][]plannedFault{m.plan}, m.rest))
			if len(r.Violations[m.finds]) == 0 {
				t.Errorf("not found: %q. What was found: %s", m.finds, r)
			}
			for rule, list := range r.Violations {
				t.Logf("%s: %d times", rule, len(list))
			}
		})
	}
}

// build compiles the mutant under the name distproc-fault.
func (m mutant) build(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("..", "..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		t.Fatalf("%s has %d times %q, want 1: bring this mutation up to date", m.file, n, m.old)
	}
	dir := t.TempDir()
	broken, overlay := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
	binary := filepath.Join(dir, "distproc-fault")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: broken}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return binary
}
