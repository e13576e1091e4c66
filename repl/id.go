package repl

import (
	"fmt"
	"math/big"
	"strings"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node/worker"
)

// id returns the only argument as an id.
func (r *request) id() (worker.ID, error) {
	var v starlark.Value
	if err := r.unpack("id", &v); err != nil {
		return worker.ID{}, err
	}
	return r.toID(v)
}

// worker returns the id and the kind among the arguments. The kind is "" if none is
// given.
func (r *request) worker() (id worker.ID, kind string, err error) {
	var v starlark.Value
	if err := r.unpack("id", &v, "kind?", &kind); err != nil {
		return worker.ID{}, "", err
	}
	id, err = r.toID(v)
	return id, kind, err
}

func (r *request) toID(v starlark.Value) (worker.ID, error) {
	id, err := toID(v)
	if err != nil {
		err = fmt.Errorf("%s: %w", r.name, err)
	}
	return id, err
}

func toID(v starlark.Value) (worker.ID, error) {
	switch v := v.(type) {
	case starlark.Int:
		if n, ok := v.Int64(); ok {
			return worker.IntID(n), nil
		}
		return worker.BigID(v.BigInt())
	case starlark.String:
		return worker.ParseID(string(v))
	}
	return worker.ID{}, fmt.Errorf("%s: %w", article(v), worker.ErrBadID)
}

// idValue returns the value that toID reads.
func idValue(id worker.ID) starlark.Value {
	if id.IsInt() {
		if n, ok := new(big.Int).SetString(id.String(), 10); ok {
			return starlark.MakeBigInt(n)
		}
	}
	return starlark.String(id.String())
}

func quoteID(id worker.ID) string { return idValue(id).String() }

// article returns a value's type for an error: "a float", "an int", "None".
func article(v starlark.Value) string {
	switch t := v.Type(); {
	case v == starlark.None:
		return "None"
	case strings.ContainsRune("aeiou", rune(t[0])):
		return "an " + t
	default:
		return "a " + t
	}
}
