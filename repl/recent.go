package repl

import (
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node/worker"
)

// recentIDs are the ids of a session that completion offers: arguments of commands, newest
// first, and then ids in tables that were shown. They are used by the shell's goroutine.
type recentIDs struct {
	given, seen []worker.ID
}

const (
	maxGiven = 32
	maxSeen  = 64
)

// takesID reports whether the first argument of a command is an id.
func takesID(usage string) bool {
	_, params, _ := strings.Cut(usage, "(")
	return strings.HasPrefix(params, "id)") || strings.HasPrefix(params, "id,")
}

// typed notes the id that is an argument of a command, if there is a single one.
func (r *recentIDs) typed(args starlark.Tuple, kw []starlark.Tuple) {
	var v starlark.Value
	for _, pair := range kw {
		if pair[0] == starlark.String("id") {
			v = pair[1]
		}
	}
	if len(args) > 0 {
		v = args[0]
	}
	if v == nil {
		return
	}
	if id, err := toID(v); err == nil {
		r.given = newest(r.given, id, maxGiven)
	}
}

// shown notes the ids of a table that is shown: the first rows are offered first.
func (r *recentIDs) shown(v starlark.Value) {
	t, ok := v.(*table)
	if !ok {
		return
	}
	for _, row := range slices.Backward(t.rows[:min(len(t.rows), maxSeen)]) {
		v, _ := row.Attr("id")
		if v == nil {
			return
		}
		if id, err := toID(v); err == nil {
			r.seen = newest(r.seen, id, maxSeen)
		}
	}
}

// newest returns a list of at most so many ids with id as the first one.
func newest(list []worker.ID, id worker.ID, most int) []worker.ID {
	if i := slices.Index(list, id); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	return slices.Insert(list[:min(len(list), most-1)], 0, id)
}

// list returns the ids, each once.
func (r *recentIDs) list() []worker.ID {
	list := slices.Clone(r.given)
	for _, id := range r.seen {
		if !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}
