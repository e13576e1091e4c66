package repl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

// A table is a list of records of one kind, which is shown with one line per record.
// Columns that say nothing are not shown: those that have only None, or only what is
// usual.
type table struct {
	kind   string
	header []string // shown above the rows, if any
	none   string   // shown if there are no rows
	rows   []*record

	unlisted int  // rows that were left out
	latest   bool // the last rows are shown if there are too many
}

var (
	_ starlark.Sequence  = (*table)(nil)
	_ starlark.Sliceable = (*table)(nil)
	_ starlark.HasBinary = (*table)(nil)
)

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

// tableOf returns v if it is a table. It returns a table of the elements of a list or
// tuple if all are records of one kind, and there are any. Otherwise it returns nil.
func tableOf(v starlark.Value) *table {
	switch v := v.(type) {
	case *table:
		return v
	case *starlark.List, starlark.Tuple:
		return tableOfRecords(v.(starlark.Sequence))
	}
	return nil
}

func tableOfRecords(list starlark.Sequence) *table {
	iter := list.Iterate()
	defer iter.Done()
	var rows []*record
	var v starlark.Value
	for iter.Next(&v) {
		r, ok := v.(*record)
		if !ok || len(rows) > 0 && !r.like(rows[0]) {
			return nil
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil
	}
	return &table{kind: rows[0].kind, header: rows[0].fields, rows: rows}
}

// Slice returns some of the rows, as a table. How many rows were left out of the whole
// table says nothing of a part of it.
func (t *table) Slice(start, end, step int) starlark.Value {
	part := &table{kind: t.kind, header: t.header, none: "[]"}
	for i := start; step > 0 && i < end || step < 0 && i > end; i += step {
		part.rows = append(part.rows, t.rows[i])
	}
	return part
}

// Binary adds lists to a table, and finds a record in it.
func (t *table) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	switch op {
	case syntax.IN:
		if side == starlark.Right {
			return t.contains(y)
		}
	case syntax.PLUS:
		switch y.(type) {
		case *table, *starlark.List, starlark.Tuple:
			all := t.tuple()
			others := slices.Collect(starlark.Elements(y.(starlark.Iterable)))
			if side == starlark.Left {
				return starlark.NewList(append(all, others...)), nil
			}
			return starlark.NewList(append(others, all...)), nil
		}
	}
	return nil, nil // which Starlark reports
}

func (t *table) contains(v starlark.Value) (starlark.Value, error) {
	for _, r := range t.rows {
		if same, err := starlark.Equal(r, v); same || err != nil {
			return starlark.Bool(same), err
		}
	}
	return starlark.False, nil
}

// styled aligns the columns: numbers to the right, the rest to the left. Columns for
// which a terminal is too narrow are shown below the others.
func (t *table) styled(s style) string {
	if len(t.rows) == 0 {
		return t.none
	}
	rows := t.rows
	if s.limit > 0 {
		rows = rows[:min(len(rows), s.limit)]
		if t.latest {
			rows = t.rows[len(t.rows)-len(rows):]
		}
	}
	var cells [][]string
	if t.header != nil {
		cells = append(cells, t.header)
	}
	for _, r := range rows {
		cells = append(cells, r.cells(s))
	}
	t.shorten(cells, s.cols)
	var lines []string
	for _, columns := range t.split(cells, s.cols) {
		lines = append(lines, t.lines(cells, columns, s)...)
	}
	if cut := len(t.rows) - len(rows); cut > 0 && t.latest {
		lines = append([]string{s.odd("… " + counted(cut, "earlier row", "earlier rows") + "; print shows all")}, lines...)
	} else if cut > 0 {
		lines = append(lines, s.odd("… "+counted(cut, "more row", "more rows")+"; print shows all"))
	}
	if t.unlisted > 0 {
		lines = append(lines, s.odd(fmt.Sprintf("… and %d more %s, which are not listed; nodes(detail=True) counts all", t.unlisted, t.kind)))
	}
	return strings.Join(lines, "\n")
}

// shown returns the indexes of the columns that are shown.
func (t *table) shown() (columns []int) {
	for i := range t.rows[0].fields {
		if i == 0 || slices.ContainsFunc(t.rows, func(r *record) bool { return r.tells(i) }) {
			columns = append(columns, i)
		}
	}
	return columns
}

// shorten cuts cells that take more than half of a terminal of so many columns; 0: there
// is none. A text in the last column stays whole, because it can go on in the next lines.
func (t *table) shorten(cells [][]string, cols int) {
	if cols == 0 {
		return
	}
	shown := t.shown()
	for k, i := range shown {
		if k > 0 && k == len(shown)-1 && !t.numbers(i) {
			break
		}
		for _, row := range cells {
			row[i] = text.Fit(row[i], max(cols/2, minCell))
		}
	}
}

// minCell is how many columns a cell may take at any terminal. A text at the end of a row
// goes on below itself if it has that many.
const minCell = 20

// split returns the columns that are shown: all at once or, at a terminal, as many at a
// time as it has room for. Each time the first one comes first, as it names the row.
func (t *table) split(cells [][]string, cols int) (parts [][]int) {
	shown := t.shown()
	var part []int
	at := 0
	for k, i := range shown {
		width := columnWidth(cells, i)
		need := width
		if k == len(shown)-1 && !t.numbers(i) {
			need = min(width, minCell)
		}
		if cols > 0 && len(part) > 1 && at+need > cols {
			parts, part, at = append(parts, part), []int{shown[0]}, columnWidth(cells, shown[0])+2
		}
		part, at = append(part, i), at+width+2
	}
	return append(parts, part)
}

// columnWidth returns how many columns of a terminal a column of the table takes.
func columnWidth(cells [][]string, i int) (width int) {
	for _, row := range cells {
		width = max(width, text.Width(row[i]))
	}
	return width
}

// lines returns some columns of the rows. A text at the end that is too wide for the
// terminal goes on in the next lines.
func (t *table) lines(cells [][]string, columns []int, s style) []string {
	lines := make([]string, len(cells))
	at := 0
	for k, i := range columns {
		width, right := columnWidth(cells, i), t.numbers(i)
		for n, row := range cells {
			paint := func(text string) string { return s.cell(t.rows[0].fields[i], text) }
			if n == 0 && t.header != nil {
				paint = plain
			}
			cell, pad := paint(row[i]), strings.Repeat(" ", width-text.Width(row[i]))
			if right {
				cell, pad = pad+cell, ""
			}
			if s.cols > 0 && !right && k > 0 && k == len(columns)-1 && at+width > s.cols {
				cell, pad = folded(row[i], s.cols, at, at, paint), ""
			}
			lines[n] += cell + pad + "  "
		}
		at += width + 2
	}
	for n, line := range lines {
		lines[n] = strings.TrimRight(line, " ")
	}
	return lines
}

// numbers reports whether a column has only numbers and None.
func (t *table) numbers(column int) bool {
	found := false
	for _, r := range t.rows {
		switch r.values[column].(type) {
		case starlark.Int, starlark.Float, startime.Duration:
			found = true
		case starlark.NoneType:
		default:
			return false
		}
	}
	return found
}

// A record is a row: values with names. It unpacks and compares as the tuple of its
// values.
type record struct {
	kind   string
	fields []string
	values starlark.Tuple
	more   starlark.HasAttrs // has further attributes, which are not shown; nil: none
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

// String returns {id: 7, node: "2@127.0.0.1"}: names and values, as iex shows a struct.
func (r *record) String() string { return style{}.inline(r) }

// like reports whether two records are of one kind.
func (r *record) like(other *record) bool {
	return r.kind == other.kind && slices.Equal(r.fields, other.fields)
}

// tells reports whether the value of a field is worth a column.
func (r *record) tells(i int) bool {
	switch r.values[i] {
	case starlark.None, starlark.String(""):
		return false
	case starlark.String(worker.DefaultKind):
		return r.kind != "worker" || r.fields[i] != "kind"
	}
	return true
}

func (r *record) Attr(name string) (starlark.Value, error) {
	for i, field := range r.fields {
		if field == name {
			return r.values[i], nil
		}
	}
	if r.more != nil && slices.Contains(r.more.AttrNames(), name) {
		return r.more.Attr(name)
	}
	return nil, nil
}

// allNames returns the names of the fields and then of the other attributes, in their order,
// but for json, which is the value again.
func (r *record) allNames() []string {
	names := slices.Clone(r.fields)
	var more []string
	switch m := r.more.(type) {
	case *account:
		more = m.names
	case reply, lostReply:
		more = replyNames
	}
	for _, name := range more {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// AttrNames returns a new list, because Starlark's dir sorts it.
func (r *record) AttrNames() []string {
	names := slices.Clone(r.fields)
	if r.more != nil {
		names = append(names, r.more.AttrNames()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (r *record) CompareSameType(op syntax.Token, y starlark.Value, depth int) (bool, error) {
	return starlark.CompareDepth(op, r.values, y.(*record).values, depth)
}

// cells returns the texts of the values.
func (r *record) cells(s style) []string {
	cells := make([]string, 0, len(r.values))
	for i, v := range r.values {
		text, ok := measuredText(r.fields[i], v)
		switch v := v.(type) {
		case starlark.Float:
			if !ok {
				text = v.String()
			}
		case starlark.String:
			text = printable(string(v))
		case starlark.Bool:
			text = strings.ToLower(v.String())
		case starlark.NoneType:
		case startime.Time:
			text = clockTime(time.Time(v), time.Now())
		default:
			text = style{limit: s.limit}.inline(v)
		}
		cells = append(cells, text)
	}
	return cells
}

// secondsFields are the fields whose numbers are times in seconds.
var secondsFields = []string{"age", "ttl", "lease", "timeout", "runs"}

// measuredText returns the value of a field with its unit, if that is a time in seconds
// or a rate.
func measuredText(field string, v starlark.Value) (string, bool) {
	f, ok := v.(starlark.Float)
	switch {
	case !ok:
	case field == "rate":
		return strconv.FormatFloat(float64(f), 'f', 1, 64) + "/s", true
	case slices.Contains(secondsFields, field):
		return shortly(time.Duration(float64(f) * float64(time.Second))), true
	}
	return "", false
}
