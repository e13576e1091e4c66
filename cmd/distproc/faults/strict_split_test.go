//go:build unix

package faults

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A scenario is a plan for a cluster of strict kinds, without chance.
type scenario struct {
	name  string
	kinds []string
	plan  []plannedFault
	env   []string
	until func(*history) bool
	check func(*testing.T, *Report)
}

// TestFaultsSplit has kinds in a split, and voters that have lost their disks.
func TestFaultsSplit(t *testing.T) {
	if *strictFor == 0 {
		t.Skip("-faults.strict says that there is time for runs of strict kinds")
	}
	t.Parallel()
	program := build(t)
	for _, s := range []scenario{
		{
			// Reads of a number wait for one another. So in a split, two servers of one
			// id read the same number before one of them writes.
			name: "both kinds", kinds: []string{counterKind, looseKind}, env: []string{"FAULT_MEET=1"},
			plan:  []plannedFault{{kind: faultSplit, nodes: []int{4, 5}, length: 15 * time.Second, how: "lost"}},
			until: func(h *history) bool { return h.Faults[len(h.Faults)-1].End < h.End && len(loose(h)) > 0 },
			check: func(t *testing.T, r *Report) {
				if len(r.Strict.Loose) == 0 {
					t.Error("the calls of a serial kind that is not strict are linearizable in a split; the checker finds nothing, or the split does not split")
				} else {
					t.Logf("not strict, and not linearizable: %s", r.Strict.Loose[0])
				}
				inside := 0 // calls that were acknowledged in the split
				f := r.history.Faults[slices.IndexFunc(r.history.Faults, func(f fault) bool { return f.Kind == faultSplit })]
				for _, c := range r.history.strict().calls {
					if c.Kind == counterKind && c.acknowledged() && c.Begin > f.Begin && c.End < f.End {
						inside++
					}
				}
				if inside == 0 {
					t.Error("no call of a strict kind got through in the split")
				}
			},
		},
		{
			name: "two disks of three are wiped", kinds: []string{counterKind, registerKind}, plan: wipes,
			check: func(t *testing.T, r *Report) {
				before := slices.ContainsFunc(r.history.strict().calls, (*strictCall).acknowledged)
				if !before || r.Strict.Errors[worker.OutcomeNotRun] == 0 {
					t.Errorf("%d calls were acknowledged, and %d not run; want some of both", r.Strict.Acknowledged, r.Strict.Errors[worker.OutcomeNotRun])
				}
			},
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, program)
		})
	}
}

func (s scenario) run(t *testing.T, program string) {
	net, err := newNamespaces()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("no partitions: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer net.Close()
	h, err := play(t.Context(), run{
		program: program, env: s.env, dir: t.ArtifactDir(), net: net, episodes: [][]plannedFault{s.plan},
		rest: 5 * time.Second, strict: s.kinds, timing: "local", until: s.until,
	})
	if err != nil {
		t.Error(err)
	}
	r := check(h)
	s.check(t, r)
	if !r.Passed() {
		t.Errorf("rules are broken:\n%s", r.violations())
	}
}

// loose returns the ids of the kind that is not strict whose calls are not linearizable.
func loose(h *history) []string {
	calls := h.strict().calls
	return checkLinear(slices.DeleteFunc(calls, func(c *strictCall) bool { return c.Kind != looseKind }), linearTime)
}
