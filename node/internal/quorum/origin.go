package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// An Origin says of which cluster a log is. A cluster whose voters were recovered is another
// one from then on, so that the voters of before are known by their logs.
type Origin struct {
	Cluster string   // random; "" if it is not known yet
	Former  []string // those that it was before, the last first
}

// follows reports whether the cluster is another one by a recovery.
func (o Origin) follows(other Origin) bool {
	return other.Cluster != "" && slices.Contains(o.Former, other.Cluster)
}

// unrelated reports whether the cluster is neither the other one nor what that has become.
func (o Origin) unrelated(other Origin) bool {
	return o.Cluster != "" && other.Cluster != "" && o.Cluster != other.Cluster && !o.follows(other)
}

// maxFormer is how many clusters of before a log remembers.
const maxFormer = 16

// An Introduction is what voters tell each other of themselves.
type Introduction struct {
	Server  string   // the identity: the name, and the disk; "" if the node is no voter
	Voters  []string // that the user has named
	Log     []string // the identities of the voters, by its log; empty if it has never taken part
	Joining []string // the identities of those that are to become voters
	Empty   bool     // it has never taken part
	Origin  Origin
	Term    uint64
	Last    uint64 // index of the last entry of its log
	Leads   bool
	Problem string // why it does not vote; "" if it does
}

// ServeIntroduction tells another voter who this one is. Own may say that this one is to join
// the voters.
func (q *Quorum) ServeIntroduction(own *Introduction) (*Introduction, error) {
	if q.voter == nil {
		return &Introduction{Voters: q.Config.Voters}, nil
	}
	q.voter.invite(own)
	return q.voter.introduction(), nil
}

// maxListed is more voters than any introduction lists. Each may have to be asked.
const maxListed = 64

// large reports whether the introduction cannot be one of a voter.
func (i *Introduction) large() bool { return len(i.Voters)+len(i.Log)+len(i.Joining) > maxListed }

var errLarge = errors.New("it lists too many voters")

func (v *voter) introduction() *Introduction {
	i := &Introduction{
		Server: string(v.disk.server()), Voters: v.q.Config.Voters, Origin: v.origin(),
		Term: v.raft.CurrentTerm(), Last: v.raft.LastIndex(),
	}
	servers := v.servers()
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			i.Log = append(i.Log, string(s.ID))
		} else {
			i.Joining = append(i.Joining, string(s.ID))
		}
	}
	i.Empty = v.disk.empty && len(servers) == 0
	v.mu.Lock()
	defer v.mu.Unlock()
	i.Leads = v.leader != nil
	switch {
	case v.obsolete:
		i.Problem = "its data directory is of before the voters were recovered"
	case v.diskErrLocked() != nil:
		i.Problem = fmt.Sprintf("its data directory cannot be written: %v", pathless(v.diskErrLocked()))
	}
	return i
}

// introductions exchanges with each of the nodes who they are. It asks all at once, each for the
// time after which a member is silent.
func (q *Quorum) introductions(ctx context.Context, names []string) ([]*Introduction, []error) {
	ctx, cancel := context.WithTimeout(ctx, q.Timing.Silence)
	defer cancel()
	own := &Introduction{Voters: q.Config.Voters}
	if q.voter != nil {
		own = q.voter.introduction()
	}
	list, errs := make([]*Introduction, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		if name == q.Self.Name {
			list[i] = own
			continue
		}
		wg.Go(func() {
			if list[i], errs[i] = q.Host.Introduce(ctx, name, own); errs[i] == nil && list[i].large() {
				list[i], errs[i] = nil, errLarge
			}
		})
	}
	wg.Wait()
	return list, errs
}

// meet looks at the other voters until the quorum is closed: often at first, and then once in the
// time of a lease.
func (v *voter) meet() {
	for {
		v.lookAround()
		pause := v.q.Timing.Lease
		if v.young() {
			pause = v.q.Timing.Interval / 2
		}
		select {
		case <-time.After(pause):
		case <-v.q.ctx.Done():
			return
		}
	}
}

// young reports whether this voter has been there for less than the time of a lease.
func (v *voter) young() bool { return v.q.Clock() < v.began+v.q.Timing.Lease }

// lookAround says once what is wrong if the other voters are of another cluster than this one. A
// voter that the others have left behind in a recovery takes no part any more.
func (v *voter) lookAround() {
	why := v.discord()
	v.mu.Lock()
	news := why != v.said
	v.said = why
	v.mu.Unlock()
	if news && why != "" {
		v.q.Log.Error(why, "dir", v.q.Dir) //nolint:sloglint // a few texts
	}
}

// discord returns what is wrong if the other voters are of another cluster, or "".
func (v *voter) discord() (why string) {
	own := v.introduction()
	if own.Origin.Cluster == "" {
		return ""
	}
	names := slices.DeleteFunc(union(namesOf(own.Log), own.Voters), func(name string) bool { return name == v.q.Self.Name })
	list, errs := v.q.introductions(v.q.ctx, names)
	same, others := 0, []string(nil)
	for i, in := range list {
		switch {
		case errs[i] != nil || in.Origin.Cluster == "" || own.Origin.follows(in.Origin):
		case in.Origin.Cluster == own.Origin.Cluster:
			same++
		case in.Origin.follows(own.Origin):
			v.standDown()
			return "the voters were recovered without this one, so it does not vote any more. Move its data directory away, " +
				"start the node again, and add it with distproc voters add"
		default:
			others = append(others, names[i])
		}
	}
	if same > 0 || len(others) == 0 {
		return ""
	}
	return fmt.Sprintf("the data directory belongs to another cluster than that of %s. Move it away, start the node again, "+
		"and add it with distproc voters add", strings.Join(others, " and "))
}

// standDown ends raft: this voter is of before a recovery.
func (v *voter) standDown() {
	v.mu.Lock()
	v.obsolete, v.leader = true, nil
	v.mu.Unlock()
	_ = v.raft.Shutdown().Error() // it has none
}

// isObsolete reports whether this voter has learned that it is of before a recovery.
func (v *voter) isObsolete() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.obsolete
}

// learnLocked takes the identities of the voters by their log, and says what that means for this
// node if it is news.
func (q *Quorum) learnLocked(servers []string) {
	if len(servers) == 0 || slices.Equal(servers, q.log) {
		return
	}
	before := q.log
	q.log, q.asked = servers, namesOf(servers)
	if q.voter != nil {
		own := string(q.voter.disk.server())
		now, was := slices.Contains(servers, own), slices.Contains(before, own)
		if !now && (was || before == nil && !q.voter.disk.empty) {
			q.Log.Warn("this node is no voter any more", "voters", strings.Join(q.asked, ","))
		}
	}
	switch {
	case !sameNames(q.asked, q.Config.Voters):
		q.Log.Warn("the voters are others than --voters names",
			"given", strings.Join(q.Config.Voters, ","), "voters", strings.Join(q.asked, ","))
	case before != nil:
		q.Log.Info("the voters have changed", "voters", strings.Join(q.asked, ","))
	}
	if len(servers) == 1 {
		q.Log.Warn(alone, "voter", q.asked[0])
	}
}

// alone says what one voter does not protect from.
const alone = "one voter alone: while its node is down no call of a strict kind runs, and if its disk is lost " +
	"tokens may begin anew; make it 3 or 5 by distproc voters add"

// union returns what is in either list, once.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
