package repl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"golang.org/x/term"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A Format says how [Shell.RunCommand] writes the value of a command.
type Format uint8

const (
	FormatText Format = iota // as the shell shows it: a table, or lines with headings
	FormatJSON               // one line; records are objects, and durations are seconds
	FormatRaw                // the bytes of the value of one reply, and nothing else
)

// A Command is one command of the shell, for a program that has no other use for it.
type Command struct {
	Name string // such as request; h(NAME) in a shell describes it
	As   string // the name that errors begin with; empty: Name

	// Args are the arguments by name. Each is a string, a list of strings, a bool, an int,
	// or a [time.Duration], which the command gets in seconds. A list of ids has a row for
	// each; the text of an id is that of [worker.ParseID].
	Args map[string]any

	Timeout time.Duration // of each request; 0: the node's own, 5 s
	Format  Format
}

// maxCommandJSON is how many bytes the JSON of a command may have.
const maxCommandJSON = 1 << 30

// RunCommand runs one command and writes its value to Config.Out. It starts no process and
// runs no Starlark. Its error is that of the command, [ErrInterrupted] after SIGINT, or
// [ExitStatus] 1 if the value is written and says that something needs attention. Of a list
// of ids of which some have failed, the table is written, and the error counts them; the
// error of a single id is its own.
//
// If Config.Out is a terminal, its width and Config.Color decide how text is laid out.
// Commands that show something in place need Config.In to be that terminal, too.
func (sh *Shell) RunCommand(parent context.Context, c Command) error {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second one ends the process, whatever it waits for
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sh.setRunning(ctx, cancel) // so that output that is lost ends it
	defer sh.clearRunning()
	sh.format, sh.settings.timeout = c.Format, c.Timeout
	sh.decorate()
	v, err := sh.invoke(ctx, c)
	if lost := sh.lostOutput(); lost != nil {
		return lost
	}
	if err == nil {
		ids, _ := c.Args["id"].([]string)
		err = sh.output(cmp.Or(c.As, c.Name), v, len(ids) == 1)
	}
	if lost := sh.lostOutput(); lost != nil {
		return lost
	}
	switch {
	case parent.Err() != nil && err != nil:
		return fmt.Errorf("%w: %w", context.Cause(parent), err)
	case ctx.Err() != nil && err != nil:
		return fmt.Errorf("%w: %w", ErrInterrupted, err)
	}
	return err
}

// ErrInterrupted is the error of a command that SIGINT ended.
var ErrInterrupted = errInterrupted

// MayHaveRun reports whether the error of a command is that of a call whose outcome is
// unknown: it may have run.
func MayHaveRun(err error) bool {
	_, asked := errors.AsType[*requestError](err)
	return asked && node.OutcomeOf(err) == worker.OutcomeUnknown
}

// decorate has what is written fit a terminal, if it is written to one.
func (sh *Shell) decorate() {
	out, ok := sh.cfg.Out.(*os.File)
	if !ok || sh.format != FormatText || !term.IsTerminal(int(out.Fd())) {
		return
	}
	sh.style.colored = colored(sh.cfg.Color)
	if cols, _, err := term.GetSize(int(out.Fd())); err == nil {
		sh.width = cols
	}
}

// invoke calls a command. A panic in it is an error.
func (sh *Shell) invoke(ctx context.Context, c Command) (v starlark.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: internal error: %v", c.Name, r)
		}
	}()
	entry := sh.commandOf(starlark.String(c.Name))
	if entry == nil {
		return nil, fmt.Errorf("the shell has no command %q", c.Name)
	}
	r := &request{ctx: ctx, thread: &starlark.Thread{Name: c.Name}, name: cmp.Or(c.As, c.Name)}
	for name, arg := range c.Args {
		v, err := argument(arg)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", r.name, name, err)
		}
		r.kw = append(r.kw, starlark.Tuple{starlark.String(name), v})
	}
	if entry.screen {
		return sh.invokeOnScreen(entry, r)
	}
	return entry.run(sh, r)
}

// invokeOnScreen calls a command that needs a terminal, if there is one.
func (sh *Shell) invokeOnScreen(c *command, r *request) (starlark.Value, error) {
	term, _, err := sh.openTerminal()
	if err != nil {
		return nil, fmt.Errorf("open the terminal: %w", err)
	}
	if term != nil {
		defer term.Close()
		sh.setTerminal(term)
		defer sh.setTerminal(nil)
		defer term.Listen(sh.interrupt)()
		sh.settings.limit = terminalLimit
		sh.applyColor()
	}
	return c.run(sh, r)
}

// argument returns an argument of a [Command] as a value.
func argument(arg any) (starlark.Value, error) {
	switch arg := arg.(type) {
	case string:
		return starlark.String(arg), nil
	case []string:
		list := make([]starlark.Value, len(arg))
		for i, s := range arg {
			list[i] = starlark.String(s)
		}
		return starlark.NewList(list), nil
	case bool:
		return starlark.Bool(arg), nil
	case int:
		return starlark.MakeInt(arg), nil
	case time.Duration:
		return starlark.Float(arg.Seconds()), nil
	}
	return nil, fmt.Errorf("a %T is no argument of a command", arg)
}

// output writes the value of a command that was called by a name.
func (sh *Shell) output(name string, v starlark.Value, single bool) error {
	failed := sh.failed.failed
	if t, ok := v.(*table); ok && single && len(t.rows) == 1 {
		if failed > 0 {
			why, _ := t.rows[0].Attr("error")
			id, _ := t.rows[0].Attr("id")
			text, _ := starlark.AsString(why)
			return fmt.Errorf("%s(%s): %s", name, id, text)
		}
		if sh.format != FormatText {
			v = t.rows[0]
		}
	}
	if err := sh.emit(v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if failed > 0 {
		return fmt.Errorf("%s: %d of %s failed", name, failed, counted(sh.failed.all, "id", "ids"))
	}
	if a, ok := v.(*account); ok && a.bad {
		return ExitStatus(1)
	}
	return nil
}

// emit writes a value in the format of the command that runs.
func (sh *Shell) emit(v starlark.Value) error {
	switch {
	case v == starlark.None:
	case sh.format == FormatJSON:
		e := encoder{limit: maxCommandJSON, depth: maxNest}
		if err := e.value(v, 0); err != nil {
			return err
		}
		e.b.WriteByte('\n')
		sh.print(e.b.String())
	case sh.format == FormatRaw:
		value, ok := bareValue(v)
		if !ok {
			return errors.New("only the value of one reply can be written as it is")
		}
		if out, ok := sh.cfg.Out.(*os.File); ok && term.IsTerminal(int(out.Fd())) && !strings.HasSuffix(value, "\n") {
			value += "\n" // or the prompt of the user's shell would follow it
		}
		sh.print(value)
	default:
		sh.println(sh.display(v))
	}
	return nil
}

// bareValue returns the bytes of a reply, or of the row of one.
func bareValue(v starlark.Value) (string, bool) {
	if row, ok := v.(*record); ok && row.more != nil {
		v = row.more
	}
	r, ok := v.(reply)
	return r.Value.String(), ok
}
