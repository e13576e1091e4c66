package quorum

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// A Report says who the voters are by their log, and how they are.
type Report struct {
	Leader string     `json:"leader,omitempty"` // NAME@HOST; "" if none leads
	Term   uint64     `json:"term,omitempty"`   // of the leader
	Count  int        `json:"count"`            // of voters
	Answer int        `json:"answer"`           // how many of them answer, and can vote
	Needed int        `json:"needed"`           // how many are a majority
	Voters []Standing `json:"voters"`           // and others that --voters names
}

// Quorum reports whether a majority of the voters answers, and one of them leads.
func (r *Report) Quorum() bool { return r.Leader != "" && r.Answer >= r.Needed }

// Majority says how many voters answer, and how many have to.
func (r *Report) Majority() string {
	if r.Count == 0 {
		return "the voters have not begun: all of them must be there the first time"
	}
	answer, are := "answer", "are"
	if r.Answer == 1 {
		answer = "answers"
	}
	if r.Needed == 1 {
		are = "is"
	}
	return fmt.Sprintf("%d of %d %s, and %d %s needed", r.Answer, r.Count, answer, r.Needed, are)
}

// Hint returns what to do if the voters have begun and no majority of them answers, or "".
func (r *Report) Hint() string {
	if r.Count == 0 || r.Answer >= r.Needed {
		return ""
	}
	return "bring the others back; if their disks are lost: distproc voters recover --help"
}

// A Standing is how a voter is.
type Standing struct {
	Name    string   `json:"name"`              // NAME@HOST
	Role    string   `json:"role"`              // leads, follows, joins (it gets the log and has no vote yet), or none (only --voters names it)
	Problem string   `json:"problem,omitempty"` // why it does not vote; "" if it answers and does
	Behind  uint64   `json:"behind"`            // entries of the log that the leader has and it has not
	Term    uint64   `json:"term,omitempty"`    // that it is in; 0 if it does not answer
	Given   []string `json:"given,omitempty"`   // its --voters, if these are others than the voters; else empty
}

// The roles of a voter.
const (
	RoleLeads   = "leads"
	RoleFollows = "follows"
	RoleJoins   = "joins"
	RoleNone    = "none"
)

// Report asks the voters, and those that --voters names. It takes twice the time at most after
// which a member is silent.
func (q *Quorum) Report(ctx context.Context) *Report {
	q.mu.Lock()
	names, known := union(q.asked, q.Config.Voters), &Introduction{Log: q.log, Origin: q.origin}
	q.mu.Unlock()
	list, errs := q.introductions(ctx, names)
	by := authority(list, known)
	r := &Report{}
	if by != nil {
		more := slices.DeleteFunc(union(namesOf(by.Log), namesOf(by.Joining)), func(name string) bool { return slices.Contains(names, name) })
		moreList, moreErrs := q.introductions(ctx, more)
		names, list, errs = append(names, more...), append(list, moreList...), append(errs, moreErrs...)
		if r.Count, r.Needed = len(by.Log), len(by.Log)/2+1; by.Leads {
			r.Leader, r.Term = nameOf(raft.ServerID(by.Server)), by.Term
		}
	}
	for i, name := range names {
		s := standing(name, list[i], errs[i], by)
		if s.Role != RoleJoins && s.Role != RoleNone && s.Problem == "" {
			r.Answer++
		}
		r.Voters = append(r.Voters, s)
	}
	if r.Answer < r.Needed { // no voter can be removed or added then
		for i := range r.Voters {
			r.Voters[i].Problem = strings.TrimSuffix(r.Voters[i].Problem, again)
		}
	}
	slices.SortFunc(r.Voters, func(a, b Standing) int {
		x, _ := placement.ParseName(a.Name) // valid, because all come from --voters or the log
		y, _ := placement.ParseName(b.Name)
		return x.Compare(y)
	})
	return r
}

// authority returns the introduction that says who the voters are, or nil if none knows: that of
// the leader or, if none leads, of the voter that is in the latest term. Those of the cluster
// that this node knows come first, and of two clusters the one that the other became. Of a voter
// that was removed, which knows nothing of that, the log does not count.
func authority(list []*Introduction, known *Introduction) (by *Introduction) {
	rank := func(in *Introduction) (n int) {
		if known.Origin.Cluster != "" && (in.Origin.Cluster == known.Origin.Cluster || in.Origin.follows(known.Origin)) {
			n += 2
		}
		if in.Leads {
			n++
		}
		return n
	}
	if len(known.Log) > 0 {
		by = known
	}
	for _, in := range list {
		if in == nil || len(in.Log) == 0 || len(known.Log) > 0 && !in.Leads && !slices.Contains(known.Log, in.Server) {
			continue
		}
		if slices.ContainsFunc(list, func(other *Introduction) bool { return other != nil && other.Origin.follows(in.Origin) }) {
			continue
		}
		if by == nil || cmp.Or(cmp.Compare(rank(in), rank(by)), cmp.Compare(in.Term, by.Term), cmp.Compare(in.Last, by.Last)) > 0 {
			by = in
		}
	}
	return by
}

// standing returns how a node is that has introduced itself, or why it has not, by the log of
// another.
func standing(name string, in *Introduction, err error, by *Introduction) Standing {
	s := Standing{Name: name, Role: RoleNone}
	var id string // that the log has for the name
	if by != nil {
		of := func(id string) bool { return nameOf(raft.ServerID(id)) == name }
		if i := slices.IndexFunc(by.Log, of); i >= 0 {
			id, s.Role = by.Log[i], RoleFollows
			if by.Leads && id == by.Server {
				s.Role = RoleLeads
			}
		} else if i := slices.IndexFunc(by.Joining, of); i >= 0 {
			id, s.Role = by.Joining[i], RoleJoins
		}
	}
	if err != nil {
		s.Problem = silence(name, err)
		return s
	}
	s.Term = in.Term
	if by != nil && !sameNames(in.Voters, namesOf(by.Log)) {
		s.Given = in.Voters
	}
	if s.Problem = unlike(in, id, by); s.Problem == "" && by != nil {
		s.Behind = by.Last - min(by.Last, in.Last)
	}
	return s
}

// silence returns why a node has not introduced itself.
func silence(name string, err error) string {
	if e, ok := errors.AsType[*wire.Error](err); ok && e.Code == wire.NoQuorum {
		return "was started without --voters"
	}
	return "does not answer: " + blame(name, err)
}

// again is what to do with a voter that has another data directory.
const again = "; remove it and add it again"

// unlike returns why the node is not the voter that the log has under its name.
func unlike(in *Introduction, id string, by *Introduction) string {
	switch {
	case in.Server == "":
		return "was not started as a voter"
	case in.Problem != "":
		return in.Problem
	case by == nil:
		return ""
	case by.Origin.follows(in.Origin):
		return "its data directory is of before the voters were recovered"
	case in.Origin.Cluster != "" && in.Origin.Cluster != by.Origin.Cluster:
		return "its data directory belongs to another cluster"
	case id == "":
		return "is no voter; add it to make it one"
	case in.Server != id && in.Empty:
		return "its data directory is new" + again
	case in.Server != id:
		return "it has another data directory" + again
	}
	return ""
}

// sameNames reports whether both lists have the same names.
func sameNames(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
