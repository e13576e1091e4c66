package node

import (
	"errors"
	"testing"

	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/wire/memnet"
)

// cutDials has each dial of one of two nodes by the other one fail, or get no answer.
func cutDials(a, b *Node, silent bool) {
	how := memnet.Refused
	if silent {
		how = memnet.Lost
	}
	network.Cut(a.name, b.addr.HostPort(), how)
	network.Cut(b.name, a.addr.HostPort(), how)
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
