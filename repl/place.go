package repl

import (
	"strings"

	"go.starlark.net/starlark"
)

// A place describes the syntax at the end of a line.
type place struct {
	quote   int      // index at which the text of an open string begins, or -1
	mark    string   // the quote that ends that string
	callee  []string // the dotted name of the function whose arguments these are, if any
	index   int      // of the argument, from 0
	keyword string   // the name before the value of the argument, if any
	value   string   // what there is of the argument's value, or of an element of a list that it is
	begins  bool     // an argument begins with the word at the end
}

// A bracket is one that is open.
type bracket struct {
	callee []string // of a call
	begin  int      // of the argument or element that follows
	index  int      // of that argument
	list   bool     // it begins a list
}

func placeOf(line string) place {
	p := place{quote: -1}
	open := []bracket{{}}
	top := func() *bracket { return &open[len(open)-1] }
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case p.mark != "" && c == '\\':
			i++
		case p.mark != "" && c == p.mark[0]:
			p.mark, p.quote = "", -1
		case p.mark != "":
		case c == '"' || c == '\'':
			p.mark, p.quote = line[i:i+1], i+1
		case c == '#':
			return place{quote: -1}
		case c == '(':
			open = append(open, bracket{callee: dottedBefore(line[:i]), begin: i + 1})
		case c == '[' || c == '{':
			open = append(open, bracket{begin: i + 1, list: c == '['})
		case strings.IndexByte(")]}", c) >= 0 && len(open) > 1:
			open = open[:len(open)-1]
		case c == ',':
			top().begin, top().index = i+1, top().index+1
		}
	}
	at := *top()
	value := strings.TrimLeft(line[min(at.begin, len(line)):], " ")
	if n := len(open) - 2; at.list && n >= 0 { // perhaps of a list of ids
		of := open[n]
		keyword, first := cutKeyword(strings.TrimLeft(line[of.begin:], " "))
		if of.callee != nil && strings.HasPrefix(first, "[") && !strings.Contains(first[:len(first)-len(line[at.begin:])], "]") {
			p.callee, p.index, p.keyword, p.value = of.callee, of.index, keyword, value
		}
		return p
	}
	p.callee, p.index = at.callee, at.index
	p.keyword, p.value = cutKeyword(value)
	p.begins = p.quote < 0 && p.callee != nil && identifier(value) == value
	return p
}

// cutKeyword cuts the name of an argument off.
func cutKeyword(arg string) (keyword, value string) {
	name := identifier(arg)
	rest := strings.TrimLeft(arg[len(name):], " ")
	if name == "" || !strings.HasPrefix(rest, "=") || strings.HasPrefix(rest, "==") {
		return "", arg
	}
	return name, strings.TrimLeft(rest[1:], " ")
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

// operandBefore returns what stands before the last dot of a line, if that is an operand
// such as v(3) or x["key"] or "text".
func operandBefore(line string) (operand string, ok bool) {
	type level struct {
		start int  // of the operand, if there is one
		ended bool // it has ended, or goes on with a bracket or a dot
		dot   bool // a dot follows it
	}
	levels := []level{{}}
	at := func() *level { return &levels[len(levels)-1] }
	end := -1 // of the operand before the last dot
	for i := 0; i < len(line); {
		n, l := 1, at()
		switch c := line[i]; {
		case c == '#':
			return "", false
		case c == '"' || c == '\'':
			for n = 1; i+n < len(line) && line[i+n] != c; n++ {
				if line[i+n] == '\\' {
					n++
				}
			}
			if i+n >= len(line) {
				return "", false
			}
			n++
			*l = level{start: i, ended: true}
		case c == '(' || c == '[' || c == '{':
			if !l.ended || c == '{' {
				*l = level{start: i}
			}
			levels = append(levels, level{})
		case strings.IndexByte(")]}", c) >= 0:
			if len(levels) > 1 {
				levels = levels[:len(levels)-1]
			}
			at().ended, at().dot = true, false
		case c == '.':
			if l.dot = l.ended; l.dot {
				end = i
			}
			l.ended = false
		default:
			word := identifier(line[i:])
			if n = max(n, len(word)); word == "" {
				*l = level{}
				break
			}
			if !l.dot {
				l.start = i
			}
			l.ended, l.dot = !keywords[word], false
			if i+n == len(line) { // the word to complete
				l.dot = end >= 0 && end+1 == i
			}
		}
		i += n
	}
	l := at()
	if !l.dot || end < 0 || l.start > end {
		return "", false
	}
	return line[l.start:end], true
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
