package repl

import (
	"slices"
	"strings"
	"unicode"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/repl/editor"
)

// A completion completes what stands before the cursor when Tab is pressed: names,
// attributes and arguments, and values of arguments by the names of their parameters. The
// user waits, so it asks no node and calls no function: it reads the shell's own tables,
// and for the name of a file a folder.
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
		return c.inString(at, before[at.quote:])
	}
	start := strings.LastIndexFunc(before, func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) + 1
	word = before[start:]
	if strings.HasSuffix(before[:start], ".") {
		if operand, ok := operandBefore(before); ok {
			list = c.attributes(c.shell.peek(operand), word)
		}
		return word, list
	}
	list = c.values(at)
	if at.begins {
		list = append(list, c.arguments(at.callee, word)...)
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

// inString completes the text of a string.
func (c *completion) inString(at place, text string) (word string, list []editor.Suggestion) {
	offers, known := c.offers(at, text)
	if !known {
		offers = c.nodes()
	}
	cut := strings.LastIndexAny(text, editor.WordSeparators) + 1
	for _, o := range offers {
		end := at.mark
		if o.goesOn {
			end = ""
		}
		_, number := o.id.(starlark.Int)
		if s, ok := o.suggest(text, cut, end); ok && !number && plainIn(at.mark, o.text) {
			list = append(list, s)
		}
	}
	return text[cut:], list
}

// plainIn reports whether a string can have a text as it is.
func plainIn(mark, text string) bool {
	return !strings.ContainsAny(text, mark+`\`) && printable(text) == text
}

// values completes the value of an argument that is no string yet: with ids, and after
// kind= and the like with strings.
func (c *completion) values(at place) (list []editor.Suggestion) {
	parameter := c.parameter(at)
	if parameter != "id" && (at.keyword == "" || at.value != "") {
		return nil
	}
	cut := strings.LastIndexAny(at.value, editor.WordSeparators) + 1
	offers, _ := c.offers(at, "")
	for _, o := range offers {
		o.text = starlark.String(o.text).String()
		if o.id != nil {
			o.text = o.id.String()
		}
		if s, ok := o.suggest(at.value, cut, ""); ok && !o.goesOn && s.Text != at.value[cut:] {
			list = append(list, s)
		}
	}
	return list
}

// An offer is a value that an argument may have.
type offer struct {
	text   string // of the string that it is
	help   string
	goesOn bool           // more is to follow, as after the name of a folder
	id     starlark.Value // instead of a string; or nil
}

// suggest returns the suggestion for what follows a separator in what is typed, if that is
// the beginning of the offer. A suggestion replaces the text after the last separator.
func (o offer) suggest(typed string, cut int, end string) (s editor.Suggestion, ok bool) {
	if !strings.HasPrefix(o.text, typed) {
		return s, false
	}
	return editor.Suggestion{Text: o.text[cut:], Help: o.help, Close: end}, true
}

// parameter returns the name of the parameter at a place, or "" if it is not known.
func (c *completion) parameter(at place) string {
	if at.callee == nil {
		return ""
	}
	names := c.shell.parametersOf(c.shell.lookup(at.callee))
	switch {
	case at.keyword != "" && slices.Contains(names, at.keyword):
		return at.keyword
	case at.keyword == "" && at.index < len(names):
		return names[at.index]
	}
	return ""
}

// offers returns the values of the parameter at a place, and whether there are any of its
// own. Typed is what there is of the string.
func (c *completion) offers(at place, typed string) (list []offer, known bool) {
	switch c.parameter(at) {
	case "id":
		for _, id := range c.shell.recent.list() {
			list = append(list, offer{text: id.String(), help: "an id of this session", id: idValue(id)})
		}
	case "kind":
		for _, name := range c.shell.cluster.Kinds() {
			list = append(list, offer{text: name, help: "a kind of workers"})
		}
	case "node", "via":
		list = c.nodes()
	case "color":
		for _, name := range colorNames {
			list = append(list, offer{text: name})
		}
	case "file":
		list = files(typed)
	default:
		return nil, false
	}
	return list, true
}

// nodes returns the names of the members.
func (c *completion) nodes() (list []offer) {
	c.shell.peers.refresh() // for the next time
	for _, m := range c.shell.peers.list() {
		list = append(list, offer{text: m.Name, help: m.Name + ", " + m.State.String()})
	}
	return list
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
		v = attribute(v, name)
	}
	return v
}

// attribute returns an attribute of a value, or nil.
func attribute(of starlark.Value, name string) starlark.Value {
	a, ok := of.(starlark.HasAttrs)
	if !ok {
		return nil
	}
	v, _ := a.Attr(name) // nil if there is none
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
	if b, ok := v.(*starlark.Builtin); ok {
		if b.Receiver() != nil {
			return "method"
		}
		return "function"
	}
	return v.Type()
}
