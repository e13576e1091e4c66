package repl

import (
	"slices"
	"strings"
	"sync/atomic"
	"unicode"

	prompt "github.com/c-bata/go-prompt"
	"go.starlark.net/starlark"
)

// wordSeparators end the word that a suggestion replaces.
const wordSeparators = " \t()[]{}.,:;=+-*/%<>!&|^~\\\"'"

// A completion completes names when Tab is pressed: it inserts the common prefix of all
// candidates, and opens a menu if there are several. It reads the shell's own tables
// only, because go-prompt calls it twice a key. Only the goroutine of Input may use it,
// except for isOpen.
type completion struct {
	shell *Shell
	more  bool // a statement goes on, so Tab indents
	room  int  // columns that the menu has
	list  []prompt.Suggest
	open  atomic.Bool
}

func (c *completion) isOpen() bool { return c.open.Load() }

// suggest returns the menu for go-prompt to draw. An open menu does not change, because
// go-prompt keeps an index into it.
func (c *completion) suggest(d prompt.Document) []prompt.Suggest {
	switch d.LastKeyStroke() {
	case prompt.Tab, prompt.BackTab, prompt.Up, prompt.Down:
	default:
		c.open.Store(false)
	}
	// go-prompt panics on a menu without room for a word.
	if !c.isOpen() || c.room < 16 {
		return nil
	}
	return c.list
}

// tab handles the key if no menu is open.
func (c *completion) tab(b *prompt.Buffer) {
	if c.isOpen() {
		return
	}
	before := b.Document().TextBeforeCursor()
	if c.more && strings.TrimSpace(before) == "" {
		b.InsertText(tabSpaces, false, true)
		return
	}
	word, list := c.candidates(before)
	if len(list) == 0 {
		return
	}
	shared := list[0].Text
	for _, s := range list[1:] {
		for !strings.HasPrefix(s.Text, shared) {
			shared = shared[:len(shared)-1]
		}
	}
	b.InsertText(strings.TrimPrefix(shared, word), false, true)
	c.list = list
	c.open.Store(len(list) > 1)
}

// candidates returns the word before the cursor, after the last separator, and its
// completions.
func (c *completion) candidates(before string) (word string, list []prompt.Suggest) {
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
				list = append(list, prompt.Suggest{Text: name, Description: c.shell.brief(name)})
			}
		}
	case strings.TrimSpace(before) == "":
		for i := range c.shell.commands { // of everything, only the commands
			list = append(list, prompt.Suggest{Text: c.shell.commands[i].name(), Description: c.shell.commands[i].help})
		}
	}
	return word, list
}

// nodeNames completes a string. A suggestion replaces the text after the last separator.
func (c *completion) nodeNames(text string) (word string, list []prompt.Suggest) {
	c.shell.peers.refresh() // for the next time
	cut := strings.LastIndexAny(text, wordSeparators) + 1
	for _, m := range c.shell.peers.list() {
		if strings.HasPrefix(m.Name, text) {
			list = append(list, prompt.Suggest{Text: m.Name[cut:], Description: m.Name + ", " + m.State.String()})
		}
	}
	return text[cut:], list
}

func (c *completion) attributes(of starlark.Value, word string) (list []prompt.Suggest) {
	a, ok := of.(starlark.HasAttrs)
	if !ok {
		return nil
	}
	for _, name := range slices.Sorted(slices.Values(a.AttrNames())) {
		if strings.HasPrefix(name, word) {
			v, _ := a.Attr(name)
			list = append(list, prompt.Suggest{Text: name, Description: c.shell.briefOf(v)})
		}
	}
	return list
}

// arguments completes the name of an argument.
func (c *completion) arguments(callee []string, word string) (list []prompt.Suggest) {
	for _, name := range c.shell.parametersOf(c.shell.lookup(callee)) {
		if strings.HasPrefix(name, word) {
			list = append(list, prompt.Suggest{Text: name + "=", Description: "argument of " + strings.Join(callee, ".")})
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
