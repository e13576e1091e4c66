package protocol

import (
	"context"
	"errors"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/wire"
)

// Probe dials the node at addr as a client of that name, and requests a value of a kind from
// it, for the id that id returns. It asks for another one when the node says that the id is
// another node's. It fails if id has none.
func Probe(ctx context.Context, addr string, creds *wire.Credentials, name, kind string, id func() (int64, bool)) error {
	s, err := wire.Dial(ctx, addr, creds, wire.Hello{Name: name, Role: wire.RoleClient}, Refuser{})
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		num, ok := id()
		if !ok {
			return errors.New("the others take this node for failed")
		}
		err := s.Call(ctx, &wire.Request{Kind: kind, Num: num}, clock.Left(ctx), new(wire.Reply))
		if !errors.Is(err, wire.NotOwner) { // else a node has come or gone meanwhile
			return err
		}
	}
}
