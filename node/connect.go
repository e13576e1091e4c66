package node

import (
	"context"
	"errors"
	"time"

	"github.com/distproc/distproc/wire"
)

// How two nodes come to have one session: either dials (connect) or is dialled (admit), and register
// settles which session stays when both do at the same moment.

// connect sees to it that there is a session to the node at a.
func (m *members) connect(ctx context.Context, a Addr) error {
	for {
		m.mu.Lock()
		p := m.peers[a.Name]
		if p != nil && (p.self || p.reachable()) {
			m.mu.Unlock()
			return nil
		}
		if m.ended {
			m.mu.Unlock()
			return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
		}
		d := m.dials[a.Name]
		mine := d == nil
		if mine {
			d = &dial{addr: a.HostPort(), done: make(chan struct{})}
			m.dials[a.Name] = d
		}
		m.mu.Unlock()
		if mine {
			m.dial(ctx, a, d)
			return d.err
		}
		select {
		case <-d.done:
			if !d.gaveUp || ctx.Err() != nil {
				return d.err
			}
		case <-ctx.Done():
			return &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Text: "no answer from " + a.HostPort()}
		}
	}
}

// dial dials, and ends d.
func (m *members) dial(ctx context.Context, a Addr, d *dial) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(m.ctx, cancel)
	defer stop()
	s, err := wire.Dial(ctx, a.HostPort(), m.creds, m.hello(), m.serve)
	switch {
	case err == nil:
		err = m.joined(s, a)
	case errors.Is(err, wire.AlreadyConnected):
		err = m.awaitSession(ctx, a) // the peer dialled at the same moment
	}
	m.mu.Lock()
	delete(m.dials, a.Name)
	m.mu.Unlock()
	d.err, d.gaveUp = err, ctx.Err() != nil
	close(d.done)
}

// awaitSession waits for a session that the peer opens.
func (m *members) awaitSession(ctx context.Context, a Addr) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for wait := time.Millisecond; ; wait *= 2 {
		m.mu.Lock()
		p := m.peers[a.Name]
		m.mu.Unlock()
		if p != nil && p.session.Load() != nil {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return wire.Errorf(wire.Unreachable, wire.NotRun, "%s says that it is connected already", a.Name)
		}
	}
}

func (m *members) hello() wire.Hello {
	h := m.self
	h.Epoch = m.view.Load().epoch
	return h
}

// joined takes in a session that this side dialled.
func (m *members) joined(s *wire.Session, a Addr) error {
	h := s.Peer()
	name, err := ParseName(h.Name)
	if err != nil || name != a.Name {
		s.Close()
		return wire.Errorf(wire.WrongName, wire.NotRun, "%s is %s", a.HostPort(), h.Name)
	}
	if name == m.name {
		s.Close()
		return wire.Errorf(wire.NameTaken, wire.NotRun, "%s is the node at %s", name, h.Addr)
	}
	return m.register(s, name, a.HostPort())
}

// register makes s the session to its peer. Of two it keeps the one that the smaller name dialled, which
// is what the other side does too.
func (m *members) register(s *wire.Session, name Name, addr string) error {
	h := s.Peer()
	m.mu.Lock()
	f := m.gone[name]
	ended, departed := m.ended, f.left && f.incarnation == h.Incarnation
	if ended || departed {
		m.mu.Unlock()
		if ended { // the peer has given this node a seat
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = s.Do(ctx, opTell, m.farewell(), nil)
		}
		s.Close()
		return &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
	}
	p := m.addLocked(name, addr, h.Incarnation)
	if p == nil {
		m.mu.Unlock()
		s.Close()
		return wire.Errorf(wire.Overloaded, wire.NotRun, "the cluster has %d members already", maxMembers)
	}
	old := p.session.Load()
	if old != nil && old.Err() == nil {
		if p.incarnation != h.Incarnation {
			m.mu.Unlock()
			s.Close()
			return m.taken(name, old.Peer().Addr)
		}
		if !m.prefers(s, name) {
			m.mu.Unlock()
			s.Close()
			return nil
		}
	}
	p.incarnation, p.addr = h.Incarnation, addr
	delete(m.gone, name)
	m.told.Store(nil)
	p.session.Store(s)
	p.tried = true
	p.changeLocked()
	m.mu.Unlock()
	if old != nil {
		old.Close()
	}
	m.log.Info("node up", "node", name.String(), "addr", addr)
	m.spread()
	return nil
}

// prefers reports whether s is the session to keep of two to the same peer.
func (m *members) prefers(s *wire.Session, name Name) bool {
	return s.Dialed() == (m.name.Compare(name) < 0)
}

// admit decides on a connection that came in, and serves it.
func (m *members) admit(in *wire.Incoming) {
	h := in.Hello
	name, err := ParseName(h.Name)
	if err != nil {
		in.Refuse(wire.Errorf(wire.BadRequest, wire.NotRun, "%v", err))
		return
	}
	addr, err := addrOf(name, h.Addr)
	if err != nil {
		in.Refuse(wire.Errorf(wire.BadRequest, wire.NotRun, "address %.100q: %v", h.Addr, err))
		return
	}
	if why := m.refusal(name, h, addr); why != nil {
		if why.Code != wire.AlreadyConnected {
			m.refused(in.RemoteAddr(), why)
		}
		in.Refuse(why)
		return
	}
	s, err := in.Accept(m.hello(), m.serve)
	if err != nil {
		m.log.Debug("connection lost in handshake", "node", h.Name, "err", err)
		return
	}
	if err := m.register(s, name, addr.HostPort()); err != nil {
		m.log.Debug("session dropped", "node", h.Name, "err", err)
	}
}

// refusal returns why the node that introduces itself with h cannot have a session, or nil.
func (m *members) refusal(name Name, h wire.Hello, addr Addr) *wire.Error {
	if name == m.name {
		return m.taken(name, m.self.Addr)
	}
	if h.Routing != m.self.Routing {
		return wire.Errorf(wire.Disagreement, wire.NotRun, "this cluster routes by %s; pass --routing %s", m.self.Routing, m.self.Routing)
	}
	m.mu.Lock()
	var old *wire.Session
	p := m.peers[name]
	if p != nil && !p.tried && p.incarnation != h.Incarnation {
		// Others told of a node of that name. Whether it lives shows when it has been dialled.
		changed := p.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-p.gone:
		case <-time.After(connectTimeout):
		}
		m.mu.Lock()
	}
	if p != nil {
		old = p.session.Load()
	}
	d, ended := m.dials[name], m.ended
	m.mu.Unlock()
	if ended {
		return &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
	}
	if old != nil {
		// Does it live? If not, this is the same node again.
		if _, err := old.Ping(m.ctx); err == nil {
			if old.Peer().Incarnation == h.Incarnation {
				return &wire.Error{Code: wire.AlreadyConnected, Outcome: wire.NotRun}
			}
			return m.taken(name, old.Peer().Addr)
		}
		old.Close()
	}
	// Both dial: the smaller name's dial is the one to keep, if it goes to where the peer is.
	if d != nil && d.addr == addr.HostPort() && m.name.Compare(name) < 0 {
		return &wire.Error{Code: wire.AlreadyConnected, Outcome: wire.NotRun}
	}
	return nil
}

func (m *members) taken(name Name, addr string) *wire.Error {
	return wire.Errorf(wire.NameTaken, wire.NotRun, "%s is the node at %s; choose another --name", name, addr)
}
