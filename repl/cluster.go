package repl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/placement"
)

// A requestError is an error of the cluster. Its text ends with the outcome of the call.
type requestError struct {
	what string
	err  error
}

func (e *requestError) Error() string { return e.what + ": " + withOutcome(e.err) }

func (e *requestError) Unwrap() error { return e.err }

func withOutcome(err error) string {
	outcome := " (" + node.OutcomeOf(err).String() + ")"
	text := strings.TrimSuffix(err.Error(), outcome)
	if errors.Is(err, context.DeadlineExceeded) { // what follows that says it in other words
		text = strings.Replace(text, context.DeadlineExceeded.Error()[len("context "):]+": ", "", 1)
	}
	return text + outcome
}

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

func (sh *Shell) disconnect(r *request) (starlark.Value, error) {
	name, err := r.nodeName()
	if err != nil {
		return nil, err
	}
	if err := sh.cluster.Disconnect(r.ctx, name); err != nil {
		return nil, &requestError{what: fmt.Sprintf("disconnect(%q)", name), err: err}
	}
	return starlark.True, nil
}

func (sh *Shell) alone(r *request) (starlark.Value, error) {
	if err := r.unpack(); err != nil {
		return nil, err
	}
	if err := sh.cluster.GoAlone(r.ctx); err != nil {
		return nil, &requestError{what: "alone()", err: err}
	}
	return starlark.True, nil
}

func (sh *Shell) ping(r *request) (starlark.Value, error) {
	name, err := r.nodeName()
	if err != nil {
		return nil, err
	}
	ctx, cancel := sh.bounded(r.ctx)
	defer cancel()
	took, err := sh.cluster.Ping(ctx, name)
	if err != nil {
		return nil, &requestError{what: fmt.Sprintf("ping(%q)", name), err: err}
	}
	return duration(took), nil
}

// nodeName returns the only argument as a node's name.
func (r *request) nodeName() (string, error) {
	var v starlark.Value
	if err := r.unpack("node", &v); err != nil {
		return "", err
	}
	return r.toNode(v)
}

func (r *request) toNode(v starlark.Value) (string, error) {
	name, ok := starlark.AsString(v)
	if !ok {
		return "", fmt.Errorf(`%s: %s is no name; a name is a string such as "2@127.0.0.1"`, r.name, article(v))
	}
	if _, err := placement.ParseAddr(name); err != nil {
		return "", fmt.Errorf("%s: %w", r.name, err)
	}
	return name, nil
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

func (sh *Shell) node(r *request) (starlark.Value, error) {
	if err := r.unpack(); err != nil {
		return nil, err
	}
	return starlark.String(sh.cluster.Self()), nil
}

var workerFields = []string{"id", "kind", "node", "age", "ttl", "hits", "queue"}

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
		t.unlisted += w.LeftOut
		t.rows = append(t.rows, &record{kind: "worker", fields: workerFields, values: starlark.Tuple{
			idValue(w.ID), starlark.String(w.Kind), starlark.String(w.Node), seconds(w.Age), seconds(w.TTL),
			starlark.MakeUint64(w.Hits), starlark.MakeInt(w.Queue),
		}})
	}
	return t, nil
}
