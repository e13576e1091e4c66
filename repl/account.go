package repl

import (
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

// An account is a value with attributes that is shown as lines of text, each with a
// heading.
type account struct {
	kind   string
	names  []string // of the attributes
	values starlark.Tuple
	lines  []line
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

func (a *account) styled(s style) string { return styledLines(a.lines, s) }

// styledLines aligns the texts, and colors names of nodes and words for trouble.
func styledLines(lines []line, s style) string {
	width := 0
	for _, l := range lines {
		width = max(width, len(l.heading))
	}
	var b strings.Builder
	for _, l := range lines {
		words := strings.Split(printable(l.text), " ")
		for i, word := range words {
			words[i] = s.word(word)
		}
		b.WriteString(strings.TrimRight(l.heading+strings.Repeat(" ", width-len(l.heading)+2)+strings.Join(words, " "), " ") + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}
