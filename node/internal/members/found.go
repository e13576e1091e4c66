package members

import (
	"context"
	"errors"
	"time"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// A node tells others where they reach it, and can be wrong about that, as behind NAT. So
// the node that lets it in dials it there first.

// foundTimeout is how long a newcomer has to answer at its address. The newcomer waits
// meanwhile.
const foundTimeout = time.Second

// misplaced returns why a newcomer is turned away: another node answers at its address,
// and would get what members send to the newcomer. A newcomer that nobody reaches there is
// let in, because another member may reach it; the log says so.
func (m *Members) misplaced(ctx context.Context, name placement.Name, addr string) *wire.Error {
	ctx, cancel := context.WithTimeout(ctx, foundTimeout)
	defer cancel()
	// As a member or with a link this node would be dialled back, and so on.
	s, err := wire.Dial(ctx, addr, m.Creds, wire.Hello{Name: audit.ReadyName, Role: wire.RoleClient}, protocol.Refuser{})
	if err != nil {
		if !errors.Is(err, wire.Overloaded) && m.ctx.Err() == nil {
			m.Logger.Warn("a node that joins cannot be reached at its address; if that stays so, start it with another --advertise",
				"node", name.String(), "addr", addr, "why", err)
		}
		return nil
	}
	defer s.Close()
	if got := s.Peer().Name; got != name.String() {
		return peers.OtherAnswers(addr, got, name.String())
	}
	return nil
}

// misled adds to the error of joining a node that it was found at an address, but says
// that it is reached at another one.
func misled(err error, found string, a placement.Addr) error {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || found == a.HostPort() || e.Code != wire.Unreachable && e.Code != wire.WrongName {
		return err
	}
	return wire.Errorf(e.Code, wire.NotRun, "%s, found at %s, says that it is reached at %s: %s; start it with --advertise %[2]s",
		a.Name, found, a.HostPort(), e.Text)
}
