package repl

import (
	"slices"
	"strings"
	"unicode"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/repl/editor"
)

// A completion completes names when Tab is pressed. It reads the shell's own tables only,
// because the user waits.
type completion struct {
	shell *Shell
	more  bool // a statement goes on, so Tab indents
}

// indent is what Tab inserts at the start of a line within a block.
const indent = "    "

// candidates returns the word before the cursor, after the last separator, and its
// completions.
func (c *completion) candidates(before string) (word string, list []editor.Suggestion) {
	if c.more && strings.TrimSpace(before) == "" {
		return "", []editor.Suggestion{{Text: indent}}
	}
	at := placeOf(before)
	if at.quote >= 0 {
		return c.nodeNames(before[at.quote:])
	}
	start := strings.LastIndexFunc(before, func(r rune) bool {
		return r != '_' && r != '.' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) + 1
	path := strings.Split(before[start:], ".")
	word = path[len(path)-1]
	if len(path) > 1 {
		return word, c.attributes(c.shell.lookup(path[:len(path)-1]), word)
	}
	if at.begins {
		list = c.arguments(at.callee, word)
	}
	switch {
	case word != "":
		for _, name := range c.shell.names() {
			if strings.HasPrefix(name, word) {
				list = append(list, editor.Suggestion{Text: name, Help: c.shell.brief(name)})
			}
		}
	case strings.TrimSpace(before) == "":
		for i := range c.shell.commands { // of everything, only the commands
			list = append(list, editor.Suggestion{Text: c.shell.commands[i].name(), Help: c.shell.commands[i].help})
		}
	}
	return word, list
}

// nodeNames completes a string. A suggestion replaces the text after the last separator.
func (c *completion) nodeNames(text string) (word string, list []editor.Suggestion) {
	c.shell.peers.refresh() // for the next time
	cut := strings.LastIndexAny(text, editor.WordSeparators) + 1
	for _, m := range c.shell.peers.list() {
		if strings.HasPrefix(m.Name, text) {
			list = append(list, editor.Suggestion{Text: m.Name[cut:], Help: m.Name + ", " + m.State.String()})
		}
	}
	return text[cut:], list
}

func (c *completion) attributes(of starlark.Value, word string) (list []editor.Suggestion) {
	a, ok := of.(starlark.HasAttrs)
	if !ok {
		return nil
	}
	for _, name := range slices.Sorted(slices.Values(a.AttrNames())) {
		if strings.HasPrefix(name, word) {
			v, _ := a.Attr(name)
			list = append(list, editor.Suggestion{Text: name, Help: c.shell.briefOf(v)})
		}
	}
	return list
}

// arguments completes the name of an argument.
func (c *completion) arguments(callee []string, word string) (list []editor.Suggestion) {
	for _, name := range c.shell.parametersOf(c.shell.lookup(callee)) {
		if strings.HasPrefix(name, word) {
			list = append(list, editor.Suggestion{Text: name + "=", Help: "argument of " + strings.Join(callee, ".")})
		}
	}
	return list
}

// lookup returns the value of a dotted name, or nil. It calls nothing.
func (sh *Shell) lookup(path []string) starlark.Value {
	v := sh.globals[sourceName(path[0])]
	for _, name := range path[1:] {
		a, ok := v.(starlark.HasAttrs)
		if !ok {
			return nil
		}
		v, _ = a.Attr(name)
	}
	return v
}

// brief describes a name in one line.
func (sh *Shell) brief(name string) string { return sh.briefOf(sh.globals[sourceName(name)]) }

func (sh *Shell) briefOf(v starlark.Value) string {
	if v == nil {
		return ""
	}
	if _, text := v.(starlark.String); text {
		return v.Type()
	}
	if c := sh.commandOf(v); c != nil {
		return c.help
	}
	return v.Type()
}
