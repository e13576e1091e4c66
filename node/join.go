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
	ctx, cancel := context.WithTimeout(ctx, n.members.OpTimeout())
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
// stands for whichever node is there, and dns:, srv:, file: and exec: for the nodes that
// such a source names: see package discover. Join tries all of them at the same time, again
// and again, and returns nil when this node is in one cluster with one of them. This node
// itself does not count, unless it is the only one.
//
// After Join has returned, the node goes on trying the names that are no members, and asks
// the sources again, until it closes. It stops trying a HOST:PORT if no node has answered
// there.
//
// Join fails when ctx ends. If this node was never in a cluster, Join also fails when all
// others have refused it for good, as with [ErrCookie], [ErrDisagreement], [ErrVersion]
// or [ErrNameTaken]. The error has the last reason for each name. Join logs a reason when it
// changes.
func (n *Node) Join(ctx context.Context, names ...string) error { return n.members.Join(ctx, names...) }

// AmongSeeds reports whether a Join was told this node itself, or has found it.
func (n *Node) AmongSeeds() bool { return n.members.AmongSeeds() }
