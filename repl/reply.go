package repl

import (
	"fmt"
	"slices"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/distproc/distproc/node/worker"
)

// A reply is a worker's answer as a Starlark value. It unpacks and compares as (value,
// node).
type reply struct {
	worker.Reply
	at time.Time // when it came
}

var (
	_ starlark.Indexable  = reply{}
	_ starlark.Sequence   = reply{}
	_ starlark.Comparable = reply{}
	_ starlark.HasAttrs   = reply{}
)

func (r reply) value() starlark.Value {
	if n, ok := r.Value.Int(); ok {
		return starlark.MakeInt64(n)
	}
	return starlark.String(r.Value.String())
}

func (r reply) pair() starlark.Tuple { return starlark.Tuple{r.value(), starlark.String(r.Node)} }

// String returns {454, 2@127.0.0.1}, or {454, 2@127.0.0.1, degraded}.
func (r reply) String() string { return r.styled(style{}) }

func (r reply) styled(s style) string {
	mark := ""
	if r.Stale {
		mark = ", " + s.odd("stale")
	}
	if r.Degraded {
		mark += ", " + s.odd("degraded")
	}
	if r.Via != "" {
		mark += ", " + s.odd("via ") + s.node(printable(r.Via))
	}
	return fmt.Sprintf("{%s, %s%s}", s.inline(r.value()), s.node(printable(r.Node)), mark)
}

func (r reply) Type() string               { return "reply" }
func (r reply) Freeze()                    {}
func (r reply) Truth() starlark.Bool       { return true }
func (r reply) Hash() (uint32, error)      { return r.pair().Hash() }
func (r reply) Len() int                   { return 2 }
func (r reply) Index(i int) starlark.Value { return r.pair()[i] }
func (r reply) Iterate() starlark.Iterator { return r.pair().Iterate() }

func (r reply) CompareSameType(op syntax.Token, y starlark.Value, depth int) (bool, error) {
	return starlark.CompareDepth(op, r.pair(), y.(reply).pair(), depth)
}

// replyNames are the attributes of a reply, but for json, which is the value again.
var replyNames = []string{"value", "node", "cached", "stale", "degraded", "via", "age", "ttl", "token"}

func (r reply) AttrNames() []string { return slices.Sorted(slices.Values(append(replyNames, "json"))) }

func (r reply) Attr(name string) (starlark.Value, error) {
	switch name {
	case "value":
		return r.value(), nil
	case "node":
		return starlark.String(r.Node), nil
	case "json":
		v, err := decodeJSON(r.Value.String())
		if err != nil {
			err = fmt.Errorf("json: the value of this reply is no JSON: %w", err)
		}
		return v, err
	case "cached":
		return starlark.Bool(r.Cached), nil
	case "degraded":
		return starlark.Bool(r.Degraded), nil
	case "stale":
		return starlark.Bool(r.Stale), nil
	case "via":
		return orNone(r.Via), nil
	case "age":
		return seconds(r.Age), nil
	case "token":
		if r.Token.IsZero() {
			return starlark.None, nil
		}
		return starlark.String(r.Token.String()), nil
	case "ttl":
		return seconds(r.TTL), nil
	}
	return nil, nil
}

// A lostReply stands in a table for a reply that failed. It has the attributes of a
// reply, all None.
type lostReply struct{ reply }

func (lostReply) Attr(string) (starlark.Value, error) { return starlark.None, nil }

// seconds returns a time as programs have it. More than microseconds of a longer time would
// only be noise.
func seconds(d time.Duration) starlark.Float {
	if d >= time.Millisecond {
		d = d.Round(time.Microsecond)
	}
	return starlark.Float(d.Seconds())
}
