package repl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// A failure says why a program stopped, and where.
type failure struct {
	kind      string // such as SyntaxError; stands in a terminal
	name      string // of the file
	line, col int    // from 1; 0 is unknown
	msg       string // one line
	err       error
}

// Error returns NAME:LINE:COL: message.
func (f *failure) Error() string {
	if f.line == 0 {
		return fmt.Sprintf("%s: %s", f.name, f.msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.name, f.line, f.col, f.msg)
}

func (f *failure) Unwrap() error { return f.err }

// failure returns the failure of a chunk, or the ExitStatus that the chunk asked for.
func (sh *Shell) failure(ctx context.Context, c *chunk, err error) error {
	if status, ok := errors.AsType[ExitStatus](err); ok {
		return status
	}
	f := failureOf(err, sh.names())
	if f.line == 0 {
		f.name, f.line, f.col = c.name, c.first, 1
	}
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
	if f, ok := errors.AsType[*failure](err); ok {
		return f // of a file that did not parse
	}
	f := &failure{kind: "Error", msg: err.Error(), err: err}
	var pos syntax.Position
	var parse syntax.Error
	var resolved resolve.ErrorList
	var eval *starlark.EvalError
	switch {
	case errors.As(err, &parse):
		f.kind, f.msg, pos = "SyntaxError", parse.Msg, parse.Pos
	case errors.As(err, &resolved):
		f.kind, f.msg, pos = "SyntaxError", resolved[0].Msg, resolved[0].Pos
	case errors.As(err, &eval):
		f.msg = eval.Msg
		for _, frame := range slices.Backward(eval.CallStack) {
			if frame.Pos.Line > 0 {
				pos = frame.Pos
				break
			}
		}
		// A function read a variable before it had a value.
		if s, ok := strings.CutPrefix(f.msg, "internal error: predeclared variable "); ok {
			f.msg = "undefined: " + strings.TrimSuffix(s, " is uninitialized")
		}
	}
	f.msg = strings.ReplaceAll(f.msg, loadAs, loadName)
	if name, ok := strings.CutPrefix(f.msg, "undefined: "); ok {
		f.kind = "NameError"
		name, _, hinted := strings.Cut(name, " ")
		if near := nearest(name, names); near != "" && !hinted {
			f.msg += fmt.Sprintf(" (did you mean %s?)", near)
		}
	}
	f.name, f.line, f.col = pos.Filename(), int(pos.Line), int(pos.Col)
	f.msg = printable(f.msg)
	return f
}

// describe shows an error in a terminal: its kind and message, and the place in the
// chunk.
func (sh *Shell) describe(err error, c *chunk) string {
	var f *failure
	if !errors.As(err, &f) {
		return sh.style.bad(folded("** (Error) "+printable(err.Error()), sh.cols(), 0, 3, plain)) + "\n"
	}
	out := sh.style.bad(folded(fmt.Sprintf("** (%s) %s", f.kind, f.msg), sh.cols(), 0, 3, plain)) + "\n"
	if f.kind == "Interrupted" {
		return out
	}
	if c == nil || f.name != c.name || c.quiet {
		out += fmt.Sprintf("   %s:%d:%d\n", printable(f.name), f.line, f.col)
		c = sh.files[f.name]
	}
	if c == nil || f.line < c.first || f.line-c.first >= len(c.lines) || len(c.lines[f.line-c.first]) > 200 || f.col < 1 {
		return out
	}
	i := f.line - c.first
	line := []rune(c.lines[i])
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(line[:min(f.col-1, len(line))]))
	return out + "   " + printable(string(line)) + "\n   " + pad + sh.style.bad("^") + "\n"
}

// printable returns s as one line without characters that control a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return '?'
		}
		return r
	}, s)
}

// nearest returns the candidate that is most similar to a misspelled name, or "" if none
// is.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", min(len(name)/2, 3)+1
	for _, c := range candidates {
		if max(len(name), len(c)) > 64 {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(c)); c != name && d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance returns the number of single-letter changes and swaps of adjacent letters that
// turn a into b (the optimal string alignment distance).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
