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

	"github.com/distproc/distproc/wire"
)

// Connect connects to the named nodes, NAME@HOST or NAME@HOST:PORT, and through each to all that it
// knows. Without names it tries 1@ to 5@ the own host. All are tried at the same time, for at
// most 1 s, or 5 s with the timing for a WAN. The results are in the order of the names.
func (n *Node) Connect(ctx context.Context, names ...string) []Connection {
	if len(names) == 0 {
		for i := range knownNames {
			names = append(names, Name{Node: strconv.Itoa(i + 1), Host: n.addr.Host}.String())
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

// Disconnect has a member leave the cluster: one that lives stays up, alone, until it connects again; the seat of one
// that has failed is taken at once.
func (n *Node) Disconnect(ctx context.Context, name string) error {
	return n.disconnect(ctx, name, n.own())
}

// disconnect is Disconnect as asked for by an actor.
func (n *Node) disconnect(ctx context.Context, name string, by actor) error {
	p, err := n.member(name)
	if err != nil {
		return err
	}
	if p.self {
		return wire.Errorf(wire.BadRequest, NotRun, "%s is this node itself", name)
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	err = n.members.remove(ctx, p)
	if err == nil {
		n.audit.note("member removed", by, "node", p.text)
	}
	return err
}

func (n *Node) connect(ctx context.Context, name string) error {
	a, err := ParseAddr(name)
	if err != nil {
		return err
	}
	return n.members.connect(ctx, a)
}

// Join joins the cluster of the named nodes, NAME@HOST or NAME@HOST:PORT. It tries all of them at the same
// time, again and again, and returns nil when this node is in one cluster with one of them; itself does not
// count, unless there is no other name. The node goes on trying those that are no members by then, as long as it
// lives. Join fails when ctx ends, and if this node was never in a cluster also when all others refuse it for good, as
// with [ErrCookie], [ErrDisagreement] or [ErrNameTaken]. The error tells the last reason of each name. A reason is
// logged when it is not the one of the last try.
func (n *Node) Join(ctx context.Context, names ...string) error {
	var addrs []Addr
	for _, name := range names {
		a, err := ParseAddr(name)
		if err != nil {
			return err
		}
		if a.Name != n.addr.Name {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		n.joinsBy.Store(0)
		return ctx.Err()
	}
	n.known.add(addrs, true)
	n.joinsBy.Store(int64(n.registry.now() + rollTime))
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
		why = append(why, err)
	}
	if n.ctx.Err() != nil {
		return &wire.Error{Code: wire.Closed, Outcome: NotRun}
	}
	return errors.Join(why...)
}

// join tries to join the cluster of the node at a until that succeeds, ctx ends, or it is refused for good.
func (n *Node) join(ctx context.Context, a Addr) error {
	last, refusals := error(nil), 0
	for retry := firstRetry; ctx.Err() == nil && n.ctx.Err() == nil; retry = min(2*retry, lastRetry) {
		dial, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := n.members.connect(dial, a)
		cancel()
		if err == nil {
			return nil
		}
		n.members.heed(err)
		if !isRefusal(err) {
			refusals = 0
		} else if refusals++; refusals >= maxRefusals && !n.known.wasMember() {
			return fmt.Errorf("cannot join %s: %w", a.Name, err)
		}
		if ctx.Err() == nil && (last == nil || err.Error() != last.Error()) {
			n.log.Warn("cannot join, will try again", "node", a.Name.String(), "why", err.Error())
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		sleep(ctx, retry/2+rand.N(retry))
	}
	return fmt.Errorf("cannot join %s: %w: %w", a.Name, cmp.Or(ctx.Err(), n.ctx.Err()), last)
}
