package repl

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"
	"go.starlark.net/starlark"

	"github.com/distproc/distproc/wire/text"
)

// A style colors parts of the output. The zero style is plain. The meaning of a text
// never depends on its color. Only the eight basic colors are used, which are legible on
// light and dark backgrounds.
//
// Red and yellow are for what needs attention, such as a failed node. A value that is
// False is not of that kind. The other colors tell strings, literals and names of nodes
// apart, as in iex.
type style struct {
	colored bool
	limit   int // elements of a whole value, and rows, that are shown; 0: all
	cols    int // columns of the terminal, at which values and accounts wrap; 0: they do not
}

func (s style) bad(text string) string     { return s.paint(text, color.FgRed) }
func (s style) good(text string) string    { return s.paint(text, color.FgGreen) }
func (s style) odd(text string) string     { return s.paint(text, color.FgYellow) }
func (s style) faint(text string) string   { return s.paint(text, color.Faint) }
func (s style) literal(text string) string { return s.paint(text, color.FgMagenta) }
func (s style) node(text string) string    { return s.paint(text, color.FgCyan) }

// word colors a word of a text if it names a node.
func (s style) word(text string) string {
	if i := strings.IndexByte(text, '@'); i > 0 && !strings.ContainsAny(text, " \"") {
		end := len(strings.TrimRight(text, ",;:)."))
		return s.node(text[:end]) + text[end:]
	}
	return text
}

// cell colors a cell of a table, or a word of it. The column decides: an id or a value can
// have the text of anything.
func (s style) cell(column, text string) string {
	switch {
	case text == "":
	case column == "error", column == "state" && text == "failed":
		return s.bad(text)
	case column == "why", column == "state" && text == "stuck", (column == "degraded" || column == "stale") && text == "true":
		return s.odd(text)
	case column == "node", column == "name", column == "member":
		return s.word(text)
	}
	return text
}

func (s style) paint(text string, attr color.Attribute) string {
	if !s.colored || text == "" {
		return text
	}
	c := color.New(attr)
	c.EnableColor()
	return c.Sprint(text)
}

// maxShown is the number of bytes of a value that are shown; print shows all. maxDepth
// bounds recursion, because a value can be too deep for the stack. maxText is how many
// bytes of a text are shown if elements are limited.
const (
	maxShown = 1 << 20
	maxDepth = 100
	maxText  = 4096
)

// display returns a value as an expression statement shows it. Without a terminal it is
// one line, unless it is a table or an account: other programs read it.
func (sh *Shell) display(v starlark.Value) string {
	s := sh.style
	s.limit, s.cols = sh.settings.limit, sh.cols()
	return s.lay(v, 0)
}

// inline returns a value as part of a line.
func (s style) inline(v starlark.Value) string {
	s.cols = 0
	return s.lay(v, 1)
}

func (s style) lay(v starlark.Value, depth int) string {
	p := printer{style: s, left: s.limit}
	d := p.doc(v, depth)
	l := layout{cols: s.cols}
	l.write(&d, 0, 0)
	return l.b.String()
}

// A printer makes a doc of a value, within bounds and in color. The limit of elements is
// one for the whole value. As in iex, elements of lists, values of dicts and whole records
// count.
type printer struct {
	style  style
	left   int              // elements that may still be shown, if they are limited
	size   int              // bytes so far, about
	marked bool             // the value is cut because of its size, and says so
	path   []starlark.Value // lists and dicts around what is written
}

// doc returns a value that has so many others around it. A value by itself may take several
// lines in a form of its own.
func (p *printer) doc(v starlark.Value, depth int) doc {
	if _, many := v.(starlark.Iterable); many && (depth > maxDepth || within(p.path, v)) {
		return p.leaf("[...]", plain) // it contains itself, or is too deep
	}
	p.path = append(p.path, v)
	defer func() { p.path = p.path[:len(p.path)-1] }()
	if depth == 0 {
		if t := tableOf(v); t != nil {
			return doc{text: t.styled(p.style)}
		}
		if a, ok := v.(*account); ok {
			return doc{text: a.styled(p.style)}
		}
	}
	switch v := v.(type) {
	case reply:
		d := p.leaf(v.String(), plain)
		d.text = v.styled(p.style)
		return d
	case *record:
		return p.named(v.fields, v.values, depth)
	case *account:
		return p.named(v.names, v.values, depth)
	case *table:
		return p.sequence("[", v, "]", depth)
	case *starlark.List:
		return p.sequence("[", v, "]", depth)
	case starlark.Tuple:
		end := ")"
		if len(v) == 1 {
			end = ",)"
		}
		return p.sequence("(", v, end, depth)
	case *starlark.Set:
		return p.sequence("set([", v, "])", depth)
	case *starlark.Dict:
		return p.dict(v, depth)
	case starlark.String:
		return p.text(string(v), func(s string) string { return starlark.String(s).String() })
	case starlark.Bytes:
		return p.text(string(v), func(s string) string { return starlark.Bytes(s).String() })
	case starlark.Int, starlark.Float, starlark.Bool, starlark.NoneType:
		return p.leaf(v.String(), p.style.literal)
	}
	return p.leaf(v.String(), plain)
}

// leaf returns a text of one line, which paint colors.
func (p *printer) leaf(s string, paint func(string) string) doc {
	s, more := p.clip(s)
	p.left--
	p.size += len(s)
	d := doc{text: paint(s) + p.style.odd(more)}
	if p.style.cols > 0 {
		d.width = text.Width(s) + text.Width(more)
	}
	return d
}

// text returns a string or bytes as quote writes them. What is not shown is not quoted.
func (p *printer) text(s string, quote func(string) string) doc {
	s, more := p.clip(s)
	d := p.leaf("", plain)
	s = quote(s)
	p.size += len(s)
	d.text = p.style.good(s) + p.style.odd(more)
	if p.style.cols > 0 {
		d.width = text.Width(s) + text.Width(more)
	}
	return d
}

// clip cuts a text that is too long, and returns what to say of the rest.
func (p *printer) clip(s string) (start, more string) {
	if p.style.limit == 0 || len(s) <= maxText {
		return s, ""
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end], fmt.Sprintf("… %d more bytes", len(s)-end)
}

// group returns a doc without parts.
func (p *printer) group(open, end string) doc {
	p.size += len(open) + len(end)
	return doc{open: open, end: end, width: len(open) + len(end)}
}

// add adds a part to g.
func (p *printer) add(g *doc, key string, keyWidth int, of doc) {
	p.size += len(key)
	if len(g.parts) > 0 {
		p.size += len(", ")
	}
	g.add(key, keyWidth, of)
}

// named returns a record or an account. It is one element, apart from the elements of what
// it has in it.
func (p *printer) named(names []string, values starlark.Tuple, depth int) doc {
	g := p.group("{", "}")
	for i, name := range names {
		key := name + ": "
		if s, ok := measuredText(name, values[i]); ok {
			p.add(&g, key, len(key), doc{text: p.style.literal(s), width: text.Width(s)})
		} else {
			p.add(&g, key, len(key), p.part(values[i], depth+1))
		}
	}
	p.left--
	return g
}

// part returns a value that does not count as an element, unless it has elements.
func (p *printer) part(v starlark.Value, depth int) doc {
	before := p.left
	d := p.doc(v, depth)
	if d.open == "" {
		p.left = before
	}
	return d
}

func (p *printer) dict(d *starlark.Dict, depth int) doc {
	g := p.group("{", "}")
	n := 0
	for key, value := range d.Entries() {
		if p.ends(&g, d.Len()-n) {
			return g
		}
		k := p.part(key, depth+1)
		var l layout
		l.flat(&k)
		p.add(&g, l.b.String()+": ", k.width+len(": "), p.doc(value, depth+1))
		n++
	}
	return p.whole(g)
}

func (p *printer) sequence(open string, seq starlark.Sequence, end string, depth int) doc {
	g := p.group(open, end)
	iter := seq.Iterate()
	defer iter.Done()
	var v starlark.Value
	for n := 0; iter.Next(&v); n++ {
		if p.ends(&g, seq.Len()-n) {
			return g
		}
		p.add(&g, "", 0, p.doc(v, depth+1))
	}
	return p.whole(g)
}

// ends reports whether the rest of g is not shown, and has g say so.
func (p *printer) ends(g *doc, rest int) bool {
	switch {
	case p.size > maxShown:
		if !p.marked {
			p.marked = true
			p.add(g, "", 0, doc{text: "…", width: 1})
		}
	case p.style.limit > 0 && p.left <= 0:
		more := fmt.Sprintf("… %d more", rest)
		p.add(g, "", 0, doc{text: p.style.odd(more), width: len(more) - len("…") + 1})
	default:
		return false
	}
	return true
}

// whole counts g if nothing in it has been counted.
func (p *printer) whole(g doc) doc {
	if len(g.parts) == 0 {
		p.left--
	}
	return g
}
