package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A pair holds the sessions of one of two nodes, and makes more between the two.
type pair struct {
	t           *testing.T
	here, there placement.Name
	sessions    *sessions
	creds       *wire.Credentials
	listener    *wire.Listener
	handler     wire.Handler // of the other node
}

func newPair(t *testing.T, here, there string) *pair {
	t.Helper()
	creds, err := wire.NewCredentials(testCookie, TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	host := testHost()
	p := &pair{t: t, here: placement.Name{Node: here, Host: host}, there: placement.Name{Node: there, Host: host}, creds: creds, handler: refuser{}}
	if p.listener, err = wire.Listen(host+":0", creds, wire.Events{}); err != nil {
		t.Fatal(err)
	}
	p.sessions = newSessions(p.here, p.hello, creds, refuser{}, slog.New(slog.DiscardHandler), func() {})
	p.sessions.met = func(context.Context, *peer, *wire.Session) {}
	t.Cleanup(func() {
		p.listener.Close()
		p.sessions.close()
	})
	return p
}

func (p *pair) hello() wire.Hello { return wire.Hello{Name: p.here.String(), Incarnation: 1} }

// connect returns this side's end of a session that this side has dialled, or the other one.
func (p *pair) connect(dialed bool) *wire.Session {
	p.t.Helper()
	from, to := wire.Hello{Name: p.there.String(), Incarnation: 1}, p.hello()
	if dialed {
		from, to = to, from
	}
	accepted := make(chan *wire.Session)
	go func() {
		defer close(accepted)
		if in, err := p.listener.Accept(); err == nil {
			s, _ := in.Accept(to, p.handler)
			accepted <- s
		}
	}()
	ours, err := wire.Dial(p.t.Context(), p.listener.Addr().String(), p.creds, from, refuser{})
	theirs := <-accepted
	if err != nil || theirs == nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { ours.Close(); theirs.Close() })
	if dialed {
		return ours
	}
	return theirs
}

// TestRegister has two nodes come to have two sessions: the newer one is kept, unless their dials have crossed. The other
// one ends.
func TestRegister(t *testing.T) {
	for _, c := range []struct {
		what          string
		here          string // a name before or after 2
		first, second bool   // whether this side has dialled it
		late          bool   // the second dial began after the first had succeeded
		keepsFirst    bool
	}{
		{what: "the peer dials twice, smaller", here: "3"},
		{what: "the peer dials twice, larger", here: "1"},
		{what: "this side dials twice, smaller", here: "1", first: true, second: true},
		{what: "this side dials twice, larger", here: "3", first: true, second: true},
		{what: "crossed, ours first, smaller", here: "1", first: true, keepsFirst: true},
		{what: "crossed, ours first, larger", here: "3", first: true},
		{what: "crossed, theirs first, smaller", here: "1", second: true},
		{what: "crossed, theirs first, larger", here: "3", second: true, keepsFirst: true},
		{what: "the peer has lost ours", here: "1", first: true, late: true},
		{what: "this side has lost theirs", here: "3", second: true, late: true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			pair := newPair(t, c.here, "2")
			s := pair.sessions
			p := s.peer(pair.there)
			first, second := pair.connect(c.first), pair.connect(c.second)
			if kept, err := s.register(first, pair.there); kept != first || err != nil {
				t.Fatalf("the only session is not kept: %v", err)
			}
			if c.late {
				s.mu.Lock()
				p.since = p.since.Add(-dialTimeout)
				s.mu.Unlock()
			}
			p.health.missed("", worker.IntID(1), time.Now())
			want, other := second, first
			if c.keepsFirst {
				want, other = first, second
			}
			if kept, err := s.register(second, pair.there); kept != want || err != nil || p.session.Load() != want {
				t.Errorf("the wrong session is kept, %v", err)
			}
			if p.health.doubt.Load() != c.keepsFirst {
				t.Error("what is known of the peer is not that of its session")
			}
			await(t, func() error {
				if other.Err() == nil {
					return errors.New("the other session stays")
				}
				return nil
			})
			if want.Err() != nil {
				t.Error(want.Err())
			}
		})
	}
}

// TestRedialIsRemembered has a peer come back while it is being dialled in vain: the pause before the next dial ends at
// once, however often it came back.
func TestRedialIsRemembered(t *testing.T) {
	pair := newPair(t, "1", "2")
	s, p := pair.sessions, pair.sessions.peer(pair.there)
	s.mu.Lock()
	p.redialLocked()
	p.redialLocked()
	s.mu.Unlock()
	select {
	case <-p.again:
	default:
		t.Error("nothing ends the pause")
	}
}
