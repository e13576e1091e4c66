package peers

import (
	"errors"
	"testing"
	"time"
)

// TestRegister has two nodes come to have two sessions: the newer one is kept, unless
// their dials have crossed. The other one ends.
func TestRegister(t *testing.T) {
	t.Parallel()
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
			s := pair.pool
			p := s.Peer(pair.there)
			first, second := pair.connect(c.first), pair.connect(c.second)
			if kept, err := s.Register(first, pair.there); kept != first || err != nil {
				t.Fatalf("the only session is not kept: %v", err)
			}
			if c.late {
				s.mu.Lock()
				p.since = p.since.Add(-dialTimeout)
				s.mu.Unlock()
			}
			p.health.missed("", target{num: 1}, time.Now())
			want, other := second, first
			if c.keepsFirst {
				want, other = first, second
			}
			if kept, err := s.Register(second, pair.there); kept != want || err != nil || p.session.Load() != want {
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

// TestRedialIsRemembered has a peer come back while it is being dialled in vain: the
// pause before the next dial ends at once, however often it came back.
func TestRedialIsRemembered(t *testing.T) {
	t.Parallel()
	pair := newPair(t, "1", "2")
	s, p := pair.pool, pair.pool.Peer(pair.there)
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

// TestFailedKeepsItsPeer loses the session to a member that has failed already: should it
// come back, it is the same one.
func TestFailedKeepsItsPeer(t *testing.T) {
	t.Parallel()
	pair := newPair(t, "1", "2")
	ws := pair.connect(true)
	if _, err := pair.pool.Register(ws, pair.there); err != nil {
		t.Fatal(err)
	}
	p := pair.pool.Peer(pair.there)
	pair.pool.SetSlot(p, pair.listener.Addr().String(), 1, false)
	ws.Close()
	pair.pool.watch(p, ws)
	if pair.pool.Peer(pair.there) != p {
		t.Error("a member that failed is taken for another one")
	}
}
