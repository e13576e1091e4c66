package repl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// Names that no program can write, for the statements that the shell adds to a program.
const (
	showName = "(show)" // shows the value of an expression statement
	keepName = "(keep)" // likewise of a call of every, unless every has shown it
	stepName = "(step)" // runs before each statement of a file
	oldName  = "(old) " // prefix: the value of a variable before the chunk

	lastName = "_" // the value of the last expression statement
)

var errInterrupted = errors.New("interrupted")

// exec runs a chunk and keeps its variables. Its error is a *failure or an [ExitStatus].
//
// Ctrl-C and ctx stop Starlark code between two of its steps, and commands at once.
// Growth of the heap stops a program, too. A single step that computes for long, such as
// to sort ten million elements, cannot be stopped; then Config.Quit ends the process
// (memory.go).
func (sh *Shell) exec(ctx context.Context, c *chunk) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sh.setRunning(ctx, cancel)
	defer sh.clearRunning()
	sh.typed.skip = false
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
		}
		if err != nil {
			err = sh.failure(ctx, c, err)
		}
	}()

	thread := &starlark.Thread{
		Name:  c.name,
		Print: func(_ *starlark.Thread, msg string) { sh.println(msg) },
	}
	thread.SetMaxExecutionSteps(sh.maxSteps)
	thread.SetLocal(contextKey, ctx)
	defer context.AfterFunc(ctx, func() { thread.Cancel("stopped") })()
	defer sh.guard(ctx, c, cancel)()
	if c.input {
		sh.sources.keep(c)
	}
	return sh.runChunk(thread, c)
}

const quietKey = "quiet" // of a thread: set while it shows no values

// runChunk runs a chunk, which another chunk may have loaded.
func (sh *Shell) runChunk(thread *starlark.Thread, c *chunk) error {
	if c.quiet {
		defer thread.SetLocal(quietKey, thread.Local(quietKey))
		thread.SetLocal(quietKey, true)
		last, had := sh.globals[lastName]
		defer func() { // the file has one of its own
			if delete(sh.globals, lastName); had {
				sh.globals[lastName] = last
			}
		}()
	}
	for _, part := range c.parts() {
		if err := sh.runPart(thread, part); err != nil {
			return err
		}
	}
	return nil
}

// runPart runs a part of a chunk, and keeps its variables.
func (sh *Shell) runPart(thread *starlark.Thread, c *chunk) error {
	names := sh.prepare(c)
	program, err := starlark.FileProgram(c.file, names)
	if err != nil {
		return err
	}
	defer sh.forgetOld()
	outer := sh.forgotten
	sh.forgotten = nil
	vars, err := program.Init(thread, sh.globals)
	for _, name := range sh.forgotten {
		delete(vars, name)
	}
	sh.forgotten = append(outer, sh.forgotten...)
	sh.warn(vars)
	maps.Copy(sh.globals, vars)
	return err
}

// warn tells a user at a terminal of variables that hide a command or module from now on.
func (sh *Shell) warn(vars starlark.StringDict) {
	if sh.cols() == 0 {
		return
	}
	for _, name := range vars.Keys() {
		if sh.globals[name] != sh.built[name] {
			continue
		}
		if what := sh.hides(name, vars[name]); what != "" {
			sh.println(sh.style.odd(fmt.Sprintf("(%s is your variable now; del(%q) brings the %s back)", name, name, what)))
		}
	}
}

// hides returns what a variable with that name and value hides: a command, a module, or ""
// for nothing.
func (sh *Shell) hides(name string, v starlark.Value) string {
	built := sh.built[sourceName(name)]
	if built == nil || v == nil || v == built {
		return ""
	}
	switch built.(type) {
	case *starlarkstruct.Module:
		return "module"
	case starlark.Callable:
		return "command"
	}
	return ""
}

// prepare rewrites a chunk so that it shows the values of its expression statements, and
// returns which names it may read.
//
// Starlark gives every program global variables of its own. The shell's variables are
// passed as predeclared ones, which a function looks up when it runs, so that it sees
// later changes as in any other shell. A chunk that assigns to a variable has its own one
// of that name, which starts as the shell's: x = (old) x is put in front.
func (sh *Shell) prepare(c *chunk) func(string) bool {
	var stmts []syntax.Stmt
	forward := c.forward || c.loads() // the names of a file, and functions written before what they call
	for _, name := range assigned(c.file.Stmts) {
		if v, ok := sh.globals[name]; ok {
			sh.globals[oldName+name] = v
			pos := syntax.Start(c.file.Stmts[0])
			stmts = append(stmts, &syntax.AssignStmt{
				OpPos: pos, Op: syntax.EQ, LHS: ident(name, pos), RHS: ident(oldName+name, pos),
			})
		}
	}
	steps := c.whole && !c.quiet
	if steps {
		sh.globals[stepName] = sh.stepper(c)
	}
	for i, stmt := range c.file.Stmts {
		if steps {
			stmts = append(stmts, &syntax.ExprStmt{X: callOf(stepName, stmt, &syntax.Literal{
				Token: syntax.INT, TokenPos: syntax.Start(stmt), Value: int64(syntax.End(stmt).Line),
			})})
		}
		nameDeleted(stmt)
		boundProducts(stmt)
		switch s := stmt.(type) {
		case *syntax.DefStmt:
			forward = forward || !c.whole
		case *syntax.ExprStmt:
			if lit, ok := s.X.(*syntax.Literal); c.whole && !c.later && i == 0 && len(c.file.Stmts) > 1 && ok && lit.Token == syntax.STRING {
				break // what a file says of itself
			}
			show := showName
			if call, ok := s.X.(*syntax.CallExpr); ok {
				if fn, ok := call.Fn.(*syntax.Ident); ok && fn.Name == "every" {
					show = keepName
				}
			}
			s.X = callOf(show, s, s.X)
		}
		stmts = append(stmts, stmt)
	}
	c.file.Stmts = stmts
	return func(name string) bool {
		return sh.globals.Has(name) || name == lastName || forward && !starlark.Universe.Has(name)
	}
}

// stepper returns the function that runs before each statement of a file. Its argument is
// the statement's last line. It counts statements as Run does and echoes the lines up to
// there.
func (sh *Shell) stepper(c *chunk) *starlark.Builtin {
	return starlark.NewBuiltin(stepName, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		end, err := starlark.AsInt32(args[0])
		if err != nil {
			return nil, err
		}
		if *c.shown > 0 {
			sh.count++
		}
		if end > *c.shown {
			if sh.cfg.Echo {
				sh.echo(c.lines[*c.shown:end])
			}
			*c.shown = end
		}
		return starlark.None, nil
	})
}

// show prints the value of an expression statement, and keeps it as _. A command that
// needs no arguments runs when it is only named.
func (sh *Shell) show(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	v := args[0]
	if sh.isBare(v) {
		var err error
		if v, err = starlark.Call(thread, v, nil, nil); err != nil {
			return nil, err
		}
	}
	if v == starlark.None {
		return v, nil
	}
	sh.globals[lastName] = v
	if thread.Local(quietKey) == nil {
		sh.keep(v)
		sh.recent.shown(v)
		if b.Name() != keepName || v != sh.shown {
			sh.println(sh.display(v))
		}
	}
	return starlark.None, nil
}

func (sh *Shell) forgetOld() {
	maps.DeleteFunc(sh.globals, func(name string, _ starlark.Value) bool {
		return strings.HasPrefix(name, oldName)
	})
}

// assigned returns the global variables to which the statements assign, functions aside.
func assigned(stmts []syntax.Stmt) []string {
	names := make(map[string]bool)
	var target func(syntax.Expr)
	target = func(x syntax.Expr) {
		switch x := x.(type) {
		case *syntax.Ident:
			names[x.Name] = true
		case *syntax.ParenExpr:
			target(x.X)
		case *syntax.TupleExpr:
			for _, x := range x.List {
				target(x)
			}
		case *syntax.ListExpr:
			for _, x := range x.List {
				target(x)
			}
		}
	}
	var walk func([]syntax.Stmt)
	walk = func(stmts []syntax.Stmt) {
		for _, stmt := range stmts {
			switch s := stmt.(type) {
			case *syntax.AssignStmt:
				target(s.LHS)
			case *syntax.ForStmt:
				target(s.Vars)
				walk(s.Body)
			case *syntax.WhileStmt:
				walk(s.Body)
			case *syntax.IfStmt:
				walk(s.True)
				walk(s.False)
			case *syntax.DefStmt:
				names[s.Name.Name] = true
			}
		}
	}
	walk(stmts)
	return slices.Sorted(maps.Keys(names))
}

func ident(name string, pos syntax.Position) *syntax.Ident {
	return &syntax.Ident{Name: name, NamePos: pos}
}

func callOf(name string, at syntax.Node, arg syntax.Expr) *syntax.CallExpr {
	start, end := at.Span()
	return &syntax.CallExpr{Fn: ident(name, start), Lparen: start, Args: []syntax.Expr{arg}, Rparen: end}
}
