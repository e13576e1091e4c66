package quorum

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"
)

// A voter that leaves hands over: it gives leadership to another voter, and waits until the
// others can do without it (rule 14).

// others has do ask each other voter, at the same time, and returns those for which it is true.
func (v *voter) others(ctx context.Context, do func(ctx context.Context, s raft.Server) bool) (list []raft.Server) {
	ctx, cancel := context.WithTimeout(ctx, v.q.Timing.Interval/2)
	defer cancel()
	servers := v.electors()
	yes := make([]bool, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		if s.ID != v.disk.server() {
			wg.Go(func() { yes[i] = do(ctx, s) })
		}
	}
	wg.Wait()
	for i, s := range servers {
		if yes[i] {
			list = append(list, s)
		}
	}
	return list
}

// stepDown hands leadership to another voter, if this one leads.
func (v *voter) stepDown(ctx context.Context) { v.handOver(ctx, 1) }

// handOver is stepDown if so many other voters answer at least. Raft alone would choose one that
// is gone as soon as one that answers.
func (v *voter) handOver(ctx context.Context, least int) {
	if v.raft.State() != raft.Leader {
		return
	}
	answer := v.others(ctx, func(ctx context.Context, s raft.Server) bool {
		_, err := v.q.Host.Term(ctx, nameOf(s.ID), string(s.ID))
		return err == nil
	})
	if len(answer) < least {
		return
	}
	if len(answer) == len(v.electors())-1 { // raft knows who has the whole log
		v.noteHandover(v.raft.LeadershipTransfer().Error())
		return
	}
	for _, s := range answer {
		err := v.raft.LeadershipTransferToServer(s.ID, s.Address).Error()
		if v.noteHandover(err); err == nil {
			return
		}
	}
}

func (v *voter) noteHandover(err error) {
	if err != nil {
		v.q.Log.Debug("leadership was not handed over", "why", err)
	}
}

// spared reports whether a majority of the voters follows a leader without this one.
func (v *voter) spared(ctx context.Context) bool {
	follow := v.others(ctx, func(ctx context.Context, s raft.Server) bool {
		a, err := v.q.Host.Renew(ctx, nameOf(s.ID), v.q.renewal(v.q.Clock()))
		return err == nil && a.Leader != "" && a.Leader != v.q.Self.Name
	})
	return len(follow) > len(v.electors())/2
}
