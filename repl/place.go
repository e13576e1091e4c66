package repl

import (
	"strings"

	"go.starlark.net/starlark"
)

// A place describes the syntax at the end of a line.
type place struct {
	quote  int      // index at which the text of an open string begins, or -1
	callee []string // the dotted name of the function whose arguments these are, if any
	begins bool     // an argument begins with the word at the end
}

func placeOf(line string) place {
	p := place{quote: -1}
	var open [][]string // the callee of each open bracket
	var quote byte
	begin := 0 // of the argument
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && c == quote:
			quote, p.quote = 0, -1
		case quote != 0:
		case c == '"' || c == '\'':
			quote, p.quote = c, i+1
		case c == '#':
			return place{quote: -1}
		case c == '(':
			open = append(open, dottedBefore(line[:i]))
			begin = i + 1
		case c == '[' || c == '{':
			open = append(open, nil)
		case strings.IndexByte(")]}", c) >= 0 && len(open) > 0:
			open = open[:len(open)-1]
		case c == ',':
			begin = i + 1
		}
	}
	if len(open) > 0 {
		p.callee = open[len(open)-1]
	}
	p.begins = p.quote < 0 && p.callee != nil && identifier(strings.TrimLeft(line[begin:], " ")) == strings.TrimLeft(line[begin:], " ")
	return p
}

// dottedBefore returns the dotted name at the end of s, or nil.
func dottedBefore(s string) []string {
	start := len(s)
	for start > 0 && (s[start-1] == '.' || identifier(s[start-1:start]) != "") {
		start--
	}
	if start == len(s) {
		return nil
	}
	return strings.Split(s[start:], ".")
}

// parametersOf returns the names of a function's arguments, if they are known.
func (sh *Shell) parametersOf(v starlark.Value) []string {
	if f, ok := v.(*starlark.Function); ok {
		var names []string
		for i := range f.NumParams() {
			name, _ := f.Param(i)
			names = append(names, name)
		}
		return names
	}
	if c := sh.commandOf(v); c != nil {
		return c.parameters()
	}
	return nil
}
