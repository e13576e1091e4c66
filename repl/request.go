package repl

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

const (
	maxIDs    = 100_000 // of one request
	maxAtOnce = 512     // requests; those for one node travel together
)

// An asker makes a request for one id.
type asker func(context.Context, worker.ID) (worker.Reply, error)

func (sh *Shell) request(r *request) (starlark.Value, error) {
	var ids, via, timeout starlark.Value
	var kind string
	if err := r.unpack("id", &ids, "via?", &via, "kind?", &kind, "timeout?", &timeout); err != nil {
		return nil, err
	}
	restore, err := sh.within(r, timeout)
	if err != nil {
		return nil, err
	}
	defer restore()
	family := sh.cluster.Family(kind)
	if via == nil || via == starlark.None {
		return sh.ask(r, ids, family.Request)
	}
	name, err := r.toNode(via)
	if err != nil {
		return nil, err
	}
	return sh.ask(r, ids, func(ctx context.Context, id worker.ID) (worker.Reply, error) {
		return family.RequestVia(ctx, name, id)
	})
}

func (sh *Shell) refresh(r *request) (starlark.Value, error) {
	var ids, timeout starlark.Value
	var kind string
	if err := r.unpack("id", &ids, "kind?", &kind, "timeout?", &timeout); err != nil {
		return nil, err
	}
	restore, err := sh.within(r, timeout)
	if err != nil {
		return nil, err
	}
	defer restore()
	return sh.ask(r, ids, sh.cluster.Family(kind).Refresh)
}

func (sh *Shell) stop(r *request) (starlark.Value, error) {
	return sh.forget(r, "stopped", node.Family.Stop)
}

// forced describes what became of an id that was given up by force.
func forced(list []worker.Stopped) starlark.Value {
	a := &account{kind: "stop"}
	stopped, goesOn := len(list) > 0, false
	for _, s := range list {
		goesOn = goesOn || s.Runs > 0
	}
	a.set("stopped", starlark.Bool(stopped))
	a.set("given_up", starlark.Bool(goesOn))
	if stopped {
		a.say("stopped", "true")
	} else {
		a.say("stopped", "false: no node has a server of the id")
	}
	for _, s := range list {
		switch {
		case s.Runs == 0:
			a.say("server", "of "+s.Node+" ends")
		case s.Token == (worker.Token{}):
			a.warn("given up", fmt.Sprintf("the end of a server goes on on %s, since %s", s.Node, shortly(s.Runs)))
		default:
			a.warn("given up", fmt.Sprintf("a call goes on on %s, since %s; only its token %s protects what it changes from now on",
				s.Node, shortly(s.Runs), s.Token))
		}
	}
	return a
}

func (sh *Shell) invalidate(r *request) (starlark.Value, error) {
	return sh.forget(r, "invalidated", node.Family.Invalidate)
}

// forget stops or invalidates the workers of one id or of many, and returns whether there
// were any.
func (sh *Shell) forget(r *request, field string, forget func(node.Family, context.Context, worker.ID) (bool, error)) (starlark.Value, error) {
	var v starlark.Value
	var kind string
	var force bool
	params := []any{"id", &v, "kind?", &kind}
	if field == "stopped" {
		params = append(params, "force?", &force)
	}
	if err := r.unpack(params...); err != nil {
		return nil, err
	}
	family := sh.cluster.Family(kind)
	if force {
		return sh.forceStop(r, v, family)
	}
	bounded := func(ctx context.Context, id worker.ID) (bool, error) {
		ctx, cancel := sh.bounded(ctx)
		defer cancel()
		return forget(family, ctx, id)
	}
	if many, ok := v.(starlark.Iterable); ok {
		return sh.forgetMany(r, many, field, bounded)
	}
	id, err := r.toID(v)
	if err != nil {
		return nil, err
	}
	lived, err := bounded(r.ctx, id)
	if err != nil {
		return nil, &requestError{what: r.name + "(" + quoteID(id) + ")", err: err}
	}
	return starlark.Bool(lived), nil
}

// forceStop gives up one id of a strict kind.
func (sh *Shell) forceStop(r *request, v starlark.Value, family node.Family) (starlark.Value, error) {
	id, err := r.toID(v)
	if err != nil {
		return nil, err
	}
	ctx, cancel := sh.bounded(r.ctx)
	defer cancel()
	list, err := family.ForceStop(ctx, id)
	if err != nil {
		return nil, &requestError{what: "stop(" + quoteID(id) + ")", err: err}
	}
	return forced(list), nil
}

// forgetMany is forget for many ids. An error becomes part of the id's row.
func (sh *Shell) forgetMany(r *request, many starlark.Iterable, field string, forget func(context.Context, worker.ID) (bool, error)) (starlark.Value, error) {
	ids, err := r.manyIDs(many)
	if err != nil {
		return nil, err
	}
	fields := []string{"id", field, "error"}
	t := &table{kind: "ids", header: fields, none: "no ids"}
	return sh.fill(r.ctx, t, ids, func(ctx context.Context, id worker.ID) *record {
		lived, err := forget(ctx, id)
		row := starlark.Tuple{idValue(id), starlark.Bool(lived), starlark.None}
		if err != nil {
			row = starlark.Tuple{idValue(id), starlark.None, starlark.String(withOutcome(err))}
		}
		return &record{kind: "id", fields: fields, values: row}
	})
}

// ask returns the reply for one id, or a table of replies for many.
func (sh *Shell) ask(r *request, v starlark.Value, ask asker) (starlark.Value, error) {
	_, isReply := v.(reply) // iterable, but not a list of ids
	if many, ok := v.(starlark.Iterable); ok && !isReply {
		ids, err := r.manyIDs(many)
		if err != nil {
			return nil, err
		}
		return sh.askMany(r.ctx, ids, ask)
	}
	id, err := toID(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	ctx, cancel := sh.bounded(r.ctx)
	defer cancel()
	answer, err := ask(ctx, id)
	if err != nil {
		return nil, &requestError{what: r.name + "(" + quoteID(id) + ")", err: err}
	}
	return reply{answer, time.Now()}, nil
}

func (r *request) manyIDs(many starlark.Iterable) ([]worker.ID, error) {
	iter := many.Iterate()
	defer iter.Done()
	var ids []worker.ID
	var v starlark.Value
	for iter.Next(&v) {
		if len(ids) == maxIDs {
			return nil, fmt.Errorf("%s: more than %d ids at once", r.name, maxIDs)
		}
		id, err := toID(v)
		if err != nil {
			return nil, fmt.Errorf("%s: the id at index %d: %w", r.name, len(ids), err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

var replyFields = []string{"id", "value", "node", "cached", "degraded", "error"}

// askMany makes the requests for all ids concurrently. An error becomes part of the id's
// row.
func (sh *Shell) askMany(ctx context.Context, ids []worker.ID, ask asker) (starlark.Value, error) {
	t := &table{kind: "replies", header: replyFields, none: "no ids"}
	return sh.fill(ctx, t, ids, func(ctx context.Context, id worker.ID) *record { return sh.askOne(ctx, id, ask) })
}

// fill adds a row to t for each id. It asks for up to maxAtOnce ids at a time.
func (sh *Shell) fill(ctx context.Context, t *table, ids []worker.ID, rowOf func(context.Context, worker.ID) *record) (starlark.Value, error) {
	t.rows = make([]*record, len(ids))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(len(ids), maxAtOnce) {
		wg.Go(func() {
			for i := range next {
				t.rows[i] = rowOf(ctx, ids[i])
			}
		})
	}
feed:
	for i := range ids {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if sh.settings.fail {
		sh.failed.count(t)
	}
	return t, nil
}

// failedRows counts rows of tables of which one at least has failed.
type failedRows struct{ failed, all int }

func (f *failedRows) count(t *table) {
	failed := 0
	for _, row := range t.rows {
		if v, _ := row.Attr("error"); v != starlark.None {
			failed++
		}
	}
	if failed > 0 {
		f.failed, f.all = f.failed+failed, f.all+len(t.rows)
	}
}

// err returns what a program ends with that has come to its end in spite of them.
func (f *failedRows) err(program string) error {
	if f.failed == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d of %s failed; configure(fail=False) lets the program exit with 0", program, f.failed, counted(f.all, "id", "ids"))
}

// askOne returns the row of an id. A panic of the Cluster becomes the row's error.
func (sh *Shell) askOne(ctx context.Context, id worker.ID, ask asker) (row *record) {
	fail := func(err error) *record {
		return &record{kind: "reply", fields: replyFields, values: starlark.Tuple{
			idValue(id), starlark.None, starlark.None, starlark.None, starlark.None, starlark.String(withOutcome(err)),
		}, more: lostReply{}}
	}
	defer func() {
		if r := recover(); r != nil {
			row = fail(fmt.Errorf("internal error: %v", r))
		}
	}()
	ctx, cancel := sh.bounded(ctx)
	defer cancel()
	answer, err := ask(ctx, id)
	if err != nil {
		return fail(err)
	}
	got := reply{answer, time.Now()}
	return &record{kind: "reply", fields: replyFields, values: starlark.Tuple{
		idValue(id), got.value(), starlark.String(answer.Node),
		starlark.Bool(answer.Cached), starlark.Bool(answer.Degraded), starlark.None,
	}, more: got}
}
