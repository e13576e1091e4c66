package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/distproc/distproc/wire"
)

// Values cross as bytes with a media type, so that all languages read them. The functions of this file
// turn them into types of Go and back: int, int64, int32 and uint32 are integers; string and []byte are bytes; a [Value] is
// itself; everything else is JSON, other integers and types with names of their own included.

// ValueOf returns v as a value. It fails if v cannot be JSON.
func ValueOf(v any) (Value, error) {
	switch v := v.(type) {
	case Value:
		return v, nil
	case string:
		return BytesValue(v), nil
	case []byte:
		return BytesValue(string(v)), nil
	case int:
		return IntValue(int64(v)), nil
	case int64:
		return IntValue(v), nil
	case int32:
		return IntValue(int64(v)), nil
	case uint32:
		return IntValue(int64(v)), nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return Value{}, fmt.Errorf("a %T as JSON: %w", v, err)
	}
	return MediaValue(jsonType, string(data)), nil
}

const jsonType = "application/json"

// As returns a value as a type of Go. It fails if the value cannot be one.
func As[T any](v Value) (t T, err error) {
	switch p := any(&t).(type) {
	case *Value:
		*p = v
	case *string:
		*p = v.data
	case *[]byte:
		*p = []byte(v.data)
	default:
		if err = json.Unmarshal([]byte(v.data), &t); err != nil {
			err = fmt.Errorf("%s as a %T: %w", clipped(v.data), t, err)
		}
	}
	return t, err
}

// clipped quotes the beginning of a text.
func clipped(s string) string { return strconv.Quote(clip(s)) }

// clip is the beginning of a text.
func clip(s string) string {
	const limit = 60
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}

// Load returns the source that a function of Go is. What it returns becomes a value as [ValueOf] says; [Get] turns it back.
func Load[T any](load func(ctx context.Context, id ID) (T, error)) Source {
	return func(ctx context.Context, id ID) (Value, error) {
		v, err := load(ctx, id)
		if err != nil {
			return Value{}, err
		}
		return ValueOf(v)
	}
}

// Get requests the value of an id as a type of Go. It fails with [ErrWrongType] if the value cannot be one; the reply has the
// value all the same.
func Get[T any](ctx context.Context, f Family, id ID) (T, Reply, error) {
	reply, err := f.Request(ctx, id)
	if err != nil {
		var none T
		return none, reply, err
	}
	v, err := As[T](reply.Value)
	if err != nil {
		err = wire.Errorf(wire.WrongType, Ran, "the value: %v", err)
	}
	return v, reply, err
}

// Serve returns the factory of servers whose messages and answers are types of Go, which cross as [ValueOf] says. The
// compiler finds M and R in the Call method of what start returns. Their Terminate, if they have one, is that of
// [Terminator].
func Serve[S interface {
	Call(ctx context.Context, message M) (R, error)
}, M, R any](start func(ctx context.Context, id ID) (S, error)) Factory {
	return func(ctx context.Context, id ID) (Server, error) {
		s, err := start(ctx, id)
		if err != nil {
			return nil, err
		}
		return typedServer[M, R]{s}, nil
	}
}

type typedServer[M, R any] struct {
	of interface {
		Call(ctx context.Context, message M) (R, error)
	}
}

// A messageError is why a message is not one that the server takes. It has not run.
type messageError struct{ error }

func (s typedServer[M, R]) Call(ctx context.Context, message Value) (Value, error) {
	m, err := As[M](message)
	if err != nil {
		return Value{}, messageError{err}
	}
	r, err := s.of.Call(ctx, m)
	if err != nil {
		return Value{}, err
	}
	return ValueOf(r)
}

func (s typedServer[M, R]) Terminate(ctx context.Context, why EndReason) {
	if t, ok := s.of.(Terminator); ok {
		t.Terminate(ctx, why)
	}
}

// Call sends a message to the server of an id and returns its answer as a type of Go. It fails with [ErrWrongType] if the
// answer cannot be one; the message has been delivered then.
func Call[R any](ctx context.Context, f Family, id ID, message any) (R, error) {
	var none R
	m, err := ValueOf(message)
	if err != nil {
		return none, wire.Errorf(wire.BadRequest, NotRun, "the message: %v", err)
	}
	reply, err := f.Call(ctx, id, m)
	if err != nil {
		return none, err
	}
	answer, err := As[R](reply.Value)
	if err != nil {
		return none, wire.Errorf(wire.WrongType, Ran, "the answer: %v", err)
	}
	return answer, nil
}
