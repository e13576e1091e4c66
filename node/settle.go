package node

import (
	"context"
	"slices"

	"github.com/distproc/distproc/wire"
)

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
