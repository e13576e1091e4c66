package node

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A fakeMember answers what a member is asked before another one starts a server.
type fakeMember struct {
	protocol.Refuser
	list  []wire.Member
	holds atomic.Bool
	asked chan struct{}
}

func (f *fakeMember) ServeOperation(_ context.Context, _ *wire.Session, op wire.Op, _ func(any) error) (any, error) {
	switch op {
	case protocol.OpSync:
		return protocol.Sync{List: f.list}, nil
	case protocol.OpBarrier:
		return protocol.Barrier{More: true}, nil
	case protocol.OpHolds:
		select {
		case f.asked <- struct{}{}:
		default:
		}
		return f.holds.Load(), nil
	}
	return nil, wire.UnknownOperation
}

// TestClaimMeetsStrangers has a restarted node, which knows nobody, be called by a member
// that knows it: before it starts a server it asks that member. A node that takes a
// former start for a member tells nothing.
func TestClaimMeetsStrangers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, former := range []bool{false, true} {
			host := testHost()
			n := startNode(t, "2@"+host, worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }})
			self := n.members.Hello()
			if former {
				self.Incarnation--
			}
			hello := wire.Hello{Name: "1@" + host, Addr: host + ":4371", Incarnation: 1, Role: wire.RoleMember, Routing: placement.Modulo.String()}
			f := &fakeMember{asked: make(chan struct{}, 1), list: []wire.Member{
				{Name: hello.Name, Addr: hello.Addr, Incarnation: 1},
				{Name: self.Name, Addr: self.Addr, Incarnation: self.Incarnation},
			}}
			f.holds.Store(true)
			creds := credentials(t, testCookie)
			s, err := wire.Dial(t.Context(), n.Addr(), creds, hello, f)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			request := protocol.NewCall(worker.Key{ID: worker.IntID(1)}, worker.IntValue(1))
			answered := make(chan error, 1)
			go func() {
				var r wire.Reply
				answered <- s.Call(t.Context(), &request, 10*time.Second, &r)
			}()
			if former {
				if err := <-answered; err != nil {
					t.Error(err)
				}
				continue
			}
			select {
			case <-f.asked:
			case err := <-answered:
				t.Fatalf("a server started, with %v, while another node had one", err)
			}
			f.holds.Store(false)
			if err := <-answered; err != nil {
				t.Error(err)
			}
		}
	})
}
