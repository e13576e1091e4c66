package repl

import (
	"context"
	"errors"
	"fmt"

	"github.com/distproc/distproc/node"
	"go.starlark.net/starlark"
)

// call sends a message to the worker of an id, or to those of many.
func (sh *Shell) call(r *request) (starlark.Value, error) {
	var ids, message starlark.Value
	var kind string
	if err := r.unpack("id", &ids, "message?", &message, "kind?", &kind); err != nil {
		return nil, err
	}
	m, err := toMessage(message)
	if err != nil {
		return nil, fmt.Errorf("call: %w", err)
	}
	family := sh.cluster.Family(kind)
	return sh.ask(r, ids, func(ctx context.Context, id node.ID) (node.Reply, error) {
		return family.Call(ctx, id, m)
	})
}

const jsonType = "application/json"

// toMessage returns what crosses: nil is the message that was not given.
func toMessage(v starlark.Value) (node.Value, error) {
	switch v := v.(type) {
	case nil, starlark.NoneType:
		return node.Value{}, nil
	case starlark.String:
		return node.BytesValue(string(v)), nil
	case starlark.Bytes:
		return node.BytesValue(string(v)), nil
	case starlark.Int:
		n, ok := v.Int64()
		if !ok {
			return node.Value{}, errors.New("an int of more than 64 bits; send str(n), or [n] as JSON")
		}
		return node.IntValue(n), nil
	case reply:
		return v.Value, nil
	case *record:
		switch r := v.more.(type) {
		case reply:
			return r.Value, nil
		case lostReply:
			return node.Value{}, errors.New("a reply that is an error has no value to send")
		}
	case *starlark.Dict, *starlark.List, starlark.Tuple, starlark.Bool, starlark.Float:
		text, err := encodeJSON(v)
		if err != nil {
			return node.Value{}, fmt.Errorf("the message as JSON: %w", err)
		}
		return node.MediaValue(jsonType, text), nil
	}
	return node.Value{}, fmt.Errorf("%s: a message is a string, bytes, an int, None, a reply, or what becomes JSON: a dict, list, tuple, bool or float", article(v))
}
