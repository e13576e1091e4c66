package repl

import (
	"fmt"
	"strconv"
	"time"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

func (sh *Shell) why(r *request) (starlark.Value, error) {
	id, kind, err := r.worker()
	if err != nil {
		return nil, err
	}
	ctx, cancel := sh.bounded(r.ctx)
	defer cancel()
	e, err := sh.cluster.Family(kind).Why(ctx, id)
	if err != nil {
		return nil, &requestError{what: "why(" + quoteID(id) + ")", err: err}
	}
	return explain(e), nil
}

// explain returns an Explanation as an account: attributes for programs, lines for
// people.
func explain(e node.Explanation) *account {
	a := &account{kind: "explanation"}
	a.set("id", idValue(e.ID))
	a.set("kind", starlark.String(e.Kind))
	a.set("owner", starlark.String(e.Owner))
	a.set("rule", starlark.String(e.Rule))
	a.set("index", starlark.MakeInt(e.Index))
	a.set("members", starlark.MakeInt(e.Members))
	a.set("epoch", starlark.MakeUint64(e.Epoch))
	a.set("state", starlark.String(e.State.String()))
	a.set("fallback", orNone(e.Fallback))
	a.set("via", orNone(e.Via))
	a.set("asked", orNone(e.Asked))
	a.set("live", starlark.Bool(e.Live))
	a.set("loading", starlark.Bool(e.Loading))
	a.set("serial", starlark.Bool(e.Serial))
	a.set("apart", starlark.Bool(e.Apart))

	a.say("id", fmt.Sprintf("%s, of kind %s, whose workers live for %s", quoteID(e.ID), e.Kind, shortly(e.TTL)))
	a.say("owner", fmt.Sprintf("%s (%s)", e.Owner, e.State))
	a.say("why", fmt.Sprintf("%s: index %d in the sorted list of %d members (view %s)", e.Rule, e.Index, e.Members, strconv.FormatUint(e.Epoch, 16)))
	if e.Via != "" {
		a.say("via", "requests go through "+e.Via+", because this node cannot reach "+e.Owner)
	}
	sayWorker(a, e)
	meanwhile := "each node answers its own requests, marked degraded"
	if e.Serial {
		meanwhile = "calls wait"
	}
	switch {
	case e.Fallback == "":
		a.say("if it fails", "no other node is alive to take over")
	case e.State == node.StateFailed:
		a.say("now", "the owner has failed: "+e.Fallback+" takes over when all members know it; until then "+meanwhile)
	default:
		a.say("if it fails", e.Fallback+" takes over when all members know it; until then "+meanwhile)
	}
	return a
}

// sayWorker describes the worker on the node that would get the request.
func sayWorker(a *account, e node.Explanation) {
	w := e.Worker
	age, ttl, hits, queue := starlark.Value(starlark.None), starlark.Value(starlark.None), starlark.Value(starlark.None), starlark.Value(starlark.None)
	switch {
	case !e.Live && e.Serial && e.Apart:
		a.say("worker", "none, and none starts on "+e.Asked+": it was disconnected, and its former cluster may serve the id")
		a.say("go on", "connect(...) to that cluster, or alone()")
	case !e.Live && e.Serial:
		a.say("worker", "none; a call would start one on "+e.Asked)
	case e.Loading && e.Serial:
		a.say("worker", fmt.Sprintf("busy on %s; %s", e.Asked, counted(w.Queue, "call waits", "calls wait")))
	case e.Live && e.Serial:
		a.say("worker", fmt.Sprintf("running on %s for %s, %s; %s",
			e.Asked, shortly(w.Age), expiry(w.TTL), counted(w.Hits, "call answered", "calls answered")))
	case !e.Live:
		a.say("worker", "none; a request would start one on "+e.Asked)
	case e.Loading:
		a.say("worker", fmt.Sprintf("loading on %s for %s; %s", e.Asked, shortly(w.Age), counted(w.Queue, "call waits", "calls wait")))
	default:
		a.say("worker", fmt.Sprintf("running on %s for %s, %s; %s from its value, %s",
			e.Asked, shortly(w.Age), expiry(w.TTL), counted(w.Hits, "call answered", "calls answered"), counted(w.Queue, "call waits", "calls wait")))
	}
	if e.Live {
		age, ttl = seconds(w.Age), seconds(w.TTL)
		hits, queue = starlark.MakeUint64(w.Hits), starlark.MakeInt(w.Queue)
	}
	a.set("age", age)
	a.set("ttl", ttl)
	a.set("hits", hits)
	a.set("queue", queue)
}

// expiry describes when a worker expires that has d left.
func expiry(d time.Duration) string {
	if left := shortly(d); left != "forever" {
		return "expires in " + left
	}
	return "never expires"
}

func counted[N int | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func orNone(s string) starlark.Value {
	if s == "" {
		return starlark.None
	}
	return starlark.String(s)
}

// shortly rounds a duration for people.
func shortly(d time.Duration) string {
	switch {
	case d > worker.Forever/2: // what is left of it, too
		return "forever"
	case d >= time.Hour:
		return d.Round(time.Minute).String()
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Millisecond).String()
}
