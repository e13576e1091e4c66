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
		old: "\t\tw.add(c)\n",
		new: "\t\tr.startLocked(s, c.id, now, []*waiter{c})\n",
	},
	{
		name: "local answer", file: "node/request.go", finds: ruleFailed, rest: time.Second,
		plan: []plannedFault{{kind: faultKill, nodes: []int{2}, length: time.Second}},
		old:  "\tif !n.closing.Load() {\n\t\terr = n.here(ctx, request.Kind, id, request.Fresh, reply)",
		new:  "\tif n.closing.Load() {\n\t\terr = n.here(ctx, request.Kind, id, request.Fresh, reply)",
	},
	{
		name: "expiry", file: "node/load.go", finds: ruleAge, rest: time.Second,
		old: "\tw.expires = w.started + w.kind.life()\n",
		new: "\tw.expires = w.started + 3*w.kind.life()\n",
	},
	{
		name: "roll-call", file: "node/claim.go", finds: ruleServers, rest: time.Second, plan: oneByOne(faultTerm, 8, 1500*time.Millisecond, ""),
		old: "\t\tif len(v.peers) == 1 {\n",
		new: "\t\tif true {\n",
	},
	{
		name: "hold", file: "node/close.go", finds: ruleServers, rest: time.Second, plan: oneByOne(faultTerm, 8, 1500*time.Millisecond, ""),
		old: "\t\twg.Go(func() { r.hold(ctx) })\n",
		new: "\t\t_ = r\n",
	},
	{
		name: "ended is gone", file: "node/serial.go", finds: ruleThrough, rest: time.Second,
		plan: []plannedFault{{kind: faultTerm, nodes: []int{2}, at: recoverTime - formTime, length: 6 * time.Second}},
		old:  "\tcase m.waiting == 0:\n\t\tr.dropLocked(s, w)\n",
	},
	{
		name: "unknown is not tried again", file: "node/call.go", finds: ruleOnce, rest: time.Second,
		plan: oneByOne(faultPause, 4, 3500*time.Millisecond, ""),
		old:  "\tif e.Outcome != NotRun || n.closing.Load() {",
		new:  "\tif n.closing.Load() {",
	},
	{
		name: "outcome", file: "wire/calls.go", finds: ruleOutcome, rest: 3 * time.Second,
		old: "\te.Outcome = Unknown\n",
	},
	{
		name: "eviction", file: "node/memory.go", finds: ruleMemory, rest: 6 * time.Second,
		plan: oneByOne(faultGreedy, 2, 4*time.Second, "reading"),
		old:  "return limit > 0 && m.used.Load() > limit",
		new:  "return limit < 0",
	},
	{
		name: "a log that waits", file: "node/boundedlog/boundedlog.go", finds: ruleSlow, rest: 6 * time.Second,
		plan: oneByOne(faultLog, 1, 8*time.Second, "stuck"),
		old:  "\th.queue.add(line{context.WithoutCancel(ctx), h.to, resolved, bytes})\n\treturn nil\n",
		new:  "\treturn h.to.Handle(ctx, resolved)\n",
	},
	{
		name: "broken pipe", file: "cmd/distproc/node.go", finds: ruleProcess, rest: 2 * time.Second,
		plan: oneByOne(faultLog, 1, time.Second, "gone"),
		old:  "{ signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }",
		new:  "{ _ = syscall.SIGPIPE }",
	},
	{
		name: "leftovers", file: "node/source/leftover_linux.go", finds: ruleProgram, rest: 2 * time.Second,
		plan: oneByOne(faultKill, 8, 1500*time.Millisecond, ""),
		old:  "if len(left) == 0 {",
		new:  "if true {",
	},
	{
		name: "refusals", file: "node/refusals.go", finds: ruleLog, rest: time.Second,
		plan: oneByOne(faultFlood, 1, 8*time.Second, "garbage"),
		old:  "if r.logs(refusal{wire.HostOf(from), class}) {",
		new:  "if r.logs(refusal{wire.HostOf(from), class}) || true {",
	},
}

// oneByOne has as many nodes struck, one after the other.
func oneByOne(kind faultKind, times int, every time.Duration, how string) (plan []plannedFault) {
	for i := range times {
		f := plannedFault{kind: kind, nodes: []int{i%faultNodes + 1}, at: time.Duration(i) * every, length: every / 3, how: how}
		if kind != faultTerm && kind != faultKill {
			f.length = every
		}
		plan = append(plan, f)
	}
	return plan
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
			t.Logf("a node's heap, at most: %d MiB", r.PeakHeap>>20)
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
