package peers

import (
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/wire"
)

// TestRecordResult judges failed calls between two that were missed: an answer of the
// peer is a sign of life. A call that was not sent is none, and one that was missed on a
// former session does not count.
func TestRecordResult(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what    string
		err     *wire.Error
		former  bool
		misses  int
		doubted bool
	}{
		{"missed", &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Unknown, GaveUp: true}, false, 2, true},
		{"missed in its queue", &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun, GaveUp: true}, false, 2, true},
		{"missed on a former session", &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Unknown, GaveUp: true}, true, 1, true},
		{"not sent in time", &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}, false, 1, true},
		{"gave up", &wire.Error{Code: wire.Canceled, Outcome: wire.Unknown, GaveUp: true}, false, 1, true},
		{"gave up in its queue", &wire.Error{Code: wire.Canceled, Outcome: wire.NotRun, GaveUp: true}, false, 1, true},
		{"the source was too slow", &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Ran}, false, 0, false},
		{"the source failed", &wire.Error{Code: wire.SourceFailed, Outcome: wire.Ran}, false, 0, false},
		{"not the owner", &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}, false, 0, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			pair := newPair(t, "1", "2")
			ws := pair.connect(true)
			if _, err := pair.pool.Register(ws, pair.there); err != nil {
				t.Fatal(err)
			}
			p := pair.pool.Peer(pair.there)
			p.health.missed("", target{num: 1}, time.Now())
			if c.former {
				ws = nil
			}
			request := wire.Request{Num: 3}
			pair.pool.RecordResult(p, ws, &request, c.err)
			if h := p.health.of(""); h.misses != c.misses || p.health.doubt.Load() != c.doubted {
				t.Errorf("%d misses, doubted %v; want %d, %v", h.misses, p.health.doubt.Load(), c.misses, c.doubted)
			}
		})
	}
}

// deaf answers no calls until it is well.
type deaf struct {
	refuser
	calls chan struct{} // gets one for each call that it does not answer
	well  atomic.Bool
}

func (d *deaf) ServeCall(c wire.Call) {
	if d.well.Load() {
		c.Reply(&wire.Reply{Node: "2@h"})
		return
	}
	d.calls <- struct{}{}
}

// TestTrials has a peer be stuck: it is asked until it answers, and stays stuck when it
// does not.
func TestTrials(t *testing.T) {
	t.Parallel()
	pair := newPair(t, "1", "2")
	peer := &deaf{calls: make(chan struct{}, 100)}
	pair.handler = peer
	s := pair.pool
	ws := pair.connect(true)
	if _, err := s.Register(ws, pair.there); err != nil {
		t.Fatal(err)
	}
	p := s.Peer(pair.there)
	for i := range int64(stuckMisses - 1) {
		p.health.missed("", target{num: i}, time.Now().Add(-stuckAfter))
	}
	request := wire.Request{Num: 7}
	s.RecordResult(p, ws, &request, &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Unknown, GaveUp: true})
	for i := range 3 {
		if !p.health.stuck("") {
			t.Fatalf("it is well after %d calls that it has not answered", i)
		}
		select {
		case <-peer.calls:
		case <-time.After(10 * time.Second):
			t.Fatalf("it is not asked again after %d calls", i)
		}
	}
	peer.well.Store(true)
	await(t, func() error {
		if p.health.stuck("") {
			return errors.New("it answers, but is stuck still")
		}
		return nil
	})
}

// TestManyKinds has clients make up names.
func TestManyKinds(t *testing.T) {
	t.Parallel()
	var hs healths
	for i := range int64(10 * maxHealths) {
		hs.of(strconv.FormatInt(i, 10)).stuck.Store(true)
	}
	hs.doubt.Store(true)
	if n := len(hs.kinds); n > maxHealths+1 {
		t.Errorf("%d are kept", n)
	}
	hs.reset()
	if hs.anyStuck() {
		t.Error("stuck after a reset")
	}
}
