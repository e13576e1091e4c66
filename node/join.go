package node

import (
	"context"
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

// Join connects to the named nodes, each again and again until it succeeds or ctx ends. It returns when all
// have succeeded. A reason of failure is logged when it is not the one of the last try.
func (n *Node) Join(ctx context.Context, names ...string) error {
	addrs := make([]Addr, len(names))
	for i, name := range names {
		a, err := ParseAddr(name)
		if err != nil {
			return err
		}
		addrs[i] = a
	}
	if len(addrs) > 0 {
		n.joinsBy.Store(int64(n.registry.now() + rollTime))
		defer n.joinsBy.Store(0)
	}
	var wg sync.WaitGroup
	for _, a := range addrs {
		wg.Go(func() { n.join(ctx, a) })
	}
	wg.Wait()
	if n.ctx.Err() != nil {
		return &wire.Error{Code: wire.Closed, Outcome: NotRun}
	}
	return ctx.Err()
}

func (n *Node) join(ctx context.Context, a Addr) {
	last := ""
	for retry := firstRetry; ctx.Err() == nil && n.ctx.Err() == nil; retry = min(2*retry, lastRetry) {
		dial, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := n.members.connect(dial, a)
		cancel()
		if err == nil {
			return
		}
		if why := err.Error(); why != last && ctx.Err() == nil {
			n.log.Warn("cannot join, will try again", "node", a.Name.String(), "why", why)
			last = why
		}
		sleep(ctx, retry/2+rand.N(retry))
	}
}
