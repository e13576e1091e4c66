package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// MaxVoters is how many voters there are at most.
const MaxVoters = 5

// A Change adds a voter or removes one (rule 25).
type Change struct {
	Add     bool
	Name    string        // NAME@HOST
	Timeout time.Duration // after which it is given up
}

// A Changed says what became of a [Change].
type Changed struct {
	Done   bool
	Why    string // why not; "" if the node that was asked does not lead
	Leader string // who may lead if it does not; "" if it does not know
}

func refused(format string, args ...any) *Changed { return &Changed{Why: fmt.Sprintf(format, args...)} }

// Change has the leader of the voters change them, and waits until that is done or c.Timeout has
// passed. Any node can be asked.
func (q *Quorum) Change(ctx context.Context, c *Change) *Changed {
	if n, err := placement.ParseName(c.Name); err != nil {
		return refused("%v", err)
	} else if n.String() != c.Name {
		return refused("write %s instead of %s", n, c.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	for {
		report := q.Report(ctx)
		if report.Leader != "" {
			asked := *c
			if at, ok := ctx.Deadline(); ok { // the leader says in time what is not done
				asked.Timeout = time.Until(at) * 9 / 10
			}
			r, err := q.changeAt(ctx, report.Leader, &asked)
			e, _ := errors.AsType[*wire.Error](err)
			switch {
			case e != nil && e.Outcome == wire.NotRun: // it has not got there
			case err != nil:
				return refused("%s was asked for the change and has not answered (%v): it may be done, or be done later; "+
					"look with distproc voters", report.Leader, err)
			case r.Done || r.Why != "":
				return r
			}
		}
		select {
		case <-time.After(q.Timing.Interval / 4):
		case <-ctx.Done():
			hint := report.Hint()
			if hint != "" {
				hint = "; " + hint
			}
			return refused("no voter leads: %s%s", report.Majority(), hint)
		}
	}
}

func (q *Quorum) changeAt(ctx context.Context, leader string, c *Change) (*Changed, error) {
	if leader == q.Self.Name {
		return q.ServeChange(ctx, c), nil
	}
	return q.Host.Change(ctx, leader, c)
}

// ServeChange changes the voters if this one leads them.
func (q *Quorum) ServeChange(ctx context.Context, c *Change) *Changed {
	v := q.voter
	if v == nil {
		return &Changed{}
	}
	v.mu.Lock()
	leads := v.leader != nil && v.raft.State() == raft.Leader
	v.mu.Unlock()
	if !leads {
		return &Changed{Leader: v.leaderName()}
	}
	if !v.changing.CompareAndSwap(false, true) {
		return refused("another change of the voters is going on; try again when that is done")
	}
	defer v.changing.Store(false)
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	do, what := v.remove, "removed"
	if c.Add {
		do, what = v.add, "added"
	}
	r := do(ctx, c.Name)
	if r.Done {
		q.Log.Info("a voter was "+what, "voter", c.Name, "voters", strings.Join(v.names(), ",")) //nolint:sloglint // one of two
		poke(v.hint)                                                                             // so that all members learn it
	}
	return r
}

// add makes a node a voter: first one that gets the log and has no vote, and then, when it has
// caught up, one that votes. So a new voter holds up nothing.
func (v *voter) add(ctx context.Context, name string) *Changed {
	own := v.introduction()
	in, err := v.introduce(ctx, name, own)
	voter := slices.Contains(namesOf(own.Log), name)
	switch {
	case err != nil && voter:
		return refused("%s is a voter already, and %s", name, silence(name, err))
	case err != nil:
		return refused("%s %s. Start it with --join, and with its own name among its --voters", name, silence(name, err))
	case in.Server == "":
		return refused("%s was not started as a voter: start it with its own name among its --voters", name)
	case nameOf(raft.ServerID(in.Server)) != name:
		return refused("%s says that it is %s", name, in.Server)
	case slices.Contains(own.Log, in.Server):
		return refused("%s is a voter already", name)
	case voter:
		return refused("%s is a voter with another data directory than the one that it has now; distproc voters remove %s "+
			"removes that voter, and then this one can be added", name, name)
	case !in.Empty && in.Origin.Cluster != own.Origin.Cluster && in.Origin.Cluster != "":
		return refused("the data directory of %s belongs to another cluster: move it away, start the node again, and add it then", name)
	case !in.Empty && in.Origin.Cluster == "":
		return refused("the data directory of %s is not empty: move it away, start the node again, and add it then", name)
	case in.Problem != "":
		return refused("%s cannot vote: %s", name, in.Problem)
	case len(own.Log) >= MaxVoters:
		return refused("there are %d voters already, which is the most: remove one first", len(own.Log))
	}
	id := raft.ServerID(in.Server)
	for _, other := range own.Joining { // an attempt of before
		if o := raft.ServerID(other); nameOf(o) == name && o != id {
			if err := v.raft.RemoveServer(o, 0, v.q.Timing.Lease).Error(); err != nil {
				return unknown(err)
			}
		}
	}
	if !slices.Contains(own.Joining, in.Server) {
		own.Joining = append(own.Joining, in.Server)
		if _, err := v.introduce(ctx, name, own); err != nil { // it takes streams from now on
			return refused("%s %s", name, silence(name, err))
		}
		if err := v.raft.AddNonvoter(id, raft.ServerAddress(id), 0, v.q.Timing.Lease).Error(); err != nil {
			return unknown(err)
		}
	}
	for target := v.raft.LastIndex(); in == nil || in.Last < target || in.Origin.Cluster != v.origin().Cluster; {
		select {
		case <-time.After(v.q.Timing.Interval / 4):
		case <-ctx.Done():
			return refused("%s gets the log of the voters, but has not caught up yet; add it again when distproc voters says that it has", name)
		}
		if in, err = v.introduce(ctx, name, own); err != nil || in.Server != string(id) {
			in = nil
		}
	}
	if err := v.raft.AddVoter(id, raft.ServerAddress(id), 0, v.q.Timing.Lease).Error(); err != nil {
		return unknown(err)
	}
	return &Changed{Done: true}
}

// introduce is an introduction that takes no longer than an answer should.
func (v *voter) introduce(ctx context.Context, name string, own *Introduction) (*Introduction, error) {
	if name == v.q.Self.Name {
		return own, nil
	}
	ctx, cancel := context.WithTimeout(ctx, v.q.Timing.Silence)
	defer cancel()
	return v.q.Host.Introduce(ctx, name, own)
}

// unknown is a change that raft has not confirmed.
func unknown(err error) *Changed {
	return refused("the voters have not confirmed the change (%v): look with distproc voters whether it is done, and try again", err)
}

// remove takes the vote from a voter, which may be lost. A leader hands over first.
func (v *voter) remove(ctx context.Context, name string) *Changed {
	servers := v.servers()
	i := slices.IndexFunc(servers, func(s raft.Server) bool { return nameOf(s.ID) == name })
	if i < 0 {
		return refused("%s is no voter; the voters are %s", name, strings.Join(v.names(), ", "))
	}
	if servers[i].Suffrage == raft.Voter {
		rest := slices.DeleteFunc(v.electors(), func(s raft.Server) bool { return s.ID == servers[i].ID })
		if len(rest) == 0 {
			return refused("%s is the only voter: add another one first", name)
		}
		answer, best := v.answering(ctx, rest)
		if answer <= len(rest)/2 {
			left := Report{Count: len(rest), Answer: answer, Needed: len(rest)/2 + 1}
			return refused("without %s %s: bring the others back first", name, left.Majority())
		}
		if name == v.q.Self.Name {
			if err := v.raft.LeadershipTransferToServer(best, raft.ServerAddress(best)).Error(); err != nil {
				return refused("%s leads the voters, and leadership could not be handed to %s: %v; try again", name, nameOf(best), err)
			}
			return &Changed{Leader: nameOf(best)}
		}
	}
	if err := v.raft.RemoveServer(servers[i].ID, 0, v.q.Timing.Lease).Error(); err != nil {
		return unknown(err)
	}
	return &Changed{Done: true}
}

// answering returns how many of the voters answer and can vote, and which of them but this one
// has the most of the log.
func (v *voter) answering(ctx context.Context, servers []raft.Server) (n int, best raft.ServerID) {
	var names []string
	for _, s := range servers {
		names = append(names, nameOf(s.ID))
	}
	list, errs := v.q.introductions(ctx, names)
	var last uint64
	for i, in := range list {
		if errs[i] != nil || in.Server != string(servers[i].ID) || in.Problem != "" {
			continue
		}
		if n++; names[i] != v.q.Self.Name && in.Last >= last {
			best, last = servers[i].ID, in.Last
		}
	}
	return n, best
}
