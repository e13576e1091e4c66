package page

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/placement"
)

// TestPlan has a member that joins, one that leaves, and neither.
func TestPlan(t *testing.T) {
	bubble(t, []string{"1@a", "3@c", "2@b"}, func(t *testing.T, f *fake, h *Hub) { // not in the order of the ring
		f.node("3@c").info.State = node.StateFailed
		f.node("2@b").info.Problem = "out of reach"
		p, err := h.Plan(t.Context(), nil, nil)
		if err != nil || p.Routing != "modulo" || len(p.Members) != 3 || len(p.After)+len(p.Plans)+len(p.Moves) != 0 || p.After == nil || p.Plans == nil || p.Moves == nil {
			t.Fatalf("no change: %+v, %v", p, err)
		}
		if got := fmt.Sprint(p.Members); got != "[{1@a alive 0.33334 10} {2@b alive 0.33333 0} {3@c failed 0.33333 10}]" {
			t.Errorf("members %s", got)
		}
		p, err = h.Plan(t.Context(), []string{"4@d:4374"}, nil)
		if err != nil || fmt.Sprint(p.After) != "[{1@a 0.25} {2@b 0.25} {3@c 0.25} {4@d 0.25}]" {
			t.Fatalf("4@d joins: %+v, %v", p, err)
		}
		if m, r := p.Plans[0], p.Plans[1]; m.Routing != "modulo" || math.Abs(m.Moved-0.75) > 0.01 || r.Routing != "rendezvous" || math.Abs(r.Moved-0.25) > 0.01 || math.Abs(r.Largest-0.25) > 0.01 {
			t.Errorf("plans %+v", p.Plans)
		}
		sum := 0.0
		for i, m := range p.Moves {
			if sum += m.Share; m.From == m.To || i > 0 && m.Share > p.Moves[i-1].Share {
				t.Errorf("moves %+v", p.Moves)
			}
		}
		if math.Abs(sum-p.Plans[0].Moved) > 1e-9 {
			t.Errorf("the moves are %v of the ids, want %v", sum, p.Plans[0].Moved)
		}
		f.change(func() { f.node("1@a").info.Routing = "rendezvous" })
		pass(2 * time.Second)
		p, err = h.Plan(t.Context(), []string{"5@e"}, []string{"3@c"})
		if err != nil || p.Routing != "rendezvous" || len(p.After) != 3 || p.Plans[1].Moved > 0.5 {
			t.Fatalf("5@e for 3@c: %+v, %v", p, err)
		}
		for _, m := range p.Moves {
			if m.From != "3@c" && m.To != "5@e" {
				t.Errorf("rendezvous moves ids from %s to %s", m.From, m.To)
			}
		}
		if p, err := h.Plan(t.Context(), []string{"4@d"}, []string{"4@d"}); err != nil || len(p.After) != 0 {
			t.Errorf("one that joins and leaves: %+v, %v", p, err)
		}
	})
}

// TestPlanErrors has names that make no sense.
func TestPlanErrors(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		many := make([]string, maxPlanned+1)
		for i := range many {
			many[i] = fmt.Sprintf("%d@x", i)
		}
		for _, c := range []struct {
			add, remove []string
			want        string
		}{
			{[]string{"4"}, nil, "NAME@HOST"},
			{[]string{"<script>\u202e@h"}, nil, "NAME@HOST"},
			{[]string{strings.Repeat("\n", 1<<20)}, nil, "NAME@HOST"},
			{[]string{""}, nil, "NAME@HOST"},
			{[]string{"2@b"}, nil, "it is a member already"},
			{[]string{"4@d", "4@d"}, nil, "is named twice"},
			{nil, []string{"2@bb"}, "did you mean 2@b?"},
			{nil, []string{"zzz@elsewhere"}, "there is no such member"},
			{nil, three, "this leaves no member"},
			{many, nil, "at most 100"},
		} {
			_, err := h.Plan(t.Context(), c.add, c.remove)
			if !errors.Is(err, node.ErrBadRequest) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 || strings.ContainsAny(err.Error(), "\n\u202e") {
				t.Errorf("Plan(%.40q, %.40q): %.300v, want %q", c.add, c.remove, err, c.want)
			}
		}
	})
}

// TestPlanQueue asks for plans at the same time: they are made one after the other, and who
// waits can give up.
func TestPlanQueue(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		h.planning <- struct{}{} // one is made
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Plan(ctx, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it waits for its turn: %v", err)
		}
		<-h.planning
		if _, err := h.Plan(t.Context(), nil, nil); err != nil {
			t.Error(err)
		}
		f.change(func() { f.slow = time.Hour })
		pass(time.Minute)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Plan(ctx, nil, nil); err == nil {
			t.Error("a plan without members")
		}
		synctest.Wait()
	})
}

// TestPlanSample looks at fewer ids of larger clusters.
func TestPlanSample(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{2: maxSample, 1000: 10_000} {
		var names []placement.Name
		members := map[placement.Name]*Member{}
		for i := range n {
			names = append(names, placement.Name{Node: fmt.Sprint(i), Host: "h"})
			members[names[i]] = &Member{}
		}
		slices.SortFunc(names, placement.Name.Compare)
		if p := plan("rendezvous", names, names[:n-1], members); p.IDs < want || p.IDs > want+want/100 || len(p.Moves) > maxMoves || len(p.After) != n-1 {
			t.Errorf("%d members: %d ids, %d moves", n, p.IDs, len(p.Moves))
		}
	}
}

// FuzzPlanned reads names as users type them.
func FuzzPlanned(f *testing.F) {
	for _, s := range []string{"4@d", "2@b", "", "@", "4@d,5@e", "<script>@x", "\xff@h", "1@[::1]:80", "2@bb"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, add, remove string) {
		before := []placement.Name{{Node: "1", Host: "a"}, {Node: "2", Host: "b"}}
		after, err := planned(before, strings.Split(add, ","), strings.Split(remove, ","))
		switch {
		case err != nil:
			if len(err.Error()) > 700 || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%q, %q: %q", add, remove, err)
			}
		case len(after) == 0 || !slices.IsSortedFunc(after, placement.Name.Compare) || len(slices.Compact(slices.Clone(after))) != len(after):
			t.Errorf("%q, %q: %v", add, remove, after)
		}
		if len(before) != 2 || before[1].Node != "2" {
			t.Errorf("before is %v now", before)
		}
	})
}
