package repl

import (
	"context"
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// call sends a message to the worker of an id, or to those of many.
func (sh *Shell) call(r *request) (starlark.Value, error) {
	var ids, message, timeout starlark.Value
	var kind string
	if err := r.unpack("id", &ids, "message?", &message, "kind?", &kind, "timeout?", &timeout); err != nil {
		return nil, err
	}
	restore, err := sh.within(r, timeout)
	if err != nil {
		return nil, err
	}
	defer restore()
	m, err := toMessage(message)
	if err != nil {
		return nil, fmt.Errorf("call: %w", err)
	}
	family := sh.cluster.Family(kind)
	v, err := sh.ask(r, ids, func(ctx context.Context, id worker.ID) (worker.Reply, error) {
		return family.Call(ctx, id, m)
	})
	if len(r.args) > 1 && (errors.Is(err, node.ErrUnknownKind) || errors.Is(err, node.ErrBadRequest) && kind == "") {
		err = fmt.Errorf("%w; the order is call(id, message, kind)", err)
	}
	return v, err
}

// within has the requests of a command take at most so many seconds each, if they are
// given, until restore is called.
func (sh *Shell) within(r *request, timeout starlark.Value) (restore func(), err error) {
	before := sh.settings
	if sh.settings, err = before.with(nil, timeout, nil, nil, nil); err != nil {
		sh.settings = before
		return nil, fmt.Errorf("%s: %w", r.name, errors.Unwrap(err))
	}
	changed := sh.settings
	return func() {
		if sh.settings == changed {
			sh.settings = before
		}
	}, nil
}

const jsonType = "application/json"

// toMessage returns a value as a message. Nil stands for an argument that was not given.
func toMessage(v starlark.Value) (worker.Value, error) {
	switch v := v.(type) {
	case nil, starlark.NoneType:
		return worker.Value{}, nil
	case starlark.String:
		return worker.BytesValue(string(v)), nil
	case starlark.Bytes:
		return worker.BytesValue(string(v)), nil
	case starlark.Int:
		n, ok := v.Int64()
		if !ok {
			return worker.Value{}, errors.New("an int of more than 64 bits; send str(n), or [n] as JSON")
		}
		return worker.IntValue(n), nil
	case reply:
		return v.Value, nil
	case *record:
		switch r := v.more.(type) {
		case reply:
			return r.Value, nil
		case lostReply:
			return worker.Value{}, errors.New("a reply that is an error has no value to send")
		}
	case *starlark.Dict, *starlark.List, starlark.Tuple, starlark.Bool, starlark.Float:
		text, err := encodeJSON(v)
		if err != nil {
			return worker.Value{}, fmt.Errorf("the message as JSON: %w", err)
		}
		return worker.MediaValue(jsonType, text), nil
	}
	return worker.Value{}, fmt.Errorf("%s: a message is a string, bytes, an int, None, a reply, or what becomes JSON: a dict, list, tuple, bool or float", article(v))
}
