package protocol

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/distproc/distproc/wire"
)

// ClientHello returns what a client says of itself. It is another one each time.
func ClientHello() wire.Hello {
	return wire.Hello{Name: "client-" + strconv.Itoa(os.Getpid()), Incarnation: rand.Uint64(), Role: wire.RoleClient}
}

// A Refuser is the handler of a client, of which a node may ask nothing.
type Refuser struct{}

// ServeCall is part of [wire.Handler].
func (Refuser) ServeCall(c wire.Call) {
	c.Fail(&wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun, Text: "this is a client"})
}

// ServeOperation is part of [wire.Handler].
func (Refuser) ServeOperation(context.Context, *wire.Session, wire.Op, func(any) error) (any, error) {
	return nil, wire.UnknownOperation
}
