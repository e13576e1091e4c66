package repl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/distproc/distproc/wire/text"
)

// A failure says why a program stopped, and where.
type failure struct {
	kind     string // such as SyntaxError; stands in a terminal
	msg      string // one line
	spot            // where the program stopped
	function string // there; empty outside of functions
	calls    []call // that led there, outermost first
	err      error
}

// A spot is in a file, or in an input that has its number for a name: [3].
type spot struct {
	name      string
	line, col int // from 1; 0 is unknown
}

func (p spot) String() string {
	if p.line == 0 {
		return p.name
	}
	return fmt.Sprintf("%s:%d:%d", p.name, p.line, p.col)
}

// A call is a place at which a function calls another one.
type call struct {
	spot
	function string // there; empty outside of functions
}

// Error returns NAME:LINE:COL: message, and a line for each call that led there, innermost
// last.
func (f *failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", f.spot, f.msg)
	left := skipped(len(f.calls))
	for i, c := range f.calls {
		switch {
		case i == left.first:
			b.WriteString("\n  " + left.String())
		case i < left.first || i >= left.end:
			b.WriteString("\n  called at " + c.String())
			if c.function != "" {
				b.WriteString(" in " + c.function)
			}
		}
	}
	return b.String()
}

// A gap are the calls that are not shown.
type gap struct{ first, end int }

// maxCalls is how many calls are shown at the beginning, and at the end.
const maxCalls = 5

func skipped(calls int) gap {
	if calls <= 2*maxCalls+1 {
		return gap{calls, calls}
	}
	return gap{maxCalls, calls - maxCalls}
}

func (g gap) String() string { return fmt.Sprintf("… %d more calls", g.end-g.first) }

func (f *failure) Unwrap() error { return f.err }

// failure returns the failure of a chunk, or the ExitStatus that the chunk asked for.
func (sh *Shell) failure(ctx context.Context, c *chunk, err error) error {
	if status, ok := errors.AsType[ExitStatus](err); ok {
		return status
	}
	if cause := context.Cause(ctx); errors.Is(cause, errLost) {
		return cause
	}
	f := failureOf(err, sh.names())
	if f.line == 0 {
		f.spot = spot{c.name, c.first, 1}
	}
	f.msg += sh.hidden(f, c)
	var req *requestError
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errInterrupted) || errors.Is(cause, errMemory):
		f.kind, f.msg = "Interrupted", cause.Error()
	case cause != nil:
		f.kind, f.msg = "Interrupted", errInterrupted.Error()
	case errors.As(err, &req):
		f.kind = "RequestError"
	}
	return f
}

// failureOf converts errors of the parser, the resolver and the interpreter. It suggests
// one of names for an unknown name.
func failureOf(err error, names []string) *failure {
	var eval *starlark.EvalError
	if f, ok := errors.AsType[*failure](err); ok { // of a file that did not parse
		if errors.As(err, &eval) {
			f.calls = callsOf(eval.CallStack)
		}
		return f
	}
	f := &failure{kind: "Error", msg: err.Error(), err: err}
	var pos syntax.Position
	var parse syntax.Error
	var resolved resolve.ErrorList
	switch {
	case errors.As(err, &parse):
		f.kind, f.msg, pos = "SyntaxError", ofPython(parse.Msg), parse.Pos
	case errors.As(err, &resolved):
		f.kind, f.msg, pos = "SyntaxError", resolved[0].Msg, resolved[0].Pos
	case errors.As(err, &eval):
		f.msg = eval.Msg
		if calls := callsOf(eval.CallStack); len(calls) > 0 {
			last := len(calls) - 1
			f.calls, f.spot, f.function = calls[:last], calls[last].spot, calls[last].function
		}
		// A function read a variable before it had a value.
		if s, ok := strings.CutPrefix(f.msg, "internal error: predeclared variable "); ok {
			f.msg = "undefined: " + strings.TrimSuffix(s, " is uninitialized")
		}
	}
	f.msg = shownName(f.msg)
	if name, ok := strings.CutPrefix(f.msg, "undefined: "); ok {
		f.kind = "NameError"
		name, _, hinted := strings.Cut(name, " ")
		if near := text.Nearest(name, names); near != "" && !hinted {
			f.msg += fmt.Sprintf(" (did you mean %s?)", near)
		}
	}
	if pos.Line > 0 {
		f.spot = spotOf(pos)
		if errors.As(err, &eval) { // that loaded the file
			f.calls = callsOf(eval.CallStack)
		}
	}
	f.msg = printable(f.msg)
	return f
}

// hidden says how to get the command or module back that a variable hides, if a program
// has failed because it used the variable as one. C is the input that runs.
func (sh *Shell) hidden(f *failure, c *chunk) string {
	if !strings.HasPrefix(f.msg, "invalid call of non-function") && !strings.Contains(f.msg, " has no .") {
		return ""
	}
	line, ok := sh.line(f.spot, c)
	if !ok || f.col < 1 {
		return ""
	}
	before := []rune(line)
	before = before[:min(f.col-1, len(before))]
	start := len(before)
	for start > 0 && identifier(string(before[start-1:start])) != "" {
		start--
	}
	name := string(before[start:])
	if what := sh.hides(name, sh.globals[sourceName(name)]); what != "" {
		return fmt.Sprintf("; %s is your variable here, and del(%[1]q) brings the %s back", name, what)
	}
	return ""
}

// instead has the words of Python that Starlark reserves, and what does in it what they do.
var instead = map[string]string{
	"as": "", "async": "", "await": "", "from": "", "nonlocal": "", "yield": "",
	"assert":  `fail("why") ends a program`,
	"class":   "a dict or a function keeps state",
	"except":  "an error ends the program",
	"finally": "an error ends the program",
	"global":  "a function can change a list or a dict outside it",
	"import":  `load("file") runs a file, and json, math and time are there`,
	"is":      "== compares",
	"raise":   `fail("why") ends a program`,
	"try":     "an error ends the program",
	"with":    "",
}

// ofPython says so if the parser met a word of Python that Starlark does not have.
func ofPython(msg string) string {
	word, _, _ := strings.Cut(strings.TrimPrefix(msg, "got "), ",")
	use, reserved := instead[word]
	if !reserved {
		return msg
	}
	msg = "Starlark has no " + word
	if use != "" {
		msg += "; " + use
	}
	return msg
}

func spotOf(pos syntax.Position) spot {
	return spot{pos.Filename(), int(pos.Line), int(pos.Col)}
}

// callsOf returns the calls of Starlark's stack that are in source.
func callsOf(stack starlark.CallStack) (calls []call) {
	for _, frame := range stack {
		if frame.Pos.Line == 0 {
			continue
		}
		c := call{spot: spotOf(frame.Pos), function: frame.Name}
		if c.function == "<toplevel>" {
			c.function = ""
		}
		calls = append(calls, c)
	}
	return calls
}

// describe shows an error in a terminal: its kind and message, and the calls that led to
// its place, each with its line. Of one line that was just typed the line is enough.
func (sh *Shell) describe(err error, c *chunk) string {
	var f *failure
	if !errors.As(err, &f) {
		return sh.style.bad(folded("** (Error) "+printable(err.Error()), sh.cols(), 0, 3, plain)) + "\n"
	}
	var b strings.Builder
	b.WriteString(sh.style.bad(folded(fmt.Sprintf("** (%s) %s", f.kind, f.msg), sh.cols(), 0, 3, plain)) + "\n")
	if f.kind == "Interrupted" {
		return b.String()
	}
	typed := c != nil && !c.quiet && c.name == f.name
	if typed && len(f.calls) == 0 && len(c.lines) == 1 {
		b.WriteString(sh.quote(f.spot, c, "   "))
		return b.String()
	}
	left := skipped(len(f.calls))
	for i, at := range append(slices.Clone(f.calls), call{f.spot, f.function}) {
		if i == left.first && left.end > i {
			b.WriteString("   " + left.String() + "\n")
		}
		if i >= left.first && i < left.end {
			continue
		}
		fmt.Fprintf(&b, "   %s:%d", printable(at.name), at.line)
		if at.function != "" {
			b.WriteString(" in " + at.function)
		}
		b.WriteString("\n" + sh.quote(at.spot, c, "     "))
	}
	return b.String()
}

// quote returns the line of a place, with a mark below it, if the shell has that line. C is
// the input that runs.
func (sh *Shell) quote(p spot, c *chunk, indent string) string {
	source, ok := sh.line(p, c)
	if !ok || len(source) > 200 || p.col < 1 {
		return ""
	}
	line := []rune(source)
	pad := strings.Repeat(" ", text.Width(printable(string(line[:min(p.col-1, len(line))]))))
	return indent + printable(string(line)) + "\n" + indent + pad + sh.style.bad("^") + "\n"
}

// line returns the line of a place, if the shell has it. C is the input that runs.
func (sh *Shell) line(p spot, c *chunk) (line string, ok bool) {
	if c == nil || c.name != p.name {
		c = sh.sources.get(p.name)
	}
	if c == nil || p.line < c.first || p.line-c.first >= len(c.lines) {
		return "", false
	}
	return c.lines[p.line-c.first], true
}

// printable is [text.Printable]. What comes from other nodes passes it before a terminal
// sees it.
func printable(s string) string { return text.Printable(s) }
