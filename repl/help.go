package repl

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/wire/text"
)

func (sh *Shell) help(r *request) (starlark.Value, error) {
	var of starlark.Value
	if err := r.unpack("command?", &of); err != nil {
		return nil, err
	}
	if of == nil {
		sh.print(sh.overview())
		return starlark.None, nil
	}
	if c := sh.commandOf(of); c != nil {
		sh.print(c.manual(sh.cols()))
		return starlark.None, nil
	}
	if s, ok := starlark.AsString(of); ok {
		var names []string
		for _, c := range sh.commands {
			names = append(append(names, c.name()), c.aliases...)
		}
		if near := text.Nearest(s, names); near != "" {
			return nil, fmt.Errorf("h: %q is no command (did you mean %s?)", s, near)
		}
		return nil, fmt.Errorf("h: %q is no command; h() shows them all", s)
	}
	if f, ok := of.(*starlark.Function); ok {
		sh.print(sh.manualOf(f))
		return starlark.None, nil
	}
	out := article(of)
	if b, ok := of.(*starlark.Builtin); ok {
		out = b.Name() + ", a function of Starlark"
	}
	if a, ok := of.(starlark.HasAttrs); ok {
		out += " with ." + strings.Join(a.AttrNames(), " .")
	}
	sh.println(out)
	return starlark.None, nil
}

// overview lists the commands.
func (sh *Shell) overview() string {
	var b strings.Builder
	const width = 20 // of most usages
	for _, c := range sh.commands {
		usage := folded(fmt.Sprintf("%-*s", width, c.usage), sh.cols(), 0, 2, plain)
		last := usage[strings.LastIndexByte(usage, '\n')+1:]
		b.WriteString(usage + folded("  "+c.help, sh.cols(), len(last), width+2, plain) + "\n")
	}
	b.WriteString(folded("\nThe language is Starlark, which looks like Python; json, math and time are there. args has the arguments of the program.", sh.cols(), 0, 0, plain) + "\n")
	return b.String()
}

// manual describes one command, for a terminal of so many columns; 0: there is none.
func (c *command) manual(cols int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  %s\n  %s\n", c.usage, folded(c.help, cols, 2, 2, plain), folded("for example: "+c.example, cols, 2, 4, plain))
	if len(c.aliases) > 0 {
		fmt.Fprintf(&b, "  also: %s\n", strings.Join(c.aliases, ", "))
	}
	return b.String()
}

// manualOf describes a function of a program: its parameters, and its documentation, which
// is a string at its beginning.
func (sh *Shell) manualOf(f *starlark.Function) string {
	var b strings.Builder
	b.WriteString(signature(f) + "\n")
	lines := strings.Split(strings.TrimSpace(f.Doc()), "\n")
	indent := -1 // of the lines after the first
	for _, line := range lines[1:] {
		if text := strings.TrimLeft(line, " \t"); text != "" && (indent < 0 || len(line)-len(text) < indent) {
			indent = len(line) - len(text)
		}
	}
	for i, line := range lines {
		if i > 0 {
			line = strings.TrimSpace(line[:min(len(line), max(indent, 0))]) + line[min(len(line), max(indent, 0)):]
		}
		if line = printable(strings.TrimRight(line, " \t")); line != "" || i > 0 {
			b.WriteString(strings.TrimRight("  "+line, " ") + "\n")
		}
	}
	if f.Doc() == "" {
		b.WriteString("  it says nothing of itself; a string at its beginning would\n")
	}
	b.WriteString("  defined at " + whereOf(f) + "\n")
	return b.String()
}

// signature returns a function's name and parameters, with their defaults.
func signature(f *starlark.Function) string {
	count := f.NumParams()
	named := count
	if f.HasKwargs() {
		named--
	}
	if f.HasVarargs() {
		named--
	}
	var params []string
	star := f.NumKwonlyParams() > 0 && !f.HasVarargs()
	for i := range named {
		if i == named-f.NumKwonlyParams() {
			switch {
			case star:
				params = append(params, "*")
			case f.HasVarargs():
				name, _ := f.Param(named)
				params = append(params, "*"+name)
			}
		}
		name, _ := f.Param(i)
		if v := f.ParamDefault(i); v != nil {
			name += "=" + style{limit: 5}.inline(v)
		}
		params = append(params, name)
	}
	if f.HasVarargs() && f.NumKwonlyParams() == 0 {
		name, _ := f.Param(named)
		params = append(params, "*"+name)
	}
	if f.HasKwargs() {
		name, _ := f.Param(count - 1)
		params = append(params, "**"+name)
	}
	return f.Name() + "(" + strings.Join(params, ", ") + ")"
}

// whereOf returns the input or file, and the line, of a function.
func whereOf(f *starlark.Function) string {
	pos := f.Position()
	return fmt.Sprintf("%s:%d", printable(pos.Filename()), pos.Line)
}

func (sh *Shell) exit(r *request) (starlark.Value, error) {
	status := 0
	if err := r.unpack("status?", &status); err != nil {
		return nil, err
	}
	if status < 0 || status > 255 {
		return nil, fmt.Errorf("exit: %d; a status is a number from 0 to 255", status)
	}
	return nil, ExitStatus(status)
}
