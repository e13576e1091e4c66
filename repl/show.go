package repl

import (
	"strings"

	"github.com/fatih/color"
	"go.starlark.net/starlark"
)

// A style colours parts of the output. The zero style is plain. Colour is never all that tells two
// things apart, and only the eight basic colours are used, which are legible on light and dark.
type style struct{ colored bool }

func (s style) bad(text string) string  { return s.paint(text, color.FgRed) }
func (s style) good(text string) string { return s.paint(text, color.FgGreen) }
func (s style) odd(text string) string  { return s.paint(text, color.FgYellow) }
func (s style) node(text string) string { return s.paint(text, color.FgCyan) }

// cell colours a cell of a table by what it says.
func (s style) cell(text string) string {
	switch {
	case text == "true":
		return s.good(text)
	case text == "false":
		return s.bad(text)
	case strings.Contains(text, "@") && !strings.Contains(text, " "):
		return s.node(text)
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

// maxShown is how much of a value is shown; print shows all of it. maxDepth bounds what the shell
// looks into, as a value can be deeper than the stack.
const (
	maxShown = 1 << 20
	maxDepth = 100
)

// display returns what an expression statement shows of its value.
func (sh *Shell) display(v starlark.Value) string {
	p := printer{style: sh.style}
	p.value(v, 0)
	return p.b.String()
}

// A printer writes values as Starlark does, within bounds and in colour.
type printer struct {
	style style
	b     strings.Builder
}

func (p *printer) value(v starlark.Value, depth int) {
	if p.b.Len() > maxShown || depth > maxDepth {
		p.b.WriteString("…")
		return
	}
	switch v := v.(type) {
	case interface{ styled(style) string }:
		p.b.WriteString(v.styled(p.style))
	case *starlark.List:
		p.b.WriteByte('[')
		p.elements(v.Iterate(), depth)
		p.b.WriteByte(']')
	case starlark.Tuple:
		p.b.WriteByte('(')
		p.elements(v.Iterate(), depth)
		if len(v) == 1 {
			p.b.WriteByte(',')
		}
		p.b.WriteByte(')')
	case *starlark.Dict:
		p.b.WriteByte('{')
		sep := ""
		for key, value := range v.Entries() {
			if p.full() {
				break
			}
			p.b.WriteString(sep)
			p.value(key, depth+1)
			p.b.WriteString(": ")
			p.value(value, depth+1)
			sep = ", "
		}
		p.b.WriteByte('}')
	default:
		p.b.WriteString(v.String())
	}
}

func (p *printer) elements(iter starlark.Iterator, depth int) {
	defer iter.Done()
	var v starlark.Value
	for sep := ""; !p.full() && iter.Next(&v); sep = ", " {
		p.b.WriteString(sep)
		p.value(v, depth+1)
	}
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
