package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

const actTimeout = 5 * time.Second

// pageActor is the name by which the audit log knows who acts by the page.
const pageActor = "page"

// actorOf returns the actor of what a page does.
func actorOf(r *http.Request) audit.Actor { return audit.Actor{Name: pageActor, From: r.RemoteAddr} }

// act does what a button of the page says, and answers with what came of it, in words.
func (g *Gateway) act(ctx context.Context, x *exchange) error {
	if err := g.checkCSRF(x); err != nil {
		return err
	}
	form, err := x.form()
	if err != nil {
		return err
	}
	id, err := oneID(form["id"])
	if err != nil {
		return err
	}
	x.idText = clip(id.String())
	if kind := form.Get("kind"); kind != "" {
		if x.kind, err = kindNamed(kind); err != nil {
			return err
		}
	}
	act := actions[form.Get("action")]
	if act == nil {
		return badRequest("action %s: say invalidate, refresh or stop", text.Quote(form.Get("action")))
	}
	ctx, cancel := context.WithTimeout(audit.WithActor(ctx, actorOf(x.r)), actTimeout)
	defer cancel()
	words, err := act(g, ctx, x, g.config.Cluster.Family(x.kind), id)
	if err != nil {
		return err
	}
	return x.json(struct {
		Text string `json:"text"`
	}{words})
}

// actions are what the buttons of the page do.
var actions = map[string]func(g *Gateway, ctx context.Context, x *exchange, f node.Family, id worker.ID) (words string, err error){
	"invalidate": (*Gateway).forget,
	"refresh":    (*Gateway).reload,
	"stop":       (*Gateway).stop,
}

func (g *Gateway) forget(ctx context.Context, x *exchange, f node.Family, id worker.ID) (string, error) {
	had, err := f.Invalidate(ctx, id)
	if err != nil {
		return "", err
	}
	g.note(x, "value invalidated", id)
	if !had {
		return "no node had a value", nil
	}
	return "all nodes have forgotten the value", nil
}

func (g *Gateway) reload(ctx context.Context, x *exchange, f node.Family, id worker.ID) (string, error) {
	reply, err := f.Refresh(ctx, id)
	if err != nil {
		return "", err
	}
	g.note(x, "value refreshed", id, "node", reply.Node)
	switch {
	case reply.Stale:
		return fmt.Sprintf("%s could not load a value, and keeps the old one", reply.Node), nil
	case reply.Degraded:
		return fmt.Sprintf("%s has loaded a value in place of the owner, which cannot be reached", reply.Node), nil
	}
	return fmt.Sprintf("%s has loaded a new value", reply.Node), nil
}

// stop ends a worker. The node logs that, by the actor of ctx.
func (g *Gateway) stop(ctx context.Context, _ *exchange, f node.Family, id worker.ID) (string, error) {
	stopped, err := f.Stop(ctx, id)
	if err != nil {
		return "", err
	}
	if !stopped {
		return "no worker ran", nil
	}
	return "the worker ends, after what it has begun", nil
}

// note logs an action.
func (g *Gateway) note(x *exchange, what string, id worker.ID, fields ...any) {
	g.audit.Note(what, actorOf(x.r), append([]any{"kind", cmp.Or(x.kind, worker.DefaultKind), "id", id.String()}, fields...)...)
}
