package repl

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"
	"go.starlark.net/starlark"
)

// A style colors parts of the output. The zero style is plain. The meaning of a text
// never depends on its color. Only the eight basic colors are used, which are legible on
// light and dark backgrounds.
type style struct {
	colored bool
	limit   int // elements and rows that are shown; 0: all
	cols    int // columns of the terminal, at which accounts wrap between words; 0: they do not
}

func (s style) bad(text string) string     { return s.paint(text, color.FgRed) }
func (s style) good(text string) string    { return s.paint(text, color.FgGreen) }
func (s style) odd(text string) string     { return s.paint(text, color.FgYellow) }
func (s style) faint(text string) string   { return s.paint(text, color.Faint) }
func (s style) literal(text string) string { return s.paint(text, color.FgMagenta) }
func (s style) node(text string) string    { return s.paint(text, color.FgCyan) }

// word colors a cell of a table, or a word of a text, if it names a node or needs
// attention.
func (s style) word(text string) string {
	switch text {
	case "failed", "unreachable", "lost":
		return s.bad(text)
	case "degraded", "expired":
		return s.odd(text)
	}
	if i := strings.IndexByte(text, '@'); i > 0 && !strings.ContainsAny(text, " \"") {
		end := len(strings.TrimRight(text, ",;:)."))
		return s.node(text[:end]) + text[end:]
	}
	return text
}

func (s style) paint(text string, attr color.Attribute) string {
	if !s.colored {
		return text
	}
	c := color.New(attr)
	c.EnableColor()
	return c.Sprint(text)
}

// maxShown is the number of bytes of a value that are shown; print shows all. maxDepth
// bounds recursion, because a value can be too deep for the stack.
const (
	maxShown = 1 << 20
	maxDepth = 100
)

// display returns a value as an expression statement shows it.
func (sh *Shell) display(v starlark.Value) string {
	p := printer{style: sh.style}
	p.style.limit, p.style.cols = sh.settings.limit, sh.cols()
	p.value(v, 0)
	return p.b.String()
}

// A printer writes values as Starlark does, within bounds and in colour.
type printer struct {
	style style
	path  []starlark.Value // lists and dicts around what is written
	b     strings.Builder
}

func (p *printer) value(v starlark.Value, depth int) {
	if p.b.Len() > maxShown {
		p.b.WriteString("…")
		return
	}
	if _, many := v.(starlark.Iterable); many && (depth > maxDepth || within(p.path, v)) {
		p.b.WriteString("[...]") // it contains itself, or is too deep
		return
	}
	p.path = append(p.path, v)
	defer func() { p.path = p.path[:len(p.path)-1] }()
	if depth > 0 && p.inline(v, depth) {
		return
	}
	switch v := v.(type) {
	case interface{ styled(style) string }:
		p.b.WriteString(v.styled(p.style))
	case *starlark.List:
		p.sequence("[", v, "]", depth)
	case starlark.Tuple:
		end := ")"
		if len(v) == 1 {
			end = ",)"
		}
		p.sequence("(", v, end, depth)
	case *starlark.Set:
		p.sequence("set([", v, "])", depth)
	case *starlark.Dict:
		p.dict(v, depth)
	case starlark.String:
		p.text(string(v))
	case starlark.Int, starlark.Float, starlark.Bool, starlark.NoneType:
		p.b.WriteString(p.style.literal(v.String()))
	default:
		p.b.WriteString(v.String())
	}
}

// inline writes a value that would take several lines by itself, as part of another
// value.
func (p *printer) inline(v starlark.Value, depth int) bool {
	switch v := v.(type) {
	case *table:
		p.sequence("[", v, "]", depth)
	case *account:
		p.b.WriteByte('{')
		for i, name := range v.names {
			if i > 0 {
				p.b.WriteString(", ")
			}
			p.b.WriteString(name + ": ")
			p.value(v.values[i], depth+1)
		}
		p.b.WriteByte('}')
	default:
		return false
	}
	return true
}

// maxText is how many bytes of a string are shown if elements are limited.
const maxText = 4096

func (p *printer) text(s string) {
	cut := 0
	if p.style.limit > 0 && len(s) > maxText {
		end := maxText
		for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		cut, s = len(s)-end, s[:end]
	}
	p.b.WriteString(p.style.good(starlark.String(s).String()))
	if cut > 0 {
		p.b.WriteString(p.style.odd(fmt.Sprintf("… %d more bytes", cut)))
	}
}

func (p *printer) dict(d *starlark.Dict, depth int) {
	p.b.WriteByte('{')
	n := 0
	for key, value := range d.Entries() {
		if p.full() || p.cut(n, d.Len()) {
			break
		}
		if n++; n > 1 {
			p.b.WriteString(", ")
		}
		p.value(key, depth+1)
		p.b.WriteString(": ")
		p.value(value, depth+1)
	}
	p.b.WriteByte('}')
}

func (p *printer) sequence(open string, seq starlark.Sequence, end string, depth int) {
	p.b.WriteString(open)
	iter := seq.Iterate()
	defer iter.Done()
	var v starlark.Value
	for n := 0; !p.full() && iter.Next(&v) && !p.cut(n, seq.Len()); n++ {
		if n > 0 {
			p.b.WriteString(", ")
		}
		p.value(v, depth+1)
	}
	p.b.WriteString(end)
}

// cut ends a value after the elements that may be shown.
func (p *printer) cut(n, of int) bool {
	if p.style.limit == 0 || n < p.style.limit {
		return false
	}
	p.b.WriteString(p.style.odd(fmt.Sprintf(", … %d more", of-n)))
	return true
}

// full ends a value that is too long.
func (p *printer) full() bool {
	if p.b.Len() <= maxShown {
		return false
	}
	if !strings.HasSuffix(p.b.String(), "…") {
		p.b.WriteString("…")
	}
	return true
}
