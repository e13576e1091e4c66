// Package claim makes sure that no other node has a server of an id before this one
// starts its own.
//
// A node that is to start its first server after the owners of ids have changed raises a
// barrier: it asks every member which servers it has that are not its own any more.
// Thereby each of them knows of the change, and starts no such server from then on. Its
// servers that rest have ended then; those that run a call, or have something to do at
// their end, are named, and the node waits for these. A member that is out of reach is not
// waited for: what it runs, if it lives, runs besides, until it has heard of the change.
// To exclude that takes the consent of a majority, and with it calls that fail while two
// of three are away.
//
// Invariants, with their tests in package node:
//
//   - While all members reach each other, no two have a server of one id: TestSerialCluster,
//     TestSerialMembersChange, TestSerialLostSession, TestFailedIsDialled.
//   - A server that another node asks for ends ahead of all others: TestAskedServerEnds.
//   - A server that nobody waits for does not come back: TestServerDoesNotComeBack.
//   - A member that had more servers than it could tell of is not asked for each id for
//     ever: TestBarrierAgain.
//   - A claim does not outlive its term: TestStandstillRaisesBarrier.
//   - A node that is alone starts no server while it may find its cluster: TestClaimAwaitsJoin,
//     TestClaimMeetsStrangers, TestRestartSeeksOften.
//   - A claim ends with its context, and then nothing has run: TestClaimGivesUp.
package claim

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/members"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Claims are what a node has the right to serve. All methods may be called from any
// number of goroutines.
type Claims struct {
	members *members.Members
	host    Host

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	barrier *barrier // the last one; guarded by mu
}

// A Host is what Claims need of their node.
type Host interface {
	// Registries returns the workers of all kinds, those of a kind that is no more
	// included while they run.
	Registries() []*registry.Registry
}

// A barrier is what the members have answered in one term. It is raised when a server is
// first to start. Its answers count for the rest of the term; a singleflight.Group would
// forget them when all are there.
type barrier struct {
	term     uint64
	done     chan struct{}
	raised   time.Time // when it was, or was last tried to be renewed; guarded by Claims.mu
	renewing bool      // another one for the term is being raised; guarded by Claims.mu

	// Set before done is closed:
	answered []*peers.Peer
	holders  map[worker.Key][]*peers.Peer // members with a server that is another node's
	unsure   []*peers.Peer                // members that saw the cluster differently, or had too many servers to tell: asked for each id
}

const (
	barrierTime = 3 * time.Second  // that members have to answer; about what it takes to notice that one is paused
	renewAfter  = 10 * time.Second // a barrier of which some members are unsure is raised again; they go over all servers for that
)

// releasePause is the pause between two questions whether a member still has a server. It
// is short, because a caller waits for the answer.
func releasePause() clock.Backoff {
	return clock.Backoff{First: 2 * time.Millisecond, Last: 50 * time.Millisecond}
}

// again is the pause between two attempts to ask a member.
func again() clock.Backoff {
	return clock.Backoff{First: 5 * time.Millisecond, Last: 200 * time.Millisecond}
}

// New returns the claims of a node. They last until [Claims.Close].
func New(m *members.Members, h Host) *Claims {
	c := &Claims{members: m, host: h}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close ends the barrier that is being raised, if any. Claims that wait fail.
func (c *Claims) Close() {
	c.mu.Lock()
	c.cancel() // with mu held, so that no other barrier begins
	c.mu.Unlock()
	c.wg.Wait()
}

// Claim waits until no other node has a server of k. It fails if k is another node's, if
// this node is apart or outranked, or when ctx ends.
func (c *Claims) Claim(ctx context.Context, k worker.Key) *wire.Error {
	for {
		v := c.members.View()
		switch {
		case !v.Acting(k.ID).Self:
			return v.NotOwner(k.ID)
		case v.Apart:
			if err := c.members.Outranked(); err != nil && len(v.Peers) == 1 {
				return err
			}
			return c.members.ApartError()
		}
		ready, err := c.alone, (*wire.Error)(nil)
		if len(v.Peers) > 1 {
			ready = c.amongOthers
		}
		if err = ready(ctx, v, k); err != nil {
			return err
		}
		if c.members.View().Term == v.Term {
			return nil
		}
	}
}

// alone waits while this node is the only one that it knows, and may find others.
func (c *Claims) alone(ctx context.Context, _ *members.View, _ worker.Key) *wire.Error {
	if err := c.members.Outranked(); err != nil {
		return err
	}
	if !c.members.AwaitCluster(ctx) {
		return wire.Ended(ctx.Err(), wire.NotRun)
	}
	if err := c.members.Outranked(); err != nil {
		return err
	}
	c.members.MeetStrangers(ctx)
	return nil
}

// amongOthers waits until none of the others has a server of k, or the term of v is over.
func (c *Claims) amongOthers(ctx context.Context, v *members.View, k worker.Key) *wire.Error {
	b := c.barrierOf(v)
	if b == nil {
		return nil // the term is over
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return wire.Ended(ctx.Err(), wire.NotRun)
	case <-c.ctx.Done():
	}
	if c.ctx.Err() != nil {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun} // some members were not asked
	}
	if len(b.unsure) > 0 {
		c.renew(v, b)
	}
	return c.awaitReleases(ctx, v, slices.Concat(b.holders[k], b.unsure), k)
}

// awaitReleases is awaitRelease for several members, which it asks at the same time.
func (c *Claims) awaitReleases(ctx context.Context, v *members.View, list []*peers.Peer, k worker.Key) *wire.Error {
	if len(list) == 0 {
		return nil
	}
	errs := make([]*wire.Error, len(list))
	var wg sync.WaitGroup
	for i, p := range list[1:] {
		wg.Go(func() { errs[1+i] = c.awaitRelease(ctx, v, p, k) })
	}
	errs[0] = c.awaitRelease(ctx, v, list[0], k)
	wg.Wait()
	return cmp.Or(errs...)
}

// barrierOf returns the barrier of the term of v, which it raises if need be, or nil if
// the term is over.
func (c *Claims) barrierOf(v *members.View) *barrier {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.barrier
	if b != nil && b.term >= v.Term {
		if b.term > v.Term {
			return nil
		}
		return b
	}
	b = newBarrier(v.Term)
	c.barrier = b
	if c.ctx.Err() == nil {
		c.wg.Go(func() { c.raise(v, b) })
	}
	return b
}

func newBarrier(term uint64) *barrier {
	return &barrier{term: term, raised: time.Now(), done: make(chan struct{})}
}

// renew has another barrier take the place of b, if b is not new. By then members that had
// too many servers to tell may have few, so that not every claim has to ask them. A member
// that answered b must answer again, or its servers would be forgotten.
func (c *Claims) renew(v *members.View, b *barrier) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.renewing || time.Since(b.raised) < renewAfter || c.ctx.Err() != nil {
		return
	}
	b.renewing = true
	c.wg.Go(func() {
		next := newBarrier(b.term)
		c.raise(v, next)
		c.mu.Lock()
		defer c.mu.Unlock()
		silent := func(p *peers.Peer) bool { return !slices.Contains(next.answered, p) }
		switch {
		case slices.ContainsFunc(b.answered, silent):
			b.renewing, b.raised = false, time.Now()
		case c.barrier == b && c.ctx.Err() == nil:
			c.barrier = next
		}
	})
}

// raise asks all members.
func (c *Claims) raise(v *members.View, b *barrier) {
	ctx, cancel := context.WithTimeout(c.ctx, barrierTime)
	defer cancel()
	answers := make([]protocol.Barrier, len(v.Peers))
	asked := make([]bool, len(v.Peers))
	var wg sync.WaitGroup
	for i, p := range v.Peers {
		// A member that has failed may live, if all that is known is that its session
		// broke.
		if p.Self || v.Ring.Slot(i).Failed && p.Session() == nil && p.Refused() {
			continue
		}
		wg.Go(func() {
			asked[i] = c.insist(ctx, v, p, protocol.OpBarrier, v.Ring.Epoch(), protocol.BoundedBarrier(&answers[i])) == nil
		})
	}
	wg.Wait()
	b.holders = map[worker.Key][]*peers.Peer{}
	for i, p := range v.Peers {
		if !asked[i] {
			continue
		}
		b.answered = append(b.answered, p)
		if answers[i].Epoch != v.Ring.Epoch() || answers[i].More {
			b.unsure = append(b.unsure, p)
			continue
		}
		for _, k := range answers[i].Held {
			b.holders[k] = append(b.holders[k], p)
		}
	}
	close(b.done)
}

// awaitRelease waits until p has no server of k, or cannot be reached, or the term of v
// is over.
func (c *Claims) awaitRelease(ctx context.Context, v *members.View, p *peers.Peer, k worker.Key) *wire.Error {
	for backoff := releasePause(); c.members.View().Term == v.Term; {
		if held := c.heldBy(ctx, v, p, k); !held && ctx.Err() == nil {
			return nil
		}
		if !backoff.Sleep(ctx) {
			e := wire.Ended(ctx.Err(), wire.NotRun)
			e.Text = p.Text + " still runs a call for id " + k.ID.String()
			return e
		}
	}
	return nil
}

// heldBy reports whether p says that it has a server of k.
func (c *Claims) heldBy(ctx context.Context, v *members.View, p *peers.Peer, k worker.Key) (held bool) {
	ctx, cancel := context.WithTimeout(ctx, barrierTime)
	defer cancel()
	return c.insist(ctx, v, p, protocol.OpHolds, k, &held) == nil && held
}

// insist asks p, again if the connection breaks or cannot be made: a member that the
// cluster does not take for failed may live. It gives up when ctx or the term of v ends.
func (c *Claims) insist(ctx context.Context, v *members.View, p *peers.Peer, op wire.Op, args, answer any) error {
	backoff := again()
	for {
		s, err := c.members.Pool().Dial(ctx, p)
		leaves := err != nil && c.members.Leaves(p, err)
		if err == nil {
			err = s.Do(ctx, op, args, answer)
			leaves = errors.Is(err, wire.Leaving)
		}
		if err == nil || leaves || v.Failed(p) || c.members.View().Term != v.Term || !backoff.Sleep(ctx) {
			return err
		}
	}
}

// AwaitAgreement waits until all living members have published the view that this node
// has, and returns the names of those that have not when ctx ends.
func (c *Claims) AwaitAgreement(ctx context.Context) (late []string) {
	peers := c.members.View().Peers
	agreed := make([]bool, len(peers))
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() { agreed[i] = p.Self || c.agreesWith(ctx, p) })
	}
	wg.Wait()
	for i, p := range peers {
		if !agreed[i] {
			late = append(late, p.Text)
		}
	}
	return late
}

// agreesWith waits until p has published the view that this node has, or p is lost, or
// ctx ends.
func (c *Claims) agreesWith(ctx context.Context, p *peers.Peer) bool {
	backoff := again()
	for {
		v := c.members.View()
		if v.Peer(p.Name) != p || v.Failed(p) {
			return true
		}
		var theirs protocol.Barrier // of ServeBarrier, which reconciles a difference first
		err := c.insist(ctx, v, p, protocol.OpBarrier, v.Ring.Epoch(), protocol.BoundedBarrier(&theirs))
		if err == nil && theirs.Epoch == v.Ring.Epoch() {
			return true
		}
		if !backoff.Sleep(ctx) {
			return false
		}
	}
}

// ServeBarrier answers a member that raises a barrier. If its view is another one, the
// two nodes reconcile first.
func (c *Claims) ServeBarrier(ctx context.Context, from wire.Hello, epoch uint64) (any, error) {
	v := c.members.View()
	if name, err := placement.ParseName(from.Name); err == nil && v.Ring.Epoch() != epoch {
		if p := v.Peer(name); p != nil {
			_ = c.members.Sync(ctx, v, p) // the epoch in the answer shows whether it has helped
		}
		v = c.members.View()
	}
	answer := protocol.Barrier{Epoch: v.Ring.Epoch()}
	for _, r := range c.host.Registries() {
		if r.Strict() { // no claim is made for its ids
			continue
		}
		held, more := r.Held(v.Shed, func(id worker.ID) bool { return v.Acting(id).Self }, protocol.MaxHeld-len(answer.Held))
		for _, id := range held {
			answer.Held = append(answer.Held, worker.Key{Kind: r.Name(), ID: id})
		}
		answer.More = answer.More || more
	}
	return answer, nil
}

// Holds reports whether this node has a server of k. The node that asks wants to start its
// own, so a server here of an id that is not this node's ends ahead of all others.
func (c *Claims) Holds(k worker.Key) (held bool) {
	keep := func(id worker.ID) bool { return c.members.View().Acting(id).Self }
	for _, r := range c.host.Registries() {
		held = r.Name() == k.Kind && r.Yield(k.ID, keep) || held
	}
	return held
}
