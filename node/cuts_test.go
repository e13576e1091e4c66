package node

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/wire"
)

// cuts are the sessions that cannot be made: a dial fails, or if the value is true gets
// no answer.
var cuts sync.Map // of cut to bool

type cut struct{ from, to string } // a node's name, and an address

// cuttable has dials heed the cuts.
func cuttable(dial peers.Dialer) peers.Dialer {
	return func(ctx context.Context, addr string, hello wire.Hello) (*wire.Session, error) {
		silent, ok := cuts.Load(cut{hello.Name, addr})
		if !ok {
			return dial(ctx, addr, hello)
		}
		if silent.(bool) {
			<-ctx.Done()
		}
		return nil, wire.Errorf(wire.Unreachable, wire.NotRun, "cut off")
	}
}

// cutDials has each dial of one of two nodes by the other one fail, or get no answer.
func cutDials(a, b *Node, silent bool) {
	cuts.Store(cut{a.name, b.addr.HostPort()}, silent)
	cuts.Store(cut{b.name, a.addr.HostPort()}, silent)
}

// cutOff has two nodes lose their session for good, while others reach both. It returns b
// as a has it.
func cutOff(t *testing.T, a, b *Node) *peers.Peer {
	t.Helper()
	cutDials(a, b, false)
	lose := func(n, other *Node) *peers.Peer {
		p := n.pool.Peer(other.addr.Name)
		await(t, func() error {
			if s, err := n.pool.Dial(t.Context(), p); err == nil {
				s.Close()
				return errors.New("there is a session yet")
			}
			return nil
		})
		return p
	}
	lose(b, a)
	return lose(a, b)
}
