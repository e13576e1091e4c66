package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A server of an id must not start while another node still has one. So a node that is to
// start its first one after the view has changed calls the roll: it asks every member
// which servers it has that are not its own any more, and thereby makes sure that each of
// them knows of the change, and starts no such server from then on. For an id that
// another one still has, it waits. A member that is out of reach is not waited for: what
// it runs, if it lives, runs besides, until it has heard of the change. To exclude that
// takes a majority's consent, and with it calls that fail while two of three are away.

// A rollCall is what the members have answered after one change of the view. It is called
// when a server is first to start.
type rollCall struct {
	once sync.Once
	done chan struct{}

	// Set before done is closed:
	holders map[worker.Key][]*peers.Peer // who had a server that is another node's
	unsure  []*peers.Peer                // who saw the members differently, or had too many servers to tell: asked for each id
}

func newRollCall() *rollCall { return &rollCall{done: make(chan struct{})} }

const (
	rollTime = 3 * time.Second // that members have to answer; about what it takes to notice that one is paused
	maxHeld  = 2048            // servers in one answer
)

// A rollMessage is a member's answer to a roll-call.
type rollMessage struct {
	Epoch uint64 // of its view
	Held  []worker.Key
	More  bool // than those
}

// claim waits until no other node has a server of k. It fails if k is another node's, if
// this node is apart, or when ctx ends.
func (n *Node) claim(ctx context.Context, k worker.Key) *wire.Error {
	for {
		v := n.members.view.Load()
		if !v.acting(k.ID).Self {
			return n.elsewhere(k.ID)
		}
		if len(v.peers) == 1 && n.members.outranked.Load() {
			return n.members.rank()
		}
		if v.apart {
			return n.apartError()
		}
		if len(v.peers) == 1 {
			if !n.awaitJoin(ctx) {
				return wire.Ended(ctx.Err(), wire.NotRun)
			}
			if n.members.outranked.Load() {
				return n.members.rank()
			}
			n.members.meetStrangers(ctx)
			if n.members.view.Load().roll == v.roll {
				return nil
			}
			continue
		}
		v.roll.once.Do(func() { n.wg.Go(func() { n.callRoll(v) }) })
		select {
		case <-v.roll.done:
		case <-ctx.Done():
			return wire.Ended(ctx.Err(), wire.NotRun)
		}
		for _, p := range slices.Concat(v.roll.holders[k], v.roll.unsure) {
			if err := n.awaitRelease(ctx, v, p, k); err != nil {
				return err
			}
		}
		if n.members.view.Load().roll == v.roll {
			return nil
		}
	}
}

// stoodStill has the roll be called anew, after this process has stood still. It reports
// whether there is any other member. A node that is still looking for its cluster has as
// much time for that as at its start.
func (n *Node) stoodStill() bool {
	m := n.members
	m.making.Lock()
	defer m.making.Unlock()
	v := *m.view.Load()
	if len(v.peers) == 1 {
		for _, by := range []*atomic.Int64{&n.joinsBy, &n.knownBy} {
			if by.Load() != 0 {
				n.putOffClaims(by)
			}
		}
		return false
	}
	v.roll = newRollCall()
	m.view.Store(&v)
	n.log.Warn("the process stood still; servers are claimed again")
	return true
}

// suspended has the clocks of the node and its workers go on by the time for which the
// machine was suspended. It takes no lock that is held while servers end, because a
// server that ends may call it.
func (n *Node) suspended(d time.Duration) {
	n.slept.Add(int64(d))
	for _, r := range n.registries() {
		r.Suspended(d)
	}
}

// putOffClaims has claims wait for rollTime, or until this node knows another one or by
// is 0. A node that is restarted knows nobody at first, while the members of its cluster
// may know it and route calls to it.
func (n *Node) putOffClaims(by *atomic.Int64) { by.Store(int64(n.now() + rollTime)) }

// seeksCluster reports whether this node knows nobody, and may soon find the cluster that
// it is to join.
func (n *Node) seeksCluster() bool {
	n.watch.stood() // the time in which this process stood still does not count
	return len(n.members.view.Load().peers) == 1 && int64(n.now()) < max(n.joinsBy.Load(), n.knownBy.Load())
}

// awaitJoin waits while this node seeks its cluster, and is not refused by it because of
// its name. It reports false if ctx ends before.
func (n *Node) awaitJoin(ctx context.Context) bool {
	for n.seeksCluster() && !n.members.outranked.Load() {
		if !clock.Sleep(ctx, firstWait) {
			return false
		}
	}
	return true
}

// elsewhere is the answer to a call for an id that is another node's.
func (n *Node) elsewhere(id worker.ID) *wire.Error {
	v := n.members.view.Load()
	return &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun, Text: v.acting(id).Name.String() + " is", Members: v.gossip.Snapshot()}
}

func (n *Node) callRoll(v *view) {
	ctx, cancel := context.WithTimeout(n.ctx, rollTime)
	defer cancel()
	answers := make([]rollMessage, len(v.peers))
	asked := make([]bool, len(v.peers))
	var wg sync.WaitGroup
	for i, p := range v.peers {
		// A member that has failed may live, if all that is known is that its session
		// broke.
		if p.Self || v.ring.Slot(i).Failed && p.Session() == nil && p.Refused() {
			continue
		}
		wg.Go(func() {
			asked[i] = n.insist(ctx, v, p, opRoll, v.ring.Epoch(), boundedRoll(&answers[i])) == nil
		})
	}
	wg.Wait()
	roll := v.roll
	roll.holders = map[worker.Key][]*peers.Peer{}
	for i, p := range v.peers {
		if !asked[i] {
			continue
		}
		if answers[i].Epoch != v.ring.Epoch() || answers[i].More {
			roll.unsure = append(roll.unsure, p)
			continue
		}
		for _, k := range answers[i].Held {
			roll.holders[k] = append(roll.holders[k], p)
		}
	}
	close(roll.done)
}

// awaitRelease waits until p has no server of k, or cannot be reached, or the view is not
// v any more.
func (n *Node) awaitRelease(ctx context.Context, v *view, p *peers.Peer, k worker.Key) *wire.Error {
	for wait := 2 * time.Millisecond; n.members.view.Load().roll == v.roll; wait = min(2*wait, 50*time.Millisecond) {
		if held := n.heldBy(ctx, v, p, k); !held && ctx.Err() == nil {
			return nil
		}
		if !clock.Sleep(ctx, wait) {
			e := wire.Ended(ctx.Err(), wire.NotRun)
			e.Text = p.Name.String() + " still runs a call for id " + k.ID.String()
			return e
		}
	}
	return nil
}

// heldBy reports whether p says that it has a server of k.
func (n *Node) heldBy(ctx context.Context, v *view, p *peers.Peer, k worker.Key) (held bool) {
	ctx, cancel := context.WithTimeout(ctx, rollTime)
	defer cancel()
	return n.insist(ctx, v, p, opHolds, k, &held) == nil && held
}

// insist asks p, again if the connection breaks or cannot be made: a member that the
// cluster does not take for failed may live.
func (n *Node) insist(ctx context.Context, v *view, p *peers.Peer, op wire.Op, args, answer any) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		s, err := n.members.pool.Dial(ctx, p)
		leaves := err != nil && n.members.leaves(p, err)
		if err == nil {
			err = s.Do(ctx, op, args, answer)
			leaves = errors.Is(err, wire.Leaving)
		}
		if err == nil || leaves || v.failed(p) || n.members.view.Load().roll != v.roll || !clock.Sleep(ctx, wait) {
			return err
		}
	}
}

// serveRoll is the other side of callRoll. Who calls learns of the view of this node, and
// this one of his.
func (n *Node) serveRoll(ctx context.Context, from wire.Hello, epoch uint64) (any, error) {
	v := n.members.view.Load()
	if name, err := placement.ParseName(from.Name); err == nil && v.ring.Epoch() != epoch {
		if p := v.peer(name); p != nil {
			_ = n.members.exchange(ctx, v.gossip, p) // the epoch in the answer shows whether it has helped
		}
		v = n.members.view.Load()
	}
	answer := rollMessage{Epoch: v.ring.Epoch()}
	for _, r := range append(n.removedKinds(), n.registries()...) {
		if r.Serial() {
			held, more := r.Held(v, func(id worker.ID) bool { return v.acting(id).Self }, maxHeld-len(answer.Held))
			for _, id := range held {
				answer.Held = append(answer.Held, worker.Key{Kind: r.Name(), ID: id})
			}
			answer.More = answer.More || more
		}
	}
	return answer, nil
}

func (n *Node) holds(k worker.Key) bool {
	for _, r := range append(n.removedKinds(), n.registryOf(k.Kind)) {
		if r != nil && r.Name() == k.Kind && r.Serial() && r.Has(k.ID) {
			return true
		}
	}
	return false
}
