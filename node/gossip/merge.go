package gossip

import (
	"fmt"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/distproc/distproc/wire"
)

// rivalProof is for how long a process of an earlier start must go on to live under this node's name, until it
// is no mere memory of others.
const rivalProof = 3 * time.Second

// A rival is another process that seems to live under this node's name.
type rival struct {
	incarnation uint64
	first, last time.Time
}

// NotifyMerge implements [serf.MergeDelegate]. serf calls it for every member that it is about to take for alive, and
// with a list before it joins another cluster, and holds memberlist's lock: so this does not wait. It refuses
// a member that no node of this program can be; never a list, as that would keep clusters apart.
func (g *Gossip) NotifyMerge(members []*serf.Member) error {
	if len(members) != 1 {
		return nil // each will be asked for again
	}
	m := memberOf(*members[0])
	if !g.c.Valid(m.Name, m.Addr) {
		return fmt.Errorf("a member cannot have the name %q and the address %q", m.Name, m.Addr)
	}
	if string(members[0].Addr) != string(constantIP) || members[0].Port != constantPort {
		return fmt.Errorf("%s has an address of memberlist's own, which would shut out the true one", m.Name)
	}
	if m.Name == g.c.Self.Name {
		g.meet(m)
	}
	return nil
}

// meet decides whether a member with this node's name is another process. A later start surely is. An earlier one
// may be what others remember of a former life, until this node has told them better.
func (g *Gossip) meet(m wire.Member) {
	if m.Incarnation == g.c.Self.Incarnation || g.c.Conflict == nil {
		return
	}
	if m.Incarnation < g.c.Self.Incarnation {
		now := time.Now()
		g.mu.Lock()
		r := &g.rival
		if m.Incarnation != r.incarnation || now.Sub(r.last) > 10*rivalProof {
			*r = rival{incarnation: m.Incarnation, first: now}
		}
		r.last = now
		proven := now.Sub(r.first) > rivalProof
		g.mu.Unlock()
		if !proven {
			return
		}
	}
	select {
	case g.conflicts <- m:
	default:
	}
}
