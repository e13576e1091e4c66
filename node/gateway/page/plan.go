package page

import (
	"context"
	"slices"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

const (
	maxPlanned = 100        // names of a plan
	maxMoves   = 200        // of a plan
	maxSample  = 100_000    // ids
	minSample  = 5_000      //
	planBudget = 20_000_000 // ids times members, about
)

// A Plan says how ids are spread over the members, and what a change of the members would
// move. It looks at the integer ids from 0 on.
type Plan struct {
	Routing string       `json:"routing"`
	IDs     int          `json:"ids"`     // in the sample
	Members []PlanMember `json:"members"` // as they are
	After   []PlanShare  `json:"after"`   // the change; empty without one, like the next two
	Plans   []PlanMoved  `json:"plans"`   // for each routing
	Moves   []PlanMove   `json:"moves"`   // under the routing of the cluster, the largest first; at most 200
}

// A PlanMember is a member and its share of the ids.
type PlanMember struct {
	Name    string  `json:"name"`
	State   string  `json:"state"`
	Share   float64 `json:"share"`
	Workers int     `json:"workers"` // live
}

// A PlanShare is the share of the ids that a member would have.
type PlanShare struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`
}

// A PlanMoved is the share of the ids that would move under a routing, and that of the
// member that would have the most.
type PlanMoved struct {
	Routing string  `json:"routing"`
	Moved   float64 `json:"moved"`
	Largest float64 `json:"largest"`
}

// A PlanMove is the share of the ids that would move from one member to another.
type PlanMove struct {
	From  string  `json:"from"`
	To    string  `json:"to"`
	Share float64 `json:"share"`
}

// Plan says what would move if members joined and others left for good. Without either it
// says how ids are spread now. The error of a name that makes no sense is
// [node.ErrBadRequest]. Plans are made one at a time, each in about 100 ms.
func (h *Hub) Plan(ctx context.Context, add, remove []string) (*Plan, error) {
	c, err := h.common(ctx)
	if err != nil {
		return nil, err
	}
	before := make([]placement.Name, 0, len(c.Members))
	members := make(map[placement.Name]*Member, len(c.Members))
	for i := range c.Members {
		if name, err := placement.ParseName(c.Members[i].Name); err == nil {
			before = append(before, name)
			members[name] = &c.Members[i]
		}
	}
	if len(before) == 0 {
		return nil, wire.Errorf(wire.Internal, wire.NotRun, "%s knows no members", h.self)
	}
	slices.SortFunc(before, placement.Name.Compare)
	after, err := planned(before, add, remove)
	if err != nil {
		return nil, err
	}
	select {
	case h.planning <- struct{}{}:
		defer func() { <-h.planning }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return plan(c.Routing, before, after, members), nil
}

// plan computes a plan. A cluster that does not tell its routing has the default one.
func plan(routing string, before, after []placement.Name, members map[placement.Name]*Member) *Plan {
	r, _ := placement.ParseRouting(routing)
	sample := min(max(planBudget/(len(before)+len(after)), minSample), maxSample)
	share := func(n int) float64 { return float64(n) / float64(sample) }
	p := &Plan{
		Routing: r.String(), IDs: sample, Members: make([]PlanMember, 0, len(before)),
		After: []PlanShare{}, Plans: []PlanMoved{}, Moves: []PlanMove{},
	}
	change := placement.ChangeOf(r, before, after, sample)
	for _, s := range change.Before {
		m := members[s.Name]
		j := PlanMember{Name: s.Name.String(), State: m.State, Share: share(s.IDs)}
		if m.Self != nil {
			j.Workers = m.Workers
		}
		p.Members = append(p.Members, j)
	}
	if slices.Equal(before, after) {
		return p
	}
	for _, s := range change.After {
		p.After = append(p.After, PlanShare{s.Name.String(), share(s.IDs)})
	}
	for _, m := range change.Moves[:min(len(change.Moves), maxMoves)] {
		p.Moves = append(p.Moves, PlanMove{m.From.String(), m.To.String(), share(m.IDs)})
	}
	for _, of := range []placement.Routing{placement.Modulo, placement.Rendezvous} {
		moved := change.Plan
		if of != r {
			moved = placement.ChangeOf(of, before, after, sample).Plan
		}
		p.Plans = append(p.Plans, PlanMoved{of.String(), share(moved.Moved), share(moved.Largest)})
	}
	return p
}

// planned returns the members after a change. Before is sorted.
func planned(before []placement.Name, add, remove []string) ([]placement.Name, error) {
	bad := func(format string, args ...any) ([]placement.Name, error) {
		return nil, wire.Errorf(wire.BadRequest, wire.NotRun, format, args...)
	}
	if n := len(add) + len(remove); n > maxPlanned {
		return bad("%d names: a plan is for at most %d", n, maxPlanned)
	}
	after := slices.Clone(before)
	for _, s := range add {
		name, err := parsePlanned(s)
		if err != nil {
			return bad("add: %v", err)
		}
		if slices.Contains(after, name) {
			return bad("add %s: it is a member already, or is named twice", name)
		}
		after = append(after, name)
	}
	for _, s := range remove {
		name, err := parsePlanned(s)
		if err != nil {
			return bad("remove: %v", err)
		}
		if !slices.Contains(after, name) {
			return bad("remove %s: there is no such member%s", name, meant(name.String(), before))
		}
		after = slices.DeleteFunc(after, func(n placement.Name) bool { return n == name })
	}
	if len(after) == 0 {
		return bad("remove: this leaves no member")
	}
	slices.SortFunc(after, placement.Name.Compare)
	return after, nil
}

// parsePlanned reads NAME@HOST. A port, as in --join, is no part of a name, and is left out.
func parsePlanned(s string) (placement.Name, error) {
	a, err := placement.ParseAddr(s)
	return a.Name, err
}

// meant returns a hint at the member whose name is most similar.
func meant(name string, members []placement.Name) string {
	names := make([]string, 0, len(members))
	for _, n := range members {
		names = append(names, n.String())
	}
	if nearest := text.Nearest(name, names); nearest != "" {
		return "; did you mean " + nearest + "?"
	}
	return ""
}
