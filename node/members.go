package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/wire"
)

// members makes the view: gossip tells who has a seat and who of them has failed, and each change makes another
// view of it. It also decides who is let in.
type members struct {
	name    Name
	routing Routing
	creds   *wire.Credentials
	log     *slog.Logger
	changed func()                // called after the view or what can be reached of it has changed
	refused func(net.Addr, error) // called with every newcomer that is turned away

	sessions *sessions
	timing   gossip.Timing
	reap     time.Duration
	view     atomic.Pointer[view]
	making   sync.Mutex // held while a view is made
	wg       sync.WaitGroup

	mu     sync.Mutex
	self   wire.Hello     // guarded by mu
	gossip *gossip.Gossip // guarded by mu
	apart  bool           // this node is leaving the cluster, to be one of its own; guarded by mu
	ended  bool           // guarded by mu
}

const (
	maxMembers   = 1500        // a message with all of them fits, however long their names are
	exchangeTime = time.Second // for settling with another node who is a member
)

// start brings the members up: this node alone.
func (m *members) start() error {
	g, err := m.newGossip(m.self)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.gossip = g
	m.mu.Unlock()
	m.refresh()
	return nil
}

func (m *members) newGossip(self wire.Hello) (*gossip.Gossip, error) {
	return gossip.Start(gossip.Config{
		Self:   wire.Member{Name: self.Name, Addr: self.Addr, Incarnation: self.Incarnation},
		Timing: m.timing, ReapAfter: m.reap,
		Dial:     m.dialLink,
		Exchange: m.exchangeWith,
		Changed:  m.refresh,
		Conflict: m.conflict,
		Valid:    validMember,
		Logger:   m.log,
	})
}

func validMember(name, addr string) bool {
	n, err := ParseName(name)
	if err != nil || n.String() != name {
		return false
	}
	a, err := addrOf(n, addr)
	return err == nil && a.HostPort() == addr
}

func (m *members) hello() wire.Hello {
	m.mu.Lock()
	h := m.self
	m.mu.Unlock()
	if v := m.view.Load(); v != nil {
		h.Epoch = v.epoch
	}
	return h
}

func (m *members) swim() *gossip.Gossip {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gossip
}

// refresh makes the view of the members as they are now.
func (m *members) refresh() {
	m.making.Lock()
	seated, failed := map[*peer]bool{}, map[*peer]bool{}
	var peers []*peer
	g := m.swim()
	if g == nil {
		m.making.Unlock() // start has not come that far, and calls again
		return
	}
	for _, w := range g.Members() {
		name, err := ParseName(w.Name)
		if err != nil {
			continue // it was checked when it came in
		}
		p := m.sessions.peer(name)
		m.sessions.seat(p, w.Addr, w.Incarnation, w.State == wire.Alive)
		seated[p], failed[p] = true, w.State != wire.Alive
		peers = append(peers, p)
	}
	old := m.view.Swap(newView(peers, failed, m.routing))
	m.sessions.retain(seated)
	m.making.Unlock()
	if old != nil && !m.parting() {
		m.logGone(old, seated)
	}
	m.changed()
}

// logGone tells of those that had a seat in the old view.
func (m *members) logGone(old *view, seated map[*peer]bool) {
	var states map[string]wire.MemberState
	for _, p := range old.peers {
		if seated[p] {
			continue
		}
		if states == nil {
			states = map[string]wire.MemberState{}
			for _, w := range m.swim().Snapshot() {
				states[w.Name] = w.State
			}
		}
		if states[p.name.String()] == wire.Reaped {
			m.log.Warn("node given up", "node", p.name.String(), "lost_for", m.reap)
		} else {
			m.log.Info("node left", "node", p.name.String())
		}
	}
}

// learn takes in what a peer says of the members.
func (m *members) learn(list []wire.Member) {
	if len(list) > 0 && m.swim().Learn(list) {
		m.refresh()
	}
}

// placeAmong returns the member that answers for id in the eyes of who knows these members, or nil if this node knows no
// such member.
func (m *members) placeAmong(list []wire.Member, id ID) *peer {
	var seats []seat
	for _, w := range list {
		name, err := ParseName(w.Name)
		if err != nil || w.State == wire.Left || w.State == wire.Reaped {
			continue
		}
		s := seatOf(name)
		s.failed = w.State == wire.Failed
		seats = append(seats, s)
	}
	if len(seats) == 0 {
		return nil
	}
	slices.SortFunc(seats, func(a, b seat) int { return a.name.Compare(b.name) })
	return m.view.Load().peer(seats[m.routing.place(id, seats)].name)
}

// left takes in that a peer itself says that it leaves.
func (m *members) left(w wire.Member) {
	w.State = wire.Left
	m.learn([]wire.Member{w})
}

// connect joins the cluster of the node at a.
func (m *members) connect(ctx context.Context, a Addr) error {
	if a.Name == m.name {
		return nil
	}
	err := m.swim().Join(ctx, wire.Member{Name: a.Name.String(), Addr: a.HostPort()})
	if err != nil {
		if e, ok := errors.AsType[*wire.Error](err); ok {
			return e
		}
		return wire.Errorf(wire.Unreachable, wire.NotRun, "%v", err)
	}
	m.refresh()
	return nil
}

// dialLink is how gossip reaches a node.
func (m *members) dialLink(ctx context.Context, w wire.Member) (gossip.Link, error) {
	h := m.hello()
	h.Role = wire.RoleLink
	l, err := wire.DialLink(ctx, w.Addr, m.creds, h)
	if err != nil {
		return nil, err
	}
	switch theirs := l.Peer(); {
	case theirs.Name == h.Name:
		err = wire.Errorf(wire.NameTaken, wire.NotRun, "%s is the node at %s", h.Name, theirs.Addr)
	case theirs.Name != w.Name:
		err = wire.Errorf(wire.WrongName, wire.NotRun, "%s is %s", w.Addr, theirs.Name)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// A tellMessage is what two nodes exchange to settle who is a member. The list is left out if the digests show that
// both have the same.
type tellMessage struct {
	Digest uint64
	List   []wire.Member
}

// exchange settles with p who is a member.
func (m *members) exchange(ctx context.Context, p *peer) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	ws, err := m.sessions.get(ctx, p)
	if err != nil {
		return err
	}
	g := m.swim()
	var theirs tellMessage
	if err := ws.Do(ctx, opTell, tellMessage{Digest: g.Digest()}, &theirs); err != nil {
		return err
	}
	m.learn(theirs.List)
	if g.Digest() == theirs.Digest {
		return nil
	}
	return ws.Do(ctx, opTell, tellMessage{Digest: g.Digest(), List: g.Snapshot()}, nil)
}

func (m *members) exchangeWith(ctx context.Context, w wire.Member) error {
	name, err := ParseName(w.Name)
	if err != nil {
		return err
	}
	p := m.sessions.peer(name)
	m.sessions.introduce(p, w.Addr)
	return m.exchange(ctx, p)
}

// serveTell is the other side of exchange.
func (m *members) serveTell(t tellMessage) (any, error) {
	m.learn(t.List)
	g := m.swim()
	answer := tellMessage{Digest: g.Digest()}
	if answer.Digest != t.Digest {
		answer.List = g.Snapshot()
	}
	return answer, nil
}

// remove has a member lose its seat: one that lives leaves the cluster, and stays up alone.
func (m *members) remove(ctx context.Context, p *peer) error {
	ws, err := m.sessions.get(ctx, p)
	if err == nil {
		return ws.Do(ctx, opPart, nil, nil)
	}
	if v := m.view.Load(); !v.failed(p) {
		return err
	}
	return m.swim().Remove(p.name.String())
}

// part leaves the cluster and is one of its own from then on.
func (m *members) part() {
	m.mu.Lock()
	if m.ended || m.apart {
		m.mu.Unlock()
		return
	}
	m.apart = true
	old := m.gossip
	m.mu.Unlock()
	m.leave()
	old.Close()
	m.sessions.drop()
	m.mu.Lock()
	m.self.Incarnation = uint64(time.Now().UnixNano())
	self := m.self
	m.mu.Unlock()
	g, err := m.newGossip(self)
	if err != nil {
		m.log.Error("cannot be a member any more", "err", err)
		return
	}
	m.mu.Lock()
	m.apart = false
	ended := m.ended
	if !ended {
		m.gossip = g
	}
	m.mu.Unlock()
	if ended {
		g.Close()
		return
	}
	m.log.Info("left the cluster")
	m.refresh()
}

func (m *members) parting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.apart
}

// leave tells the cluster that this node gives up its seat: those it has a session to, and by gossip everybody.
func (m *members) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), exchangeTime)
	defer cancel()
	h := m.hello()
	farewell := tellMessage{List: []wire.Member{{Name: h.Name, Addr: h.Addr, Incarnation: h.Incarnation, State: wire.Left}}}
	var telling sync.WaitGroup
	for _, ws := range m.sessions.live() {
		telling.Go(func() { _ = ws.Do(ctx, opTell, farewell, nil) }) // who misses it hears it by gossip
	}
	m.swim().Leave(ctx)
	telling.Wait()
}

// close ends all that is connected.
func (m *members) close() {
	m.mu.Lock()
	m.ended = true
	g := m.gossip
	m.mu.Unlock()
	g.Close()
	m.wg.Wait()
	m.sessions.close()
}
