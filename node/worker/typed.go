package worker

import (
	"context"
	"errors"
	"fmt"
)

// Load returns the source that a function of Go is. What it returns becomes a value as
// [ValueOf] says; node.Get turns it back.
func Load[T any](load func(ctx context.Context, id ID) (T, error)) Source {
	return func(ctx context.Context, id ID) (Value, error) {
		v, err := load(ctx, id)
		if err != nil {
			return Value{}, err
		}
		return ValueOf(v)
	}
}

// Serve returns the factory of servers whose messages and answers are types of Go, which
// cross as [ValueOf] says. The compiler finds M and R in the Call method of what start
// returns. Their Terminate, if they have one, is that of [Terminator].
func Serve[S interface {
	Call(ctx context.Context, message M) (R, error)
}, M, R any](start func(ctx context.Context, id ID) (S, error)) Factory {
	return func(ctx context.Context, id ID) (Server, error) {
		s, err := start(ctx, id)
		if err != nil {
			return nil, err
		}
		typed := typedServer[M, R]{s}
		if _, ok := any(s).(Terminator); ok {
			return typedTerminator[M, R]{typed}, nil
		}
		return typed, nil // a node ends a server that has no Terminate without a goroutine
	}
}

type typedServer[M, R any] struct {
	of interface {
		Call(ctx context.Context, message M) (R, error)
	}
}

// ErrMessage is what a [Server] wraps to refuse a message that makes no sense to it. The
// call fails with node.ErrBadRequest, and has not run.
var ErrMessage = errors.New("the message")

func (s typedServer[M, R]) Call(ctx context.Context, message Value) (Value, error) {
	m, err := As[M](message)
	if err != nil {
		return Value{}, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	r, err := s.of.Call(ctx, m)
	if err != nil {
		return Value{}, err
	}
	return ValueOf(r)
}

// A typedTerminator is a typedServer of a [Terminator].
type typedTerminator[M, R any] struct{ typedServer[M, R] }

func (s typedTerminator[M, R]) Terminate(ctx context.Context, why EndReason) {
	s.of.(Terminator).Terminate(ctx, why)
}
