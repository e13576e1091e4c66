package repl

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// A table is a list of records that is shown a row a line.
type table struct {
	kind   string
	header []string // shown above the rows, if any
	none   string   // shown if there are no rows
	rows   []*record
}

var _ starlark.Sequence = (*table)(nil)

func (t *table) Type() string               { return t.kind }
func (t *table) Freeze()                    {}
func (t *table) Truth() starlark.Bool       { return len(t.rows) > 0 }
func (t *table) Hash() (uint32, error)      { return t.tuple().Hash() }
func (t *table) Len() int                   { return len(t.rows) }
func (t *table) Index(i int) starlark.Value { return t.rows[i] }
func (t *table) Iterate() starlark.Iterator { return t.tuple().Iterate() }
func (t *table) String() string             { return t.styled(style{}) }

func (t *table) tuple() starlark.Tuple {
	rows := make(starlark.Tuple, len(t.rows))
	for i, r := range t.rows {
		rows[i] = r
	}
	return rows
}

// styled aligns the columns: numbers to the right, the rest to the left.
func (t *table) styled(s style) string {
	if len(t.rows) == 0 {
		return t.none
	}
	var cells [][]string
	if t.header != nil {
		cells = append(cells, t.header)
	}
	for _, r := range t.rows {
		cells = append(cells, r.cells())
	}
	width := make([]int, len(cells[0]))
	for _, row := range cells {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range cells {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if _, isNumber := starlark.AsFloat(t.rows[0].values[i]); isNumber {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(s.cell(cell) + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// A record is a row: values with names. It unpacks and compares as the tuple of its values.
type record struct {
	kind   string
	fields []string
	values starlark.Tuple
}

var (
	_ starlark.Sequence   = (*record)(nil)
	_ starlark.HasAttrs   = (*record)(nil)
	_ starlark.Comparable = (*record)(nil)
)

func (r *record) Type() string               { return r.kind }
func (r *record) Freeze()                    {}
func (r *record) Truth() starlark.Bool       { return true }
func (r *record) Hash() (uint32, error)      { return r.values.Hash() }
func (r *record) Len() int                   { return len(r.values) }
func (r *record) Index(i int) starlark.Value { return r.values[i] }
func (r *record) Iterate() starlark.Iterator { return r.values.Iterate() }
func (r *record) AttrNames() []string        { return r.fields }

func (r *record) String() string {
	return "{" + strings.TrimRight(strings.Join(r.cells(), ", "), ", ") + "}"
}

func (r *record) Attr(name string) (starlark.Value, error) {
	for i, field := range r.fields {
		if field == name {
			return r.values[i], nil
		}
	}
	return nil, nil
}

func (r *record) CompareSameType(op syntax.Token, y starlark.Value, depth int) (bool, error) {
	return starlark.CompareDepth(op, r.values, y.(*record).values, depth)
}

// cells returns the values as they are shown, durations with their unit.
func (r *record) cells() []string {
	cells := make([]string, 0, len(r.values))
	for _, v := range r.values {
		switch v := v.(type) {
		case starlark.Float:
			cells = append(cells, strconv.FormatFloat(float64(v), 'f', 1, 64)+"s")
		case starlark.String:
			cells = append(cells, printable(string(v)))
		case starlark.Bool:
			cells = append(cells, strings.ToLower(v.String()))
		default:
			cells = append(cells, v.String())
		}
	}
	return cells
}
