package node

import (
	"context"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Get requests the value of an id as a type of Go. It fails with [ErrWrongType] if the
// value cannot be one; the reply has the value all the same.
func Get[T any](ctx context.Context, f Family, id worker.ID) (T, worker.Reply, error) {
	reply, err := f.Request(ctx, id)
	if err != nil {
		var none T
		return none, reply, err
	}
	v, err := worker.As[T](reply.Value)
	if err != nil {
		err = wire.Errorf(wire.WrongType, wire.Ran, "the value: %v", err)
	}
	return v, reply, err
}

// Call sends a message to the server of an id and returns its answer as a type of Go. It
// fails with [ErrWrongType] if the answer cannot be one; the message has been delivered
// then.
func Call[R any](ctx context.Context, f Family, id worker.ID, message any) (R, error) {
	var none R
	m, err := worker.ValueOf(message)
	if err != nil {
		return none, wire.Errorf(wire.BadRequest, wire.NotRun, "the message: %v", err)
	}
	reply, err := f.Call(ctx, id, m)
	if err != nil {
		return none, err
	}
	answer, err := worker.As[R](reply.Value)
	if err != nil {
		return none, wire.Errorf(wire.WrongType, wire.Ran, "the answer: %v", err)
	}
	return answer, nil
}
