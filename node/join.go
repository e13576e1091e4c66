package node

import (
	"context"
	"strconv"
	"sync"

	"github.com/distproc/distproc/node/placement"
)

// Connect connects to the named nodes, NAME@HOST or NAME@HOST:PORT, and through each to
// all that it knows. A HOST:PORT stands for whichever node is there. Without names it
// tries 1@ to 5@ the own host. All are tried at the same time, for at most 1 s, or 5 s
// with the timing for a WAN. The results are in the order of the names.
func (n *Node) Connect(ctx context.Context, names ...string) []Connection {
	if len(names) == 0 {
		for i := range knownNames {
			names = append(names, placement.Name{Node: strconv.Itoa(i + 1), Host: n.addr.Host}.String())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, n.members.SettleTime())
	defer cancel()
	results := make([]Connection, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { results[i] = Connection{Name: name, Err: n.members.ConnectTo(ctx, name)} })
	}
	wg.Wait()
	return results
}

// Join joins the cluster of the named nodes, NAME@HOST or NAME@HOST:PORT. A HOST:PORT
// stands for whichever node is there; it takes the name that this says, and is not tried
// any more if nobody has by the time Join returns. Join tries all of them at the same
// time, again and again, and returns nil when this node is in one cluster with one of
// them; itself does not count, unless there is no other name. The node goes on trying
// those that are no members by then, as long as it lives. Join fails when ctx ends, and
// if this node was never in a cluster also when all others refuse it for good, as with
// [ErrCookie], [ErrDisagreement] or [ErrNameTaken]. The error tells the last reason of
// each name. A reason is logged when it is not the one of the last try.
func (n *Node) Join(ctx context.Context, names ...string) error { return n.members.Join(ctx, names...) }
