package node

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/kinds"
	"github.com/distproc/distproc/node/internal/observer"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A NodeInfo is the report of a node on itself. Member is what the asking node knows of
// it.
type NodeInfo struct {
	Member
	RTT        time.Duration     // of an operation that does nothing, there and back; 0 for the node itself
	Workers    int               // live
	Requests   uint64            // answered by its workers since it started
	Rate       float64           // requests per second that its workers have answered in the last 5 s; 0 if the node is of a version that does not count that
	Stuck      int               // runs of a source that go on after their timeout
	Kinds      map[string]string // digest of the definition of each kind; empty if the kind has none
	Differs    []string          // kinds that only one of it and the asking node has, or that they define differently
	Uptime     time.Duration
	Version    string // of the program and of Go
	Memory     uint64 // bytes of heap in use
	Values     int64  // bytes of it that values take, about
	MaxValues  int64  // bytes that values may take; 0 if there is no limit
	Evicted    uint64 // workers that ended early to keep to that limit, or to that of a kind
	Goroutines int
	Quorum     *worker.Quorum // of strict kinds; nil if the node was started without voters
	Apart      bool           // it was disconnected, and starts no server of a serial kind: see [Node.GoAlone]
	Unready    string         // what the node itself knows to be in the way of requests, which Ready would say; empty if there is nothing
	Routing    string         // modulo or rendezvous; empty if the node is of a version that does not tell it
	Problem    string         // reason for which only Member is set; empty if the node answered
}

// An Explanation says where an id belongs and why, and describes its worker.
type Explanation struct {
	ID       worker.ID
	Kind     string // "default", unless another one was asked for
	Owner    string // the member whose slot the id belongs to
	Rule     string // the calculation that chose it, such as "7 mod 3 = 1"
	Index    int    // of the owner's slot, from 0
	Members  int    // slots
	Epoch    uint64 // of the view
	State    State  // of the owner
	Fallback string // the member that acts for the owner while that has failed; empty if no other member lives
	Via      string // the member that relays requests to an owner that this node cannot reach; usually empty
	Asked    string // the node that looked for the worker: the owner, its fallback, or this node if it reaches neither
	Live     bool   // a worker lives there
	Loading  bool   // a run of its source, or a message, is in progress
	Worker   worker.Info
	TTL      time.Duration   // of the kind
	Serial   bool            // the kind takes calls
	Custody  *worker.Custody // of an id of a strict kind, with Asked as its node; nil for other kinds
	Apart    bool            // the asking node is apart, and starts no server of a serial kind: see [Node.GoAlone]
}

// Owner returns the name of the member that owns id.
func (n *Node) Owner(_ context.Context, id worker.ID) (string, error) {
	return n.members.View().Owner(id).Name.String(), nil
}

// Members returns the members, sorted, this node included. Those that have failed have
// slots too.
func (n *Node) Members(context.Context) ([]Member, error) {
	v := n.members.View()
	var list []Member
	for i, p := range v.Peers {
		w := n.pool.Slot(p)
		m := Member{Name: w.Name, Addr: w.Addr, Incarnation: w.Incarnation, State: stateOf(p, v.Ring.Slot(i).Failed)}
		m.Since, m.Kept = n.members.Standing(v, i)
		list = append(list, m)
	}
	return list, nil
}

// Kinds returns the names of the kinds of this node, sorted.
func (n *Node) Kinds() []string { return n.kinds.Names() }

// stateOf returns the state of p as this node sees it. Failed is the state in the view.
func stateOf(p *peers.Peer, failed bool) State {
	switch {
	case failed || p.Lost():
		return StateFailed
	case p.AnyStuck():
		return StateStuck
	}
	return StateAlive
}

// Workers lists the live workers of all nodes that answer within 1 s, sorted by node and
// id: at most 1,000 of each node. A client gets the first 1,000 of these. The sum of
// their LeftOut is the number of workers that are not listed.
func (n *Node) Workers(ctx context.Context) ([]worker.Info, error) {
	slots := n.members.View().Peers
	lists := make([][]worker.Info, len(slots))
	n.pool.AskAll(ctx, slots, connectTimeout, func(ctx context.Context, i int, s *wire.Session) {
		if s == nil {
			lists[i] = n.kinds.Workers(protocol.MaxWorkers)
		} else if err := s.Do(ctx, protocol.OpWorkers, nil, protocol.BoundedWorkers(&lists[i])); err != nil {
			n.log.Debug("cannot list workers", "node", slots[i].Name.String(), "err", err)
		}
	})
	all := slices.Concat(lists...)
	protocol.SortWorkers(all)
	return all, nil
}

// Nodes returns the reports of all members that answer within 1 s. Of others it returns
// what this node knows.
func (n *Node) Nodes(ctx context.Context) ([]NodeInfo, error) {
	members, err := n.Members(ctx)
	if err != nil {
		return nil, err
	}
	slots := n.members.View().Peers
	infos := make([]NodeInfo, len(slots))
	for i := range infos {
		infos[i].Problem = "out of reach"
	}
	n.pool.AskAll(ctx, slots, connectTimeout, func(ctx context.Context, i int, s *wire.Session) {
		if s == nil {
			infos[i] = n.info()
			return
		}
		rtt, err := protocol.RoundTrip(ctx, s)
		if err == nil {
			err = s.Do(ctx, protocol.OpInfo, nil, &infos[i])
		}
		infos[i].RTT, infos[i].Problem = rtt, ""
		infos[i].Differs = kinds.Differing(n.kinds.Definitions(), infos[i].Kinds)
		if err != nil {
			infos[i] = NodeInfo{Problem: err.Error()}
		}
	})
	for i, p := range slots {
		for _, m := range members {
			if m.Name == p.Name.String() {
				infos[i].Member = m
			}
		}
	}
	return infos, nil
}

// info returns the report of this node.
func (n *Node) info() NodeInfo {
	c := n.kinds.Count()
	used, limit := n.kinds.Used()
	return NodeInfo{
		Values: used, MaxValues: limit, Evicted: c.Evicted,
		Workers: c.Workers, Requests: c.Answers, Rate: c.Rate, Stuck: c.Stuck, Kinds: n.kinds.Definitions(), Uptime: n.clock.Now(), Version: n.version,
		Memory: observer.Heap(), Goroutines: runtime.NumGoroutine(), Unready: n.inTheWay(),
		Apart: n.members.View().Apart, Routing: n.members.Routing.String(), Quorum: n.quorum.Status(),
	}
}

// Ping measures how long a member takes to answer an operation that does nothing: the way
// that a request takes, but for its worker. It fails with [ErrUnreachable] after 2 s. For the
// node itself it returns 0.
func (n *Node) Ping(ctx context.Context, name string) (time.Duration, error) {
	p, err := n.members.Member(name)
	if err != nil || p.Self {
		return 0, err
	}
	s, err := n.pool.Get(ctx, p)
	if err != nil {
		return 0, err
	}
	return protocol.RoundTrip(ctx, s)
}

// Why explains where id belongs, and what lives there. It fails if the node that it asks
// has no such kind.
func (n *Node) Why(ctx context.Context, id worker.ID) (Explanation, error) {
	return n.why(ctx, worker.Key{ID: id})
}

func (n *Node) why(ctx context.Context, k worker.Key) (Explanation, error) {
	id := k.ID
	v := n.members.View()
	owner := v.Ring.Owner(id)
	p, place := v.Peers[owner], n.router.Place(k)
	e := Explanation{
		ID: id, Kind: cmp.Or(k.Kind, worker.DefaultKind), Owner: p.Name.String(), Rule: v.Ring.Rule(id),
		Index: owner, Members: v.Ring.Len(), Epoch: v.Ring.Epoch(), State: stateOf(p, v.Ring.Slot(owner).Failed),
		Asked: n.name, Apart: v.Apart,
	}
	if r := n.kinds.Of(k.Kind); r != nil {
		e.TTL, e.Serial = r.TTL(), r.Serial()
	}
	if by := p.Relays.Last(); by != nil {
		e.Via = *by
	}
	if i, ok := v.Ring.Fallback(id); ok {
		e.Fallback = v.Peers[i].Name.String()
	}
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	if !place.Self {
		s, err := n.pool.Get(ctx, place)
		if err == nil {
			var status registry.Status
			if err = s.Do(ctx, protocol.OpInspect, k, &status); err == nil {
				e.Asked = place.Name.String()
				return e, e.take(status)
			}
		}
		if !errors.Is(err, wire.Unreachable) {
			return e, err
		}
		e.State = stateOf(p, v.Ring.Slot(owner).Failed)
	}
	return e, e.take(n.kinds.Inspect(k))
}

func (e *Explanation) take(s registry.Status) error {
	e.Live, e.Loading, e.Worker, e.Custody = s.Live, s.Loading, s.Worker, s.Custody
	if s.NoKind {
		return wire.Errorf(wire.UnknownKind, wire.NotRun, "%q, asked of %s", e.Kind, e.Asked)
	}
	return nil
}
