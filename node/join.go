package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// Connect connects to the named nodes, NAME@HOST or NAME@HOST:PORT, and through each to all that it
// knows. A HOST:PORT stands for whichever node is there. Without names it tries 1@ to 5@ the own host. All are tried at the same time, for at
// most 1 s, or 5 s with the timing for a WAN. The results are in the order of the names.
func (n *Node) Connect(ctx context.Context, names ...string) []Connection {
	if len(names) == 0 {
		for i := range knownNames {
			names = append(names, placement.Name{Node: strconv.Itoa(i + 1), Host: n.addr.Host}.String())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, n.members.patience())
	defer cancel()
	results := make([]Connection, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { results[i] = Connection{Name: name, Err: n.connect(ctx, name)} })
	}
	wg.Wait()
	return results
}

func (n *Node) connect(ctx context.Context, name string) error {
	a, err := protocol.ParseTarget(name)
	if err == nil {
		a, err = protocol.Identify(ctx, a, n.members.creds)
	}
	if err != nil {
		return err
	}
	return n.members.connect(ctx, a)
}

// Join joins the cluster of the named nodes, NAME@HOST or NAME@HOST:PORT. A HOST:PORT stands for whichever node is
// there; it takes the name that this says, and is not tried any more if nobody has by the time Join returns. Join tries all of them at the same
// time, again and again, and returns nil when this node is in one cluster with one of them; itself does not
// count, unless there is no other name. The node goes on trying those that are no members by then, as long as it
// lives. Join fails when ctx ends, and if this node was never in a cluster also when all others refuse it for good, as
// with [ErrCookie], [ErrDisagreement] or [ErrNameTaken]. The error tells the last reason of each name. A reason is
// logged when it is not the one of the last try.
func (n *Node) Join(ctx context.Context, names ...string) error {
	var addrs, unnamed []placement.Addr
	for _, name := range names {
		a, err := protocol.ParseTarget(name)
		if err != nil {
			return err
		}
		switch a.Name {
		case n.addr.Name:
		case placement.Name{Host: a.Host}:
			unnamed = append(unnamed, a)
		default:
			addrs = append(addrs, a)
		}
	}
	n.known.add(addrs, true)
	if addrs = append(addrs, unnamed...); len(addrs) == 0 {
		n.joinsBy.Store(0)
		return ctx.Err()
	}
	n.putOffClaims(&n.joinsBy)
	defer n.joinsBy.Store(0)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(addrs))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // before the wait
	for _, a := range addrs {
		wg.Go(func() { results <- n.join(ctx, a) })
	}
	var why []error
	for range addrs {
		err := <-results
		if err == nil {
			return nil
		}
		if !errors.Is(err, errSelf) {
			why = append(why, err)
		}
	}
	if n.ctx.Err() != nil {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	return errors.Join(why...) // nil if there is only this node itself
}

// errSelf is the error of joining the node itself.
var errSelf = errors.New("this is the node itself")

// Pauses between two attempts to join a cluster, or to attach to a node.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// join tries to join the cluster of the node at a until that succeeds, ctx ends, or it is refused for good. It returns
// errSelf as it is.
func (n *Node) join(ctx context.Context, a placement.Addr) error {
	last, refusals := error(nil), 0
	for retry := firstRetry; ctx.Err() == nil && n.ctx.Err() == nil; retry = min(2*retry, lastRetry) {
		dial, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := n.joinOnce(dial, &a)
		cancel()
		if err == nil || errors.Is(err, errSelf) {
			return err
		}
		n.members.heed(err)
		if !isRefusal(err) {
			refusals = 0
		} else if refusals++; refusals >= maxRefusals && !n.known.wasMember() {
			return fmt.Errorf("cannot join %s: %w", protocol.TargetText(a), err)
		}
		if ctx.Err() == nil && (last == nil || err.Error() != last.Error()) {
			n.log.Warn("cannot join, will try again", "node", protocol.TargetText(a), "why", err.Error())
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		clock.Sleep(ctx, retry/2+rand.N(retry))
	}
	return fmt.Errorf("cannot join %s: %w: %w", protocol.TargetText(a), cmp.Or(ctx.Err(), n.ctx.Err()), last)
}

// joinOnce tries to join the cluster of the node at a, which has a name from when the node has said it.
func (n *Node) joinOnce(ctx context.Context, a *placement.Addr) error {
	if a.Node == "" {
		named, err := protocol.Identify(ctx, *a, n.members.creds)
		switch {
		case err != nil:
			return err
		case named.Name == n.addr.Name:
			return errSelf
		}
		*a = named
		n.known.add([]placement.Addr{named}, true)
	}
	return n.members.connect(ctx, *a)
}

// CheckAddr returns an error unless a text says where a node is, as Join, Connect and Attach take it: NAME@HOST,
// NAME@HOST:PORT, or HOST:PORT.
func CheckAddr(text string) error {
	_, err := protocol.ParseTarget(text)
	return err
}
