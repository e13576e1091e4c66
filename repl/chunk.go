package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.starlark.net/syntax"

	"github.com/distproc/distproc/repl/editor"
)

// maxSource is the maximum size of a line, a statement and a file in bytes. The
// resolver's recursion grows with the length of 1+1+1…; 4 MiB of it overflow the stack.
const maxSource = 1 << 20

var dialect = &syntax.FileOptions{
	Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true,
}

// A chunk is source that runs at once: one line or block as typed, or a whole file.
type chunk struct {
	name  string // of the file
	first int    // number of its first line
	lines []string
	file  *syntax.File
	whole bool  // a file
	input bool  // typed at a terminal
	quiet bool  // values of its expression statements are not shown
	err   error // why the source is no program; file is nil

	forward bool // it may use names that later parts of the program define
	later   bool // it is not the first part of its file
	shown   *int // lines of a file that have been echoed
}

// parts returns a file as what runs at a time: up to a del or reset, which forgets
// variables that the part before has set, and on from there.
func (c *chunk) parts() (parts []*chunk) {
	if !c.whole {
		return []*chunk{c}
	}
	c.shown = new(int)
	begin := 0
	part := func(end int) {
		if end > begin || end == len(c.file.Stmts) {
			p := *c
			p.file = &syntax.File{Path: c.file.Path, Stmts: c.file.Stmts[begin:end:end], Options: c.file.Options}
			p.later = begin > 0
			p.forward = c.forward || begin > 0 || end < len(c.file.Stmts)
			parts = append(parts, &p)
		}
		begin = end
	}
	for i, stmt := range c.file.Stmts {
		if forgets(stmt) {
			part(i)
			part(i + 1)
		}
	}
	if begin < len(c.file.Stmts) || begin == 0 {
		part(len(c.file.Stmts))
	}
	return parts
}

// A lineReader returns lines without their ends. A line that is typed begins with indent. It
// returns io.EOF after the last line, an interruptError when the user drops the typed text,
// and the cause of ctx when ctx ends.
type lineReader interface {
	readLine(ctx context.Context, prompt, indent string) (string, error)
}

// An interruptError reports a Ctrl-C at the prompt. It is idle if there was no text to
// drop.
type interruptError struct{ idle bool }

func (interruptError) Error() string { return "interrupted" }

// A paster is a lineReader that knows of blocks that come as one: pastes, and entries of
// the history.
type paster interface {
	// pasted reports whether more lines of the block of the last line follow.
	pasted() bool
	// dropPaste drops these, and reports whether there were any.
	dropPaste() bool
}

// A chunker reads lines until they make a statement. A block ends at a line that is not
// indented, which then begins the next statement. If it is typed it also ends at an empty
// line, wherever it can end.
type chunker struct {
	in    lineReader
	name  string
	wrong func(error, *chunk) // shows what is wrong with a typed line that is to be typed again; nil: not at a terminal
	line  int                 // lines given out in chunks
	ahead []string            // lines read, not yet given out
	over  bool                // the input ended within the last chunk
}

// next returns the next statement. A chunk of comments or an empty line has no
// statements.
func (c *chunker) next(ctx context.Context, prompt func(more bool) string) (*chunk, error) {
	for {
		out, err := c.gather(ctx, prompt)
		if err != nil || !c.again(out) {
			return out, err
		}
	}
}

// again reports whether the last line of a typed block is wrong, so that the block goes on
// without it.
func (c *chunker) again(out *chunk) bool {
	last := len(out.lines) - 1
	if out.err == nil || out.file != nil || c.wrong == nil || c.over || last < 1 || c.isPaste() || !begins(out.lines[:last]) {
		return false
	}
	c.wrong(out.err, out)
	c.ahead = append(out.lines[:last:last], c.ahead...)
	c.line -= len(out.lines)
	return true
}

func (c *chunker) isPaste() bool {
	p, ok := c.in.(paster)
	return ok && p.pasted()
}

// gather reads the next statement.
func (c *chunker) gather(ctx context.Context, prompt func(more bool) string) (*chunk, error) {
	g := gathering{chunker: c, ctx: ctx, prompt: prompt}
	c.over = false
	file, err := dialect.ParseCompoundStmt(c.name, g.readLine)
	if g.broken != nil {
		panic(g.broken)
	}
	if g.stop != nil {
		if stop, ok := errors.AsType[interruptError](g.stop); ok {
			stop.idle = stop.idle && len(g.lines) == 0
			return nil, stop
		}
		if edit, ok := errors.AsType[editor.EditRequest](g.stop); ok {
			edit.Text = strings.Join(append(g.lines, edit.Text), "\n")
			return nil, edit
		}
		if !errors.Is(g.stop, io.EOF) || len(g.lines) == 0 {
			return nil, g.stop
		}
		err = syntax.Error{Pos: position(c.name, len(g.fed), 1), Msg: "the input ends within a bracket, string or block"}
	}
	out := &chunk{name: c.name, first: c.line + 1, lines: g.lines, input: c.wrong != nil}
	if err == nil {
		out.lines = g.lines[:g.endOf(file)]
	} else if last := len(g.lines) - 1; last > 0 && !indented(g.lines[last]) && parses(g.lines[:last]) {
		out.lines, err = g.lines[:last], nil // the block is fine; the line that ended it is not
	}
	c.ahead = append(slices.Clone(g.lines[len(out.lines):]), c.ahead...)
	c.line += len(out.lines)
	if err != nil {
		out.err = g.locate(err, out)
		return out, nil
	}
	// Parse again, as ParseCompoundStmt numbers lines from 1.
	out.file, out.err = dialect.Parse(c.name, syntax.FilePortion{
		Content: []byte(renameLoad(out.lines)), FirstLine: int32(out.first), FirstCol: 1,
	}, 0)
	if out.err != nil {
		out.err = out.explain(failureOf(out.err, nil), g.typed())
	}
	return out, nil
}

// A gathering is the reading of one chunk.
type gathering struct {
	*chunker
	ctx    context.Context
	prompt func(more bool) string
	lines  []string
	fed    []int // for each line that the parser got, its index in lines
	size   int
	rename renamer
	kept   bool  // the last line was ahead
	ended  bool  // the parser got an empty line for the end of the input
	stop   error // why there are no more lines
	broken any   // a panic of readLine, which the parser takes for a syntax error
}

// readLine feeds the parser. It holds back comments within a block, and empty lines that
// do not end it, because for the parser each of them would.
func (g *gathering) readLine() ([]byte, error) {
	defer func() {
		if g.broken = recover(); g.broken != nil {
			panic(g.broken)
		}
	}()
	for {
		line, err := g.read()
		if errors.Is(err, io.EOF) && len(g.lines) > 0 && !g.ended {
			g.ended, g.over = true, true
			g.fed = append(g.fed, len(g.lines))
			return []byte("\n"), nil // the end of input ends a block, too
		}
		if err == nil && len(g.lines) > 0 && strings.TrimSpace(line) == "#iex:break" {
			err = interruptError{}
		}
		if g.size += len(line) + 1; err == nil && g.size > maxSource+1 {
			err = fmt.Errorf("%s:%d:1: a statement of more than %d MiB", g.name, g.line+1, maxSource>>20)
		}
		if err != nil {
			g.stop = err
			return nil, err
		}
		g.lines = append(g.lines, line)
		if len(g.lines) > 1 && (comment(line) || strings.TrimSpace(line) == "" && !g.mayEnd()) {
			continue
		}
		g.fed = append(g.fed, len(g.lines)-1)
		return []byte(g.rename.line(line) + "\n"), nil
	}
}

func (g *gathering) read() (line string, err error) {
	if g.kept = len(g.ahead) > 0; g.kept {
		line, g.ahead = g.ahead[0], g.ahead[1:]
	} else {
		line, err = g.in.readLine(g.ctx, g.prompt(len(g.lines) > 0), g.indent())
	}
	if len(g.lines) == 0 {
		line = strings.TrimPrefix(line, byteOrderMark)
	}
	return line, err
}

// indent returns the spaces with which the next line begins if it is typed in a block.
func (g *gathering) indent() string {
	if len(g.lines) == 0 || g.wrong == nil || g.isPaste() {
		return ""
	}
	indent := indentAfter(g.lines)
	if indent == "" || !parses(append(slices.Clone(g.lines), indent+"pass")) { // within a bracket or a string
		return ""
	}
	return indent
}

// mayEnd reports whether the empty line that was read last ends the block: whether it was
// typed, and all is there.
func (g *gathering) mayEnd() bool {
	return g.wrong != nil && !g.kept && !g.isPaste() && parses(g.lines)
}

// endOf returns how many of the lines belong to the chunk: the statement's, and empty
// ones after it.
func (g *gathering) endOf(file *syntax.File) int {
	if len(file.Stmts) == 0 {
		return len(g.lines)
	}
	end := g.fed[syntax.End(file.Stmts[len(file.Stmts)-1]).Line-1] + 1
	for end < len(g.lines) && (strings.TrimSpace(g.lines[end]) == "" || comment(g.lines[end])) {
		end++
	}
	return end
}

// locate corrects the line of an error of the first parse to that in the whole input.
func (g *gathering) locate(err error, c *chunk) error {
	var e syntax.Error
	if !errors.As(err, &e) {
		return err
	}
	at := len(c.lines) - 1 // of errors after the end
	if i := int(e.Pos.Line) - 1; i < len(g.fed) {
		at = min(at, g.fed[i])
	}
	e.Pos.Line = int32(c.first + at)
	return c.explain(failureOf(e, nil), g.typed())
}

// typed reports whether the last line was typed, so that an empty line can end its block.
func (g *gathering) typed() bool { return g.wrong != nil && !g.isPaste() }

// explain says of an error of the parser what its line tells, and returns the error.
func (c *chunk) explain(f *failure, typed bool) *failure {
	switch i := f.line - c.first; {
	case i < 0 || i >= len(c.lines):
	case strings.HasPrefix(f.msg, "got indent,") && typed:
		f.msg = "unexpected indentation (an empty line ends a block)"
	case strings.HasPrefix(f.msg, "got indent,"):
		f.msg = "unexpected indentation (a block ends at a line that is not indented)"
	case strings.HasPrefix(f.msg, "got "), f.msg == "invalid syntax":
		f.msg = ofDel(c.lines[i], f.msg)
	}
	return f
}

// parseProgram parses a file as a whole. Here a block ends where its indentation does. If
// the file is no program, its lines are returned with the error.
func parseProgram(name string, src io.Reader) (*chunk, error) {
	data, err := io.ReadAll(io.LimitReader(src, maxSource+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxSource {
		return nil, fmt.Errorf("%s: more than %d MiB", name, maxSource>>20)
	}
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	c := &chunk{name: name, first: 1, whole: true, lines: strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")}
	for i, line := range c.lines {
		if err := checkLine(line, name, i+1); err != nil {
			return nil, err
		}
	}
	c.file, err = dialect.Parse(name, renameLoad(c.lines), 0)
	if err != nil {
		return c, c.explain(failureOf(err, nil), false)
	}
	return c, nil
}

// checkLine refuses lines that the parser would misread.
func checkLine(line, name string, n int) error {
	bad := func(i int, what string) error {
		return &failure{kind: "SyntaxError", spot: spot{name, n, utf8.RuneCountInString(line[:i]) + 1}, msg: what}
	}
	if len(line) > maxSource {
		return bad(0, fmt.Sprintf("a line of more than %d MiB", maxSource>>20))
	}
	if i := strings.IndexByte(line, 0); i >= 0 {
		return bad(i, "a NUL byte")
	}
	for i, r := range line {
		if r == utf8.RuneError && !strings.HasPrefix(line[i:], "\ufffd") {
			return bad(i, "not UTF-8")
		}
	}
	return nil
}

// byteOrderMark is what some editors put in front of a text.
const byteOrderMark = "\ufeff"

// begins reports whether lines are the beginning of a program, of which more may follow.
func begins(lines []string) bool {
	lines = slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.TrimSpace(line) == "" || comment(line) })
	rest, read := renameLoad(lines), false
	_, err := dialect.ParseCompoundStmt("", func() ([]byte, error) {
		line, after, found := strings.Cut(rest, "\n")
		if rest = after; !found {
			read = true
			return nil, io.EOF
		}
		return []byte(line + "\n"), nil
	})
	return err == nil || read
}

func indented(line string) bool { return strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") }

// comment reports whether a line has nothing but a comment. A line with quotes does not
// count, because it may be the end of a string.
func comment(line string) bool {
	return strings.HasPrefix(strings.TrimLeft(line, " \t"), "#") &&
		!strings.Contains(line, `"""`) && !strings.Contains(line, "'''")
}

func parses(lines []string) bool {
	_, err := dialect.Parse("", renameLoad(lines), 0)
	return err == nil
}

func position(name string, line, col int) syntax.Position {
	return syntax.MakePosition(&name, int32(line), int32(col))
}
