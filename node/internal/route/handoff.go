package route

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/handoff"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
)

// Heir returns the node that takes the cached answer of id when the answer leaves this one,
// and whether it can. Leaving says that this node is to have no ids any more.
func (rt *Router) Heir(id worker.ID, leaving bool) (name string, ok bool) {
	v := rt.Members.View()
	if leaving {
		v = v.Rest()
	}
	if len(v.Peers) == 0 {
		return "", false
	}
	p := v.Acting(id)
	return p.Text, p.Self || !p.Lost() && !p.AnyStuck()
}

// SendAnswers gives answers to the node that owns their ids now.
func (rt *Router) SendAnswers(ctx context.Context, to string, list []registry.Answer) error {
	if list = rt.Kinds.Current(list); len(list) == 0 {
		return nil
	}
	if to == rt.Node { // the ids are back before their answers have gone
		rt.Kinds.Adopt(list)
		return nil
	}
	p, err := rt.Members.Member(to)
	if err != nil {
		return err
	}
	start := time.Now()
	s, err := rt.pool.Get(ctx, p)
	if err != nil {
		return err
	}
	if dialing := time.Since(start); dialing > time.Millisecond {
		for i := range list {
			list[i].Age, list[i].Left = list[i].Age+dialing, list[i].Left-dialing
		}
	}
	return handoff.Send(ctx, s, list)
}
