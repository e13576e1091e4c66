package repl

import (
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/wire/text"
)

// An account is a value with attributes that is shown as lines of text, each with a
// heading.
type account struct {
	kind   string
	names  []string // of the attributes
	values starlark.Tuple
	lines  []line
	warned []int  // indexes of lines that need attention
	below  *table // shown below the lines, if any
	bad    bool   // RunCommand fails because of it
}

type line struct{ heading, text string }

var _ starlark.HasAttrs = (*account)(nil)

func (a *account) Type() string          { return a.kind }
func (a *account) Freeze()               {}
func (a *account) Truth() starlark.Bool  { return true }
func (a *account) Hash() (uint32, error) { return a.values.Hash() }
func (a *account) String() string        { return a.styled(style{}) }
func (a *account) AttrNames() []string   { return slices.Sorted(slices.Values(a.names)) }

func (a *account) Attr(name string) (starlark.Value, error) {
	if i := slices.Index(a.names, name); i >= 0 {
		return a.values[i], nil
	}
	return nil, nil
}

// set adds an attribute.
func (a *account) set(name string, v starlark.Value) {
	a.names, a.values = append(a.names, name), append(a.values, v)
}

// say adds a line.
func (a *account) say(heading, text string) {
	a.lines = append(a.lines, line{heading, text})
}

// warn adds a line that needs attention.
func (a *account) warn(heading, text string) {
	a.warned = append(a.warned, len(a.lines))
	a.say(heading, text)
}

// styled aligns the texts, and colors names of nodes and what needs attention. Texts that
// are too long for the terminal go on below, after the heading.
func (a *account) styled(s style) string {
	indent := 0
	for _, l := range a.lines {
		indent = max(indent, len(l.heading)+2)
	}
	var b strings.Builder
	for i, l := range a.lines {
		paint := s.word
		if slices.Contains(a.warned, i) {
			paint = s.odd
		}
		b.WriteString(l.heading + strings.Repeat(" ", indent-len(l.heading)))
		b.WriteString(folded(printable(l.text), s.cols, indent, indent, paint))
		b.WriteByte('\n')
	}
	if a.below != nil {
		b.WriteString("\n" + a.below.styled(s))
	}
	return strings.TrimRight(b.String(), " \n")
}

// folded breaks a text between words where it is wider than a terminal of so many
// columns, and indents what goes on below. The text begins at a column. With cols 0 it
// does not break. Paint colors a word.
func folded(s string, cols, at, indent int, paint func(string) string) string {
	var b strings.Builder
	for i, word := range strings.Split(s, " ") {
		switch w := text.Width(word); {
		case i == 0:
			at += w
		case cols > 0 && at > indent && at+1+w > cols:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent + w
		default:
			b.WriteByte(' ')
			at += 1 + w
		}
		b.WriteString(paint(word))
	}
	return b.String()
}

// plain paints nothing.
func plain(word string) string { return word }
