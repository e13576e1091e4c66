package node

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// dialAs returns a session to a node, introduced by hello.
func dialAs(t *testing.T, n *Node, hello wire.Hello) (*wire.Session, error) {
	t.Helper()
	creds := credentials(t, testCookie)
	s, err := wire.Dial(t.Context(), n.Addr(), creds, hello, protocol.Refuser{})
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// stranger is the hello of a node that is no member of n's cluster.
func stranger(n *Node, number int) wire.Hello {
	name := placement.Name{Node: fmt.Sprintf("stranger%d", number), Host: n.addr.Host}
	return wire.Hello{
		Name: name.String(), Addr: placement.Addr{Name: name, Port: 20000 + number}.HostPort(),
		Incarnation: 1, Role: wire.RoleMember, Routing: placement.Modulo.String(),
	}
}

// giveSlot makes a stranger a member.
func giveSlot(n *Node, h wire.Hello) {
	n.members.Learn(n.members.View(), []wire.Member{{Name: h.Name, Addr: h.Addr, Incarnation: h.Incarnation}})
}

// A liar answers operations with lists of empty elements, one byte each.
type liar struct {
	protocol.Refuser
	answers map[wire.Op]any
}

func newLiar(elements int) liar {
	return liar{answers: map[wire.Op]any{
		protocol.OpSync:    protocol.Sync{List: make([]wire.Member, elements)},
		protocol.OpWorkers: make([]worker.Info, elements),
		protocol.OpBarrier: protocol.Barrier{Held: make([]worker.Key, elements)},
		protocol.OpView:    protocol.View{Members: make([]wire.Member, elements)},
		protocol.OpMembers: make([]Member, elements),
		protocol.OpNodes:   make([]NodeInfo, elements),
		protocol.OpConnect: make([]protocol.Connection, elements),
		protocol.OpFigures: observe.Figures{Kinds: make([]observe.KindFigures, elements)},
		protocol.OpHottest: observe.Hot{Longest: make([]observe.HotID, elements)},
	}}
}

func (l liar) ServeOperation(_ context.Context, _ *wire.Session, op wire.Op, _ func(any) error) (any, error) {
	if answer, ok := l.answers[op]; ok {
		return answer, nil
	}
	return nil, wire.UnknownOperation
}

// listenAs serves sessions as a node with that hello, and returns its address.
func listenAs(t *testing.T, hello wire.Hello, h wire.Handler) string {
	t.Helper()
	creds := credentials(t, testCookie)
	l, err := wire.Listen(hello.Addr, creds, nil)
	if err != nil {
		t.Fatal(err)
	}
	hello.Addr = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			if s, err := in.Accept(hello, h); err == nil {
				t.Cleanup(func() { s.Close() })
			}
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return hello.Addr
}
