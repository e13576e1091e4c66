package repl

import (
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node/placement"
)

// info describes a value.
func (sh *Shell) info(r *request) (starlark.Value, error) {
	var v starlark.Value
	if err := r.unpack("x?", &v); err != nil {
		return nil, err
	}
	if v == nil {
		if v = sh.globals["_"]; v == nil {
			v = starlark.None
		}
	}
	a := &account{}
	a.say("value", style{limit: 20}.inline(v))
	a.say("type", v.Type())
	if c := sh.commandOf(v); c != nil {
		if _, text := v.(starlark.String); !text {
			a.say("command", c.usage+": "+c.help)
		}
	} else if f, ok := v.(*starlark.Function); ok {
		a.say("function", signature(f))
		a.say("defined", "at "+whereOf(f))
		doc, _, _ := strings.Cut(strings.TrimSpace(f.Doc()), "\n")
		if doc != "" {
			a.say("says", doc)
		}
	}
	if answer, ok := v.(reply); ok {
		sayReply(a, answer, time.Now())
	} else if n := starlark.Len(v); n >= 0 {
		a.say("length", fmt.Sprint(n))
	}
	sh.sayPlace(a, r, v)
	if attrs, ok := v.(starlark.HasAttrs); ok {
		a.say("attributes", "."+strings.Join(attrs.AttrNames(), " ."))
	}
	sh.println(a.styled(sh.style))
	return starlark.None, nil
}

func sayReply(a *account, r reply, now time.Time) {
	if t := r.Value.MediaType(); t != "" {
		a.say("media type", t)
	}
	a.say("node", r.Node)
	from := "made for this request"
	if r.Cached {
		from = "the worker had it already"
	}
	a.say("from", from)
	if r.Stale {
		a.warn("stale", "the value is past its TTL, and was being loaded anew")
	}
	if r.Degraded {
		a.warn("degraded", "the owner could not be reached: a worker of another node answered")
	}
	if r.Via != "" {
		a.say("via", r.Via+" passed the request on: it could not be sent to "+r.Node+" directly")
	}
	if !r.Token.IsZero() {
		a.say("token", r.Token.String())
	}
	since := max(0, now.Sub(r.at))
	a.say("age", shortly(r.Age+since)+", since the worker started")
	if left := r.TTL - since; left > 0 {
		a.say("ttl left", shortly(left))
	} else {
		a.say("ttl left", "none: the worker has expired")
	}
}

// sayPlace describes the node if v is a node's name, or else the owner of the id.
func (sh *Shell) sayPlace(a *account, r *request, v starlark.Value) {
	id, err := toID(v)
	if err != nil {
		return
	}
	ctx, cancel := sh.bounded(r.ctx)
	defer cancel()
	if s, ok := starlark.AsString(v); ok && strings.Contains(s, "@") {
		members, _ := sh.cluster.Members(ctx)
		for _, m := range members {
			if m.Name == s {
				a.say("node", fmt.Sprintf("%s at %s, incarnation %x", m.State, m.Addr, m.Incarnation))
				return
			}
		}
		if _, err := placement.ParseAddr(s); err == nil {
			a.say("node", "the name of a node, but of none that is known")
		}
		return
	}
	if owner, err := sh.cluster.Owner(ctx, id); err == nil {
		a.say("as an id", "owned by "+owner)
	}
}
