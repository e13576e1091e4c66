package repl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	starjson "go.starlark.net/lib/json"
	starmath "go.starlark.net/lib/math"
	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// A command is one entry of the table that drives dispatch, help and completion.
type command struct {
	usage   string // its name and arguments
	help    string // one line
	example string // of use, and what it shows
	aliases []string
	bare    bool // it runs when it is only named
	run     func(*Shell, *request) (starlark.Value, error)
}

// commands returns the table. It is a function, as help reads the table of which it is a part.
func commands() []command {
	return []command{
		{
			usage:   "connect(*names)",
			help:    "connect to the named nodes; without a name, to 1 to 5 at the own host",
			example: `connect("2@127.0.0.1")   # shows true or false, and why, for each`,
			aliases: []string{"DistributedProcess.connect"},
			bare:    true,
			run:     (*Shell).connect,
		},
		{
			usage:   "request(id)",
			help:    "ask the one worker of an id, on the node that owns it",
			example: `r = request(1)   # {454, 2@127.0.0.1}; r.value r.node r.cached r.degraded r.age r.ttl`,
			aliases: []string{"DistributedProcess.request"},
			run:     (*Shell).request,
		},
		{
			usage:   "nodes()",
			help:    "the names of the nodes that are alive, in order",
			example: `nodes()   # ["1@127.0.0.1", "2@127.0.0.1"]`,
			aliases: []string{"Node.list"},
			bare:    true,
			run:     (*Shell).nodes,
		},
		{
			usage:   "node()",
			help:    "the name of the node as which commands run",
			example: `node()   # "1@127.0.0.1"`,
			aliases: []string{"Node.self"},
			bare:    true,
			run:     (*Shell).node,
		},
		{
			usage:   "owner(id)",
			help:    "the node that owns an id",
			example: `owner(1)   # "2@127.0.0.1"`,
			run:     (*Shell).owner,
		},
		{
			usage:   "workers()",
			help:    "the live workers of the cluster",
			example: `[w.id for w in workers() if w.hits > 10]`,
			bare:    true,
			run:     (*Shell).workers,
		},
		{
			usage:   "sleep(seconds)",
			help:    "wait; Ctrl-C ends it",
			example: `sleep(5.2)`,
			run:     (*Shell).sleep,
		},
		{
			usage:   "h(command)",
			help:    "show all commands, or how to use one",
			example: `h(request)`,
			bare:    true,
			run:     (*Shell).help,
		},
		{
			usage:   "exit(status)",
			help:    "leave the shell; the status is 0 unless given",
			example: `exit()`,
			bare:    true,
			run:     (*Shell).exit,
		},
	}
}

func (c *command) name() string {
	name, _, _ := strings.Cut(c.usage, "(")
	return name
}

// A request is one call of a command.
type request struct {
	ctx  context.Context
	name string
	args starlark.Tuple
	kw   []starlark.Tuple
}

// unpack assigns the arguments to the named variables, as [starlark.UnpackArgs] does.
func (r *request) unpack(pairs ...any) error {
	return starlark.UnpackArgs(r.name, r.args, r.kw, pairs...)
}

const contextKey = "context" // of a thread: the context that ends with the input

// builtin makes a command callable. A panic in it ends the input, not the process.
func (sh *Shell) builtin(c *command) *starlark.Builtin {
	return starlark.NewBuiltin(c.name(), func(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (v starlark.Value, err error) {
		defer func() {
			if r := recover(); r != nil {
				v, err = nil, fmt.Errorf("%s: internal error: %v", b.Name(), r)
			}
		}()
		ctx := t.Local(contextKey).(context.Context)
		return c.run(sh, &request{ctx: ctx, name: b.Name(), args: args, kw: kw})
	})
}

// predeclared returns what a program finds besides Starlark's own names.
func (sh *Shell) predeclared() starlark.StringDict {
	names := starlark.StringDict{
		"json":   starjson.Module,
		"math":   starmath.Module,
		"time":   startime.Module,
		"range":  starlark.NewBuiltin("range", boundedRange),
		showName: starlark.NewBuiltin(showName, sh.show),
	}
	for i := range sh.commands {
		c := &sh.commands[i]
		b := sh.builtin(c)
		names[c.name()] = b
		for _, alias := range c.aliases {
			module, member, _ := strings.Cut(alias, ".")
			if names[module] == nil {
				names[module] = &starlarkstruct.Module{Name: module, Members: starlark.StringDict{}}
			}
			names[module].(*starlarkstruct.Module).Members[member] = b
		}
	}
	return names
}

// commandOf returns the table's entry for a value, or nil.
func (sh *Shell) commandOf(v starlark.Value) *command {
	for i := range sh.commands {
		if c := &sh.commands[i]; sh.isCommand(v, c) {
			return c
		}
	}
	return nil
}

func (sh *Shell) isCommand(v starlark.Value, c *command) bool {
	switch v := v.(type) {
	case starlark.String:
		return string(v) == c.name() || slices.Contains(c.aliases, string(v))
	case *starlark.Builtin:
		return v.Name() == c.name() && v.Receiver() == nil && !starlark.Universe.Has(v.Name())
	}
	return false
}

func (sh *Shell) isBare(b *starlark.Builtin) bool {
	c := sh.commandOf(b)
	return c != nil && c.bare
}

// names returns every name that a program can read, in order.
func (sh *Shell) names() []string {
	all := append(slices.Collect(maps.Keys(sh.globals)), starlark.Universe.Keys()...)
	all = slices.DeleteFunc(all, func(name string) bool {
		return strings.IndexFunc(name, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) >= 0
	})
	slices.Sort(all)
	return slices.Compact(all)
}

// maxRange is how many numbers a range may have. The length of a range costs nothing, but what is
// made of it does: list(range(1 << 40)) would end the process.
const maxRange = 10_000_000

func boundedRange(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
	v, err := starlark.Call(t, starlark.Universe["range"], args, kw)
	if err == nil && starlark.Len(v) > maxRange {
		return nil, fmt.Errorf("range: %d numbers, of at most %d; use while", starlark.Len(v), maxRange)
	}
	return v, err
}
