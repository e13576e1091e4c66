package repl

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/distproc/distproc/node"
	"go.starlark.net/starlark"
)

// A requestError is an error of the cluster. It ends with what became of the call.
type requestError struct {
	what string
	err  error
}

func (e *requestError) Error() string {
	outcome := " (" + node.OutcomeOf(e.err).String() + ")"
	return e.what + ": " + strings.TrimSuffix(e.err.Error(), outcome) + outcome
}

func (e *requestError) Unwrap() error { return e.err }

var connectionFields = []string{"name", "ok", "why"}

func (sh *Shell) connect(r *request) (starlark.Value, error) {
	if len(r.kw) > 0 {
		return nil, errors.New(`connect: takes names only, such as "2@127.0.0.1"`)
	}
	var names []string
	for _, arg := range r.args {
		s, ok := starlark.AsString(arg)
		if !ok {
			return nil, fmt.Errorf(`connect: %s is no name; a name is a string such as "2@127.0.0.1"`, article(arg))
		}
		names = append(names, s)
	}
	t := &table{kind: "connections", none: "no nodes"}
	for _, c := range sh.cluster.Connect(r.ctx, names...) {
		why := ""
		if c.Err != nil {
			why = printable(c.Err.Error())
		}
		t.rows = append(t.rows, &record{kind: "connection", fields: connectionFields, values: starlark.Tuple{
			starlark.String(c.Name), starlark.Bool(c.Err == nil), starlark.String(why),
		}})
	}
	return t, r.ctx.Err()
}

func (sh *Shell) request(r *request) (starlark.Value, error) {
	id, err := r.id()
	if err != nil {
		return nil, err
	}
	answer, err := sh.cluster.Request(r.ctx, id)
	if err != nil {
		return nil, &requestError{what: "request(" + quoteID(id) + ")", err: err}
	}
	return reply{answer}, nil
}

func (sh *Shell) owner(r *request) (starlark.Value, error) {
	id, err := r.id()
	if err != nil {
		return nil, err
	}
	name, err := sh.cluster.Owner(r.ctx, id)
	if err != nil {
		return nil, &requestError{what: "owner(" + quoteID(id) + ")", err: err}
	}
	return starlark.String(name), nil
}

func (sh *Shell) nodes(r *request) (starlark.Value, error) {
	if err := r.unpack(); err != nil {
		return nil, err
	}
	members, err := sh.cluster.Members(r.ctx)
	if err != nil {
		return nil, &requestError{what: "nodes()", err: err}
	}
	var alive []starlark.Value
	for _, m := range members {
		if m.State == node.Alive {
			alive = append(alive, starlark.String(m.Name))
		}
	}
	return starlark.NewList(alive), nil
}

func (sh *Shell) node(r *request) (starlark.Value, error) {
	if err := r.unpack(); err != nil {
		return nil, err
	}
	return starlark.String(sh.cluster.Self()), nil
}

var workerFields = []string{"id", "node", "age", "ttl", "hits", "queue"}

func (sh *Shell) workers(r *request) (starlark.Value, error) {
	if err := r.unpack(); err != nil {
		return nil, err
	}
	workers, err := sh.cluster.Workers(r.ctx)
	if err != nil {
		return nil, &requestError{what: "workers()", err: err}
	}
	t := &table{kind: "workers", header: workerFields, none: "no live workers"}
	for _, w := range workers {
		t.rows = append(t.rows, &record{kind: "worker", fields: workerFields, values: starlark.Tuple{
			idValue(w.ID), starlark.String(w.Node), seconds(w.Age), seconds(w.TTL),
			starlark.MakeUint64(w.Hits), starlark.MakeInt(w.Queue),
		}})
	}
	return t, nil
}

func (sh *Shell) sleep(r *request) (starlark.Value, error) {
	var v starlark.Value
	if err := r.unpack("seconds", &v); err != nil {
		return nil, err
	}
	s, ok := starlark.AsFloat(v)
	// Above about 292 years a Duration overflows.
	if !ok || math.IsNaN(s) || s < 0 || s > math.MaxInt64/float64(time.Second)/2 {
		return nil, fmt.Errorf("sleep: %s; seconds are a number from 0 up, such as 0.5", v)
	}
	timer := time.NewTimer(time.Duration(s * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return starlark.None, nil
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

// id returns the only argument as an id.
func (r *request) id() (node.ID, error) {
	var v starlark.Value
	if err := r.unpack("id", &v); err != nil {
		return node.ID{}, err
	}
	id, err := toID(v)
	if err != nil {
		err = fmt.Errorf("%s: %w", r.name, err)
	}
	return id, err
}

func toID(v starlark.Value) (node.ID, error) {
	switch v := v.(type) {
	case starlark.Int:
		if n, ok := v.Int64(); ok {
			return node.IntID(n), nil
		}
		return node.BigID(v.BigInt())
	case starlark.String:
		return node.ParseID(string(v))
	}
	return node.ID{}, fmt.Errorf("%s: %w", article(v), node.ErrBadID)
}

// idValue returns the value that toID reads.
func idValue(id node.ID) starlark.Value {
	if id.IsInt() {
		if n, ok := new(big.Int).SetString(id.String(), 10); ok {
			return starlark.MakeBigInt(n)
		}
	}
	return starlark.String(id.String())
}

func quoteID(id node.ID) string { return idValue(id).String() }

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
