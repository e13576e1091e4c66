package protocol

import (
	"context"
	"errors"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/wire"
)

// AskSelf makes a request to the node at addr as another program would, as a client of that
// name, for an id of the kind that the node owns, as ownInt returns it. It returns nil if
// the node answers.
func AskSelf(ctx context.Context, addr string, creds *wire.Credentials, name, kind string, ownInt func() (int64, bool)) error {
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	s, err := wire.Dial(ctx, addr, creds, wire.Hello{Name: name, Role: wire.RoleClient}, Refuser{})
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		id, ok := ownInt()
		if !ok {
			return errors.New("the others take this node for failed")
		}
		err := s.Call(ctx, &wire.Request{Kind: kind, Num: id}, clock.Left(ctx), new(wire.Reply))
		if !errors.Is(err, wire.NotOwner) { // else a node has come or gone meanwhile, and the id is another node's
			return err
		}
	}
}

// Unanswered returns the error of AskSelf if the node has not answered, and else nil.
func Unanswered(err error) error {
	if e, ok := errors.AsType[*wire.Error](err); ok && (e.Lost() || e.Code == wire.DeadlineExceeded) {
		return err
	}
	return nil
}
