package repl

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
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
		if near := nearest(s, names); near != "" {
			return nil, fmt.Errorf("h: %q is no command (did you mean %s?)", s, near)
		}
		return nil, fmt.Errorf("h: %q is no command; h() shows them all", s)
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
		usage := fmt.Sprintf("%-*s  ", width, c.usage)
		b.WriteString(usage + folded(c.help, sh.cols(), len(usage), width+2, plain) + "\n")
	}
	b.WriteString("\nThe language is Starlark, which looks like Python; json, math and time are there.\n")
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
