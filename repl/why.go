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

	c := e.Custody
	setCustody(a, c)

	if c == nil {
		a.say("id", fmt.Sprintf("%s, of kind %s, whose workers live for %s", quoteID(e.ID), e.Kind, shortly(e.TTL)))
	} else {
		a.say("id", fmt.Sprintf("%s, of the strict kind %s, whose workers live for %s", quoteID(e.ID), e.Kind, shortly(e.TTL)))
	}
	owner := fmt.Sprintf("%s (%s)", e.Owner, e.State)
	if e.State == node.StateAlive {
		a.say("owner", owner)
	} else {
		a.warn("owner", owner)
	}
	a.say("why", fmt.Sprintf("%s: index %d in the sorted list of %s (view %s)", e.Rule, e.Index, members(e.Members), strconv.FormatUint(e.Epoch, 16)))
	if e.Via != "" {
		a.say("via", "requests go through "+e.Via+", because this node cannot reach "+e.Owner)
	}
	if c != nil {
		sayCustody(a, c)
	}
	sayWorker(a, e)
	if c != nil {
		sayWaits(a, c)
		return a
	}
	meanwhile := "each node answers its own requests, marked degraded"
	if e.Serial {
		meanwhile = "calls wait"
	}
	switch {
	case e.Fallback == "":
		a.say("if it fails", "no other node is alive to take over")
	case e.State == node.StateFailed:
		a.warn("now", "the owner has failed: "+e.Fallback+" takes over when all members know it; until then "+meanwhile)
	default:
		a.say("if it fails", e.Fallback+" takes over when all members know it; until then "+meanwhile)
	}
	return a
}

// setCustody adds the attributes of an id of a strict kind. They are None if c is nil.
func setCustody(a *account, c *worker.Custody) {
	names := []string{"acting", "lease", "view_epoch", "views", "quorum", "holders", "occupied", "waits", "runs", "stuck", "token"}
	if c == nil {
		for _, name := range names {
			a.set(name, starlark.None)
		}
		return
	}
	var holders []starlark.Value
	for _, h := range c.Holders {
		holders = append(holders, &record{kind: "holder", fields: []string{"member", "view_epoch", "busy"}, values: starlark.Tuple{
			starlark.String(h.Member), starlark.MakeUint64(h.Epoch), starlark.MakeInt(h.Busy),
		}})
	}
	token := ""
	if c.Token != (worker.Token{}) {
		token = c.Token.String()
	}
	for i, v := range []starlark.Value{
		orNone(c.Acting), seconds(c.Lease), starlark.MakeUint64(c.Epoch), starlark.MakeInt(c.Views), starlark.Bool(c.Quorum.Quorum),
		starlark.NewList(holders), orNone(c.Occupied), orNone(c.Waits), seconds(c.Runs), starlark.Bool(c.Stuck), orNone(token),
	} {
		a.set(names[i], v)
	}
}

// sayCustody says who acts for an id of a strict kind, and by which right.
func sayCustody(a *account, c *worker.Custody) {
	switch {
	case c.Epoch == 0:
		a.warn("acts", "nobody yet, as far as "+c.Node+" knows: it has no view of the voters")
	case c.Acting == "":
		a.warn("acts", fmt.Sprintf("nobody: all members have failed in view %d of the voters", c.Epoch))
	case c.Acting != c.Node:
		a.say("acts", fmt.Sprintf("%s, in view %d of the voters, the newest one that %s has", c.Acting, c.Epoch, c.Node))
	default:
		a.say("acts", fmt.Sprintf("%s, in view %d of the voters", c.Acting, c.Epoch))
	}
	if c.Lease > 0 {
		a.say("lease", fmt.Sprintf("%s has one for another %s, unless it is renewed", c.Node, shortly(c.Lease)))
	} else {
		a.warn("lease", c.Node+" has none, and starts no call")
	}
	for _, h := range c.Holders {
		busy := "until it gives that up, or its lease has ended"
		if h.Busy > 0 {
			busy = "and still runs calls of " + counted(h.Busy, "id", "ids")
		}
		a.say("older view", fmt.Sprintf("%s holds view %d, %s", h.Member, h.Epoch, busy))
	}
}

// sayWaits says what a call of an id of a strict kind waits for, or what becomes of it.
func sayWaits(a *account, c *worker.Custody) {
	if c.Token != (worker.Token{}) {
		a.say("token", c.Token.String()+", of the last call")
	}
	if c.Waits != "" {
		a.warn("waits for", c.Waits)
	} else {
		a.say("if it fails", "calls wait for the end of its lease; then another node acts for the id, if a majority of the voters can be reached")
	}
	switch {
	case c.Stuck:
		a.say("go on", "wait, or stop(id, kind, force=True): then only the token protects what the call still changes")
	case c.Occupied != "":
		a.say("go on", "wait; if a call on "+c.Occupied+" does not end, stop(id, kind, force=True): then only the token protects what it still changes")
	}
}

// sayWorker describes the worker on the node that would get the request.
func sayWorker(a *account, e node.Explanation) {
	w := e.Worker
	age, ttl, hits, queue := starlark.Value(starlark.None), starlark.Value(starlark.None), starlark.Value(starlark.None), starlark.Value(starlark.None)
	switch {
	case !e.Live && e.Serial && e.Apart:
		a.say("worker", "none, and none starts on "+e.Asked+": it was disconnected, and its former cluster may serve the id")
		a.say("go on", "connect(...) to that cluster, or alone()")
	case e.Custody != nil && !e.Live && e.Custody.Waits != "":
		a.say("worker", "none on "+e.Asked)
	case !e.Live && e.Serial:
		a.say("worker", "none; a call would start one on "+e.Asked)
	case e.Custody != nil && e.Loading && e.Custody.Runs > 0:
		a.say("worker", fmt.Sprintf("busy on %s with a call for %s; %s", e.Asked, shortly(e.Custody.Runs), counted(w.Queue, "call waits", "calls wait")))
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

// members returns a number of members in words.
func members(n int) string {
	if n == 1 {
		return "1 member"
	}
	return strconv.Itoa(n) + " members"
}
