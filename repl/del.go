package repl

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/distproc/distproc/wire/text"
)

// nameDeleted has each del(x) of a statement pass the name of the variable instead of its
// value.
func nameDeleted(stmt syntax.Stmt) {
	syntax.Walk(stmt, func(n syntax.Node) bool {
		c, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		if fn, ok := c.Fn.(*syntax.Ident); !ok || fn.Name != delAs {
			return true
		}
		for i, arg := range c.Args {
			if id, ok := arg.(*syntax.Ident); ok {
				name := shownName(id.Name)
				c.Args[i] = &syntax.Literal{Token: syntax.STRING, TokenPos: id.NamePos, Raw: strconv.Quote(name), Value: name}
			}
		}
		return true
	})
}

// forgets reports whether a statement of a file only calls del or reset.
func forgets(stmt syntax.Stmt) bool {
	s, ok := stmt.(*syntax.ExprStmt)
	if !ok {
		return false
	}
	call, ok := s.X.(*syntax.CallExpr)
	if !ok {
		return false
	}
	fn, ok := call.Fn.(*syntax.Ident)
	return ok && (fn.Name == delAs || fn.Name == "reset")
}

// Python's statement del, of variables and of elements.
var (
	delNames   = regexp.MustCompile(`(?:^|[;:\s])del\s+([\pL_][\pL\pN_]*(?:\s*,\s*[\pL_][\pL\pN_]*)*)\s*(?:$|[;#])`)
	delElement = regexp.MustCompile(`(?:^|[;:\s])del\s+([\pL_][\pL\pN_.]*)\[(.+)\]\s*(?:$|[;#])`)
)

// ofDel returns the message of a syntax error, or what to write instead if the line has
// Python's del.
func ofDel(line, msg string) string {
	if m := delNames.FindStringSubmatch(line); m != nil {
		names := strings.Split(m[1], ",")
		for i, name := range names {
			names[i] = strconv.Quote(strings.TrimSpace(name))
		}
		return "Starlark has no statement del; use del(" + strings.Join(names, ", ") + ")"
	}
	if m := delElement.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("Starlark has no statement del; use %s.pop(%s)", m[1], m[2])
	}
	return msg
}

// del forgets variables. What had their names before they were assigned is back.
func (sh *Shell) del(r *request) (starlark.Value, error) {
	if len(r.kw) > 0 || len(r.args) == 0 {
		return nil, errors.New(`del: takes names of variables, such as del(x) or del("x")`)
	}
	for _, arg := range r.args {
		name, ok := starlark.AsString(arg)
		if !ok {
			return nil, fmt.Errorf(`del: %s is no name; in an expression say del("x")`, article(arg))
		}
		name = sourceName(name)
		if v, known := sh.globals[name]; (!known || v == sh.built[name]) && !assigns(r.thread, name) {
			return nil, fmt.Errorf("del: there is no variable %s%s", shownName(name), sh.hint(name))
		}
		sh.dropName(name)
	}
	return starlark.None, nil
}

// assigns reports whether the input that runs has assigned to a name by now. Its variables
// become the shell's when it ends.
func assigns(thread *starlark.Thread, name string) bool {
	input, ok := thread.DebugFrame(thread.CallStackDepth() - 1).Callable().(*starlark.Function)
	return ok && input.Globals().Has(name)
}

// hint suggests a variable for a misspelled name.
func (sh *Shell) hint(name string) string {
	var own []string
	for known, v := range sh.globals {
		if v != sh.built[known] {
			own = append(own, known)
		}
	}
	slices.Sort(own)
	if near := text.Nearest(name, own); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}

func (sh *Shell) dropName(name string) {
	delete(sh.globals, name)
	if built := sh.built[name]; built != nil {
		sh.globals[name] = built
	}
	sh.forgotten = append(sh.forgotten, name)
}

// reset forgets all variables and values. Settings stay.
func (sh *Shell) reset(r *request) (starlark.Value, error) {
	if err := r.unpack(); err != nil {
		return nil, err
	}
	for _, name := range slices.Collect(maps.Keys(sh.globals)) {
		if sh.globals[name] != sh.built[name] && !strings.HasPrefix(name, "(") { // the shell's own
			sh.dropName(name)
		}
	}
	clear(sh.values)
	return starlark.None, nil
}
