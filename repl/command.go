package repl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	starmath "go.starlark.net/lib/math"
	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// A command is one entry of the table that drives dispatch, help and completion.
type command struct {
	usage   string // its name and arguments
	help    string // one line
	example string // an example, and its output
	aliases []string
	bare    bool // its name alone runs it
	screen  bool // it draws on a terminal
	run     func(*Shell, *request) (starlark.Value, error)
	value   starlark.Value // the value of the name in a program
}

func (c *command) name() string {
	name, _, _ := strings.Cut(c.usage, "(")
	return name
}

// parameters returns the names of the arguments.
func (c *command) parameters() []string {
	_, list, _ := strings.Cut(strings.TrimSuffix(c.usage, ")"), "(")
	var names []string
	for param := range strings.SplitSeq(list, ", ") {
		if name, _, _ := strings.Cut(param, "="); name != "" && name[0] != '*' {
			names = append(names, name)
		}
	}
	return names
}

// A request is one call of a command.
type request struct {
	ctx    context.Context
	thread *starlark.Thread
	name   string
	args   starlark.Tuple
	kw     []starlark.Tuple
}

// unpack assigns the arguments to the named variables, as [starlark.UnpackArgs] does.
func (r *request) unpack(pairs ...any) error {
	return starlark.UnpackArgs(r.name, r.args, r.kw, pairs...)
}

const contextKey = "context" // thread-local: the context, which ends with the input

// builtin makes a command callable. A panic in it ends the input, not the process.
func (sh *Shell) builtin(c *command) *starlark.Builtin {
	return starlark.NewBuiltin(c.name(), func(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (v starlark.Value, err error) {
		defer func() {
			if r := recover(); r != nil {
				v, err = nil, fmt.Errorf("%s: internal error: %v", b.Name(), r)
			}
		}()
		ctx := t.Local(contextKey).(context.Context)
		if takesID(c.usage) {
			sh.recent.typed(args, kw)
		}
		return c.run(sh, &request{ctx: ctx, thread: t, name: b.Name(), args: args, kw: kw})
	})
}

// predeclared returns the names that a program can use besides Starlark's own.
func (sh *Shell) predeclared() starlark.StringDict {
	names := starlark.StringDict{
		argsName: sh.args(),
		"math":   starmath.Module,
		"time":   startime.Module,
		"range":  starlark.NewBuiltin("range", boundedRange),
		showName: starlark.NewBuiltin(showName, sh.show),
		keepName: starlark.NewBuiltin(keepName, sh.show),
	}
	sh.boundSteps(names)
	for i := range sh.commands {
		c := &sh.commands[i]
		c.value = sh.builtin(c)
		if module, ok := names[c.name()].(*starlarkstruct.Module); ok {
			c.value = &callableModule{Builtin: sh.builtin(c), module: module}
		}
		names[sourceName(c.name())] = c.value
		for _, alias := range c.aliases {
			module, member, _ := strings.Cut(alias, ".")
			if names[module] == nil {
				names[module] = &starlarkstruct.Module{Name: module, Members: starlark.StringDict{}}
			}
			names[module].(*starlarkstruct.Module).Members[member] = c.value
		}
	}
	return names
}

// A callableModule is a command that has the name of a module, and the module's
// attributes: time.
type callableModule struct {
	*starlark.Builtin
	module *starlarkstruct.Module
}

func (m *callableModule) Attr(name string) (starlark.Value, error) { return m.module.Attr(name) }
func (m *callableModule) AttrNames() []string                      { return m.module.AttrNames() }

// commandOf returns the table's entry for a value, or nil.
func (sh *Shell) commandOf(v starlark.Value) *command {
	for i := range sh.commands {
		c := &sh.commands[i]
		switch v := v.(type) {
		case starlark.String:
			if string(v) == c.name() || slices.Contains(c.aliases, string(v)) {
				return c
			}
		case *starlark.Builtin, *callableModule:
			if v == c.value {
				return c
			}
		}
	}
	return nil
}

func (sh *Shell) isBare(v starlark.Value) bool {
	if _, text := v.(starlark.String); text {
		return false
	}
	c := sh.commandOf(v)
	return c != nil && c.bare
}

// names returns every name that a program can read, sorted.
func (sh *Shell) names() []string {
	all := append(slices.Collect(maps.Keys(sh.globals)), starlark.Universe.Keys()...)
	for i, name := range all {
		all[i] = shownName(name)
	}
	all = slices.DeleteFunc(all, func(name string) bool {
		return strings.IndexFunc(name, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) >= 0
	})
	slices.Sort(all)
	return slices.Compact(all)
}

// maxRange is how many numbers a range may have. A range itself costs nothing, but
// list(range(1 << 40)) would exhaust the memory of the process.
const maxRange = 10_000_000

func boundedRange(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
	v, err := starlark.Call(t, starlark.Universe["range"], args, kw)
	if starlark.Len(v) > maxRange {
		return nil, fmt.Errorf("range: %d numbers, of at most %d; use while", starlark.Len(v), maxRange)
	}
	return v, err
}
