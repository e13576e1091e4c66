package node

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/route"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// idAt returns an id that belongs to n.
func idAt(t *testing.T, n *Node) worker.ID {
	t.Helper()
	for i := range int64(100) {
		if n.members.View().Acting(worker.IntID(i)).Self {
			return worker.IntID(i)
		}
	}
	t.Fatal("no such id")
	return worker.ID{}
}

// TestRelay has two nodes that cannot talk to each other, while a third one reaches both:
// requests and calls for the other's ids pass through it.
func TestRelay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{Load: counter(), TTL: time.Minute})
		for _, n := range nodes {
			if err := n.SetKinds(map[string]worker.Kind{"serial": worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return new(purse), nil }}}); err != nil {
				t.Fatal(err)
			}
		}
		a, b, c := nodes[0], nodes[1], nodes[2]
		id := idAt(t, b)
		if _, err := a.Request(t.Context(), worker.IntID(2)); err != nil { // so that there is a session to c
			t.Fatal(err)
		}
		for _, n := range []*Node{a, b, c} {
			if _, err := n.Ping(t.Context(), c.Self()); err != nil {
				t.Fatal(err)
			}
		}
		cutOff(t, a, b)
		for _, cached := range []bool{false, true} {
			reply, err := a.Request(t.Context(), id)
			if err != nil || reply.Degraded || reply.Node != b.Self() || reply.Via != c.Self() || reply.Cached != cached {
				t.Errorf("request: %+v, %v", reply, err)
			}
		}
		e, err := a.Why(t.Context(), id)
		if err != nil || e.Via != c.Self() || e.Owner != b.Self() {
			t.Errorf("why: %+v, %v", e, err)
		}
		client, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if reply, err := client.Request(t.Context(), id); err != nil || reply.Node != b.Self() || reply.Via != c.Self() {
			t.Errorf("a client's request: %+v, %v", reply, err)
		}
		// Claims compare views, after which the two may find each other again.
		sum, err := Call[int](t.Context(), a.Family("serial"), id, 5)
		if err != nil || sum != 5 {
			t.Errorf("call: %d, %v", sum, err)
		}
		if sum, err = Call[int](t.Context(), b.Family("serial"), id, 2); err != nil || sum != 7 {
			t.Errorf("call at the owner: %d, %v", sum, err)
		}
	})
}

// A purse adds up what it is sent.
type purse struct{ sum int64 }

func (a *purse) Call(_ context.Context, message worker.Value) (worker.Value, error) {
	n, _ := message.Int()
	a.sum += n
	return worker.IntValue(a.sum), nil
}

// TestRelayOnce has nobody reach the owner of an id: the relay does not ask another one,
// and the node answers by itself, at once as long as that has just been tried.
func TestRelayOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{Load: counter(), TTL: time.Minute})
		a, b, c := nodes[0], nodes[1], nodes[2]
		id := idAt(t, b)
		for _, n := range []*Node{a, b} {
			if _, err := n.Ping(t.Context(), c.Self()); err != nil {
				t.Fatal(err)
			}
		}
		p := cutOff(t, a, b)
		cutOff(t, c, b)
		reply, err := a.Request(t.Context(), id)
		if err != nil || !reply.Degraded || reply.Node != a.Self() || reply.Via != "" {
			t.Errorf("request: %+v, %v", reply, err)
		}
		if !p.Relays.Resting(time.Now()) {
			t.Error("no relay was asked")
		}
		request := protocol.NewRequest("", id)
		if asked, err := (route.Steps{Router: a.router}).Relay(t.Context(), p, &request); asked {
			t.Errorf("another relay was asked at once: %v", err)
		}
		p.Relays.Reset()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		call := protocol.NewCall(worker.Key{Kind: "", ID: id}, worker.Value{})
		if asked, err := (route.Steps{Router: a.router}).Relay(ctx, p, &call); !asked || OutcomeOf(err) != worker.OutcomeNotRun || !errors.Is(err, ErrUnreachable) {
			t.Errorf("a call by a relay that does not reach the owner: %v, %v, %v", asked, err, OutcomeOf(err))
		}
	})
}

// TestRelayNext has one of two other members not reach the owner of an id either, and no
// session to them: the one that does is asked, always.
func TestRelayNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 4, worker.Cache{Load: counter(), TTL: time.Minute})
		a, b, c, d := nodes[0], nodes[1], nodes[2], nodes[3]
		id := idAt(t, b)
		p := cutOff(t, a, b)
		cutOff(t, c, b)
		for _, n := range []*Node{c, d} {
			other := a.members.Pool().Peer(n.addr.Name)
			if s := other.Session(); s != nil {
				a.members.Pool().Retire(other, s)
			}
		}
		for range 20 {
			reply, err := a.Request(t.Context(), id)
			if err != nil || reply.Degraded || reply.Node != b.Self() { // should they meet again it is not by way of d
				t.Fatalf("request: %+v, %v; want it by way of %s", reply, err, d.Self())
			}
			p.Relays.Reset() // as if it were the first time
		}
	})
}

// TestRelayToLeaver relays a request to a node that leaves: that is no farewell of the
// relay.
func TestRelayToLeaver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		name := nodes[1].addr.Name
		p := nodes[0].members.View().Peer(name)
		s, err := nodes[0].members.Pool().Get(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		leaving := &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
		steps := route.Steps{Router: nodes[0].router}
		for _, relayed := range []wire.Request{{Relay: true}, {Forward: true}} {
			if err := steps.RecordFailure(p, s, &relayed, leaving); !errors.Is(err, ErrLeaving) || nodes[0].members.View().Peer(name) == nil {
				t.Errorf("%+v: %v, and the node that passed it on has no slot any more", relayed, err)
			}
		}
		_ = steps.RecordFailure(p, s, &wire.Request{}, leaving)
		if nodes[0].members.View().Peer(name) != nil {
			t.Error("its own farewell is not heard")
		}
	})
}

// TestRelayIsWell has requests by way of a relay fail for reasons that are not the
// relay's. The next one still goes that way. A call that times out in a queue there says
// so.
func TestRelayIsWell(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 3, worker.Cache{Load: counter(), TTL: time.Minute})
		begun, release := make(chan struct{}, 1), make(chan struct{})
		end := sync.OnceFunc(func() { close(release) })
		defer end()
		kinds := map[string]worker.Kind{
			"failing": worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) { return worker.Value{}, errors.New("no") }},
			"slow": worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
				<-ctx.Done()
				return worker.Value{}, ctx.Err()
			}},
			"serial": worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return gatedServer{begun, release}, nil }},
		}
		for _, n := range nodes {
			if err := n.SetKinds(kinds); err != nil {
				t.Fatal(err)
			}
		}
		a, b, c := nodes[0], nodes[1], nodes[2]
		id := idAt(t, b)
		for _, n := range []*Node{a, b} {
			if _, err := n.Ping(t.Context(), c.Self()); err != nil {
				t.Fatal(err)
			}
		}
		p := cutOff(t, a, b)
		check := func(what string) {
			t.Helper()
			if reply, err := a.Request(t.Context(), id); err != nil || reply.Degraded || reply.Via != c.Self() {
				t.Fatalf("after %s: %+v, %v; want it by way of %s", what, reply, err, c.Self())
			}
		}
		check("nothing")
		if _, err := a.Family("failing").Request(t.Context(), id); !errors.Is(err, ErrWorker) || OutcomeOf(err) != worker.OutcomeRan {
			t.Errorf("a source that fails: %v", err)
		}
		check("a source's failure")
		hurry := func() context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}
		if reply, err := a.Family("slow").Request(hurry(), id); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller in a hurry: %+v, %v", reply, err)
		}
		check("a caller's deadline")
		request := protocol.NewRequest("slow", id)
		by := a.members.Pool().Peer(c.addr.Name)
		a.members.Pool().RecordResult(by, by.Session(), &request, &wire.Error{Code: wire.DeadlineExceeded, GaveUp: true})
		check("an unanswered call to the relay")
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := a.Family("serial").Call(t.Context(), id, worker.Value{}); err != nil {
				t.Error(err)
			}
		})
		<-begun
		if _, err := a.Family("serial").Call(hurry(), id, worker.Value{}); !errors.Is(err, context.DeadlineExceeded) || OutcomeOf(err) != worker.OutcomeNotRun {
			t.Errorf("a call in a queue: %v, %v", err, OutcomeOf(err))
		}
		end()
		first.Wait()
		check("a call in a queue")
		if p.Relays.Resting(time.Now()) {
			t.Error("the relay is taken for failed")
		}
	})
}

// TestRelayInAHurry asks a relay that has no session to the owner yet. A request without
// the time to make one does not show that the owner is out of reach.
func TestRelayInAHurry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{Load: counter()})
		c, b := nodes[0], nodes[1]
		cutDials(c, b, true)
		p := c.members.Pool().Peer(b.addr.Name)
		if s := p.Session(); s != nil {
			s.Close()
		}
		await(t, func() error {
			if p.Session() != nil {
				return errors.New("there is a session yet")
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		request := protocol.NewRequest("", idAt(t, b))
		if _, err := c.router.PassOn(ctx, p, request); !errors.Is(err, context.DeadlineExceeded) || OutcomeOf(err) != worker.OutcomeNotRun {
			t.Errorf("%v, %v", err, OutcomeOf(err))
		}
	})
}

// TestLateIsNotDegraded gives up a call while its owner is asked by way of another
// member: no worker is started in place of the owner's, as nobody waits for its answer.
func TestLateIsNotDegraded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{Load: counter()})
		c, b := nodes[0], nodes[1]
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		id := idAt(t, b)
		request := protocol.NewRequest("", id)
		reply, err := (route.Steps{Router: c.router}).RelayOrHere(ctx, id, cutOff(t, c, b), &request, wire.Unknown)
		if !errors.Is(err, context.Canceled) || OutcomeOf(err) != worker.OutcomeUnknown || reply.Degraded || c.kinds.Of("").Has(id) {
			t.Errorf("%+v, %v, %v; a worker: %t", reply, err, OutcomeOf(err), c.kinds.Of("").Has(id))
		}
	})
}

// TestRelayOrder has a call to one of the members go unanswered: it is the last one to be
// asked for a relay.
func TestRelayOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 4, worker.Cache{})
		a, b, c := nodes[0], nodes[1], nodes[2]
		if _, err := a.Ping(t.Context(), c.Self()); err != nil {
			t.Fatal(err)
		}
		p := cutOff(t, a, b)
		for range 20 {
			// The doubt ends with the next sign of life.
			by, request := a.members.Pool().Peer(c.addr.Name), wire.Request{Kind: "slow"}
			a.members.Pool().RecordResult(by, by.Session(), &request, &wire.Error{Code: wire.DeadlineExceeded, GaveUp: true})
			if list := (route.Steps{Router: a.router}).RelaysTo(p); len(list) != 2 || list[1].Text != c.Self() {
				t.Fatalf("of %d relays the last is not %s", len(list), c.Self())
			}
		}
	})
}
