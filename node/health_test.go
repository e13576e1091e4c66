package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestStuckKind has the callers of one kind meet their deadlines: its node is stuck for that kind only.
func TestStuckKind(t *testing.T) {
	nodes := startCluster(t, 2, worker.Kind{})
	kinds := map[string]worker.Kind{"slow": {Timeout: 20 * time.Second, Source: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		<-ctx.Done()
		return worker.Value{}, ctx.Err()
	}}}
	for _, n := range nodes {
		if err := n.SetKinds(kinds); err != nil {
			t.Fatal(err)
		}
	}
	p := nodes[0].members.view.Load().peer(nodes[1].addr.Name)
	for i := range int64(20) {
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		_, _ = nodes[0].Family("slow").Request(ctx, worker.IntID(2*i+1))
		cancel()
		if p.health.stuck("slow") {
			break
		}
	}
	if !p.health.stuck("slow") || p.health.stuck("") || !p.health.anyStuck() {
		t.Errorf("stuck for slow %v, for the default kind %v, for any %v", p.health.stuck("slow"), p.health.stuck(""), p.health.anyStuck())
	}
	for i := range int64(10) {
		if reply, err := nodes[0].Request(t.Context(), worker.IntID(101+2*i)); err != nil || reply.Degraded {
			t.Errorf("%+v, %v: its owner is well", reply, err)
		}
	}
	if !p.health.stuck("slow") {
		t.Error("the answers of one kind tell of another")
	}
	p.health.answered("slow")
	if p.health.doubt.Load() || p.health.anyStuck() {
		t.Error("an answer leaves doubts")
	}
}

// TestJudge judges failed calls between two that were missed: an answer of the peer is a sign of life. A call that was
// not sent is none, and one that was missed on a former session does not count.
func TestJudge(t *testing.T) {
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
			if _, err := pair.sessions.register(ws, pair.there); err != nil {
				t.Fatal(err)
			}
			p := pair.sessions.peer(pair.there)
			p.health.missed("", worker.IntID(1), time.Now())
			if c.former {
				ws = nil
			}
			request := wireRequest("", worker.IntID(3))
			pair.sessions.judge(p, ws, &request, c.err)
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

// TestTrials has a peer be stuck: it is asked until it answers, and stays stuck when it does not.
func TestTrials(t *testing.T) {
	t.Parallel()
	pair := newPair(t, "1", "2")
	peer := &deaf{calls: make(chan struct{}, 100)}
	pair.handler = peer
	s := pair.sessions
	s.patience = func(string) time.Duration { return 300 * time.Millisecond }
	ws := pair.connect(true)
	if _, err := s.register(ws, pair.there); err != nil {
		t.Fatal(err)
	}
	p := s.peer(pair.there)
	for i := range int64(stuckMisses - 1) {
		p.health.missed("", worker.IntID(i), time.Now().Add(-stuckAfter))
	}
	request := wireRequest("", worker.IntID(7))
	s.judge(p, ws, &request, &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Unknown, GaveUp: true})
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
	var hs healths
	for i := range int64(10 * maxHealths) {
		hs.of(worker.IntID(i).String()).stuck.Store(true)
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
