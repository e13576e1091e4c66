package editor

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
)

// A vt is a terminal that knows the widths of characters, which vt10x does not. It knows
// the sequences that a canvas uses, and when its width changes it breaks rows anew.
type vt struct {
	t          testing.TB
	rows, cols int
	lines      []*vtRow // what has scrolled off, too
	row, col   int      // of the cursor, in lines; col may be cols after a full row
}

type vtRow struct {
	cells []string // a wide character has an empty cell behind it
	wraps bool     // the terminal itself has broken the text behind it
}

func newVT(t testing.TB, rows, cols int) *vt {
	return &vt{t: t, rows: rows, cols: cols, lines: []*vtRow{{}}}
}

// write obeys what the shell wrote. A character must not be cut in two.
func (v *vt) write(s string) {
	for s != "" {
		switch {
		case strings.HasPrefix(s, "\x1b["):
			n := strings.IndexFunc(s[2:], func(r rune) bool { return r >= '@' }) + 3
			v.obey(s[2:n-1], s[n-1])
			s = s[n:]
		case s[0] == '\r':
			v.col, s = 0, s[1:]
		case s[0] == '\n': // ONLCR
			v.down()
			v.lines[v.row-1].wraps = false
			v.col, s = 0, s[1:]
		case s[0] < ' ' || s[0] == 0x7f:
			v.t.Fatalf("control character %q", s[0])
		default:
			cluster, rest, width, _ := uniseg.FirstGraphemeClusterInString(s, -1)
			v.put(cluster, width)
			s = rest
		}
	}
}

func (v *vt) down() {
	if v.row++; v.row == len(v.lines) {
		v.lines = append(v.lines, &vtRow{})
	}
}

func (v *vt) put(cluster string, width int) {
	if v.col+width > v.cols {
		v.down()
		v.lines[v.row-1].wraps = true
		v.col = 0
	}
	r := v.lines[v.row]
	for len(r.cells) < v.col+width {
		r.cells = append(r.cells, " ")
	}
	r.cells[v.col] = cluster
	if width == 2 {
		r.cells[v.col+1] = ""
	}
	v.col += width
}

func (v *vt) obey(args string, final byte) {
	n := 1
	fmt.Sscan(args, &n)
	switch final {
	case 'A':
		v.row = max(v.row-n, len(v.lines)-v.rows, 0)
	case 'C':
		v.col = min(v.col+n, v.cols-1)
	case 'J':
		v.lines = v.lines[:v.row+1]
		v.lines[v.row].cells = v.lines[v.row].cells[:min(v.col, len(v.lines[v.row].cells))]
	case 'H':
		v.row, v.col = max(len(v.lines)-v.rows, 0), 0
	case 'm', 'h', 'l':
	default:
		v.t.Fatalf("sequence %q %c", args, final)
	}
}

// resize breaks the rows anew, as most terminals do, and moves the cursor with its text.
func (v *vt) resize(rows, cols int) {
	old, row, col := v.lines, v.row, v.col
	v.rows, v.cols, v.lines, v.row, v.col = rows, cols, []*vtRow{{}}, 0, 0
	toRow, toCol := 0, 0
	for i, r := range old {
		for j := 0; j <= len(r.cells) || i == row && j <= col; j++ {
			if i == row && j == col {
				if v.col == cols && j < len(r.cells) {
					toRow, toCol = v.row+1, 0
				} else {
					toRow, toCol = v.row, v.col
				}
			}
			if j < len(r.cells) && r.cells[j] != "" {
				v.put(r.cells[j], max(uniseg.StringWidth(r.cells[j]), 1))
			} else if j >= len(r.cells) && i == row && j < col {
				v.put(" ", 1)
			}
		}
		if i+1 < len(old) && !r.wraps {
			v.write("\n")
		}
	}
	v.row, v.col = toRow, toCol
}

// text returns all rows without the spaces at their ends.
func (v *vt) text() string {
	var rows []string
	for _, r := range v.lines {
		rows = append(rows, strings.TrimRight(strings.Join(r.cells, ""), " "))
	}
	return strings.TrimRight(strings.Join(rows, "\n"), "\n")
}

// before returns the text of the cursor's line before the cursor, and the rows above it
// that the terminal has broken.
func (v *vt) before() string {
	var b strings.Builder
	first := v.row
	for first > 0 && v.lines[first-1].wraps {
		first--
	}
	for _, r := range v.lines[first:v.row] {
		b.WriteString(strings.Join(r.cells, ""))
	}
	cells := v.lines[v.row].cells
	b.WriteString(strings.Join(cells[:min(v.col, len(cells))], ""))
	return b.String()
}
