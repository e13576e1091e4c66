package editor

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/distproc/distproc/wire/text"
)

// characters have one to several code points and are one or two columns wide.
var characters = []string{"a", "b", " ", "(", `"`, "é", "e\u0301", "日", "本", "👨‍👩‍👧", "🇩🇪", "❤️", "👍🏽", blockMark, "→", "한"}

func drawText(most int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(characters), 0, most).Draw(t, "characters"), "")
	})
}

func newTestCanvas(colored bool) *canvas {
	return &canvas{colored: colored, highlight: func(line string) string {
		return strings.ReplaceAll(line, "a", "\x1b[33ma\x1b[0m") // also in the middle of a character
	}}
}

// whereIs returns where the cursor is to be: the place of the first row of the picture, then
// rows of whole characters.
func whereIs(head, line string, cursor, cols int) (row, col int) {
	for rest := head + line; ; {
		if len(head)+len(line)-len(rest) >= len(head)+cursor {
			if w := text.Width(firstCharacter(rest)); col+max(w, 1) > cols {
				return row + 1, 0
			}
			return row, col
		}
		c := firstCharacter(rest)
		w := text.Width(c)
		if col+w > cols {
			row, col = row+1, 0
		}
		col += w
		rest = rest[len(c):]
	}
}

// TestCanvas draws lines one after the other, with the cursor anywhere in them. Whatever
// their characters, only the last one is there, its prompt is where the first one was, and
// the cursor is on the right character.
func TestCanvas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		rows, cols := rapid.IntRange(6, 12).Draw(rt, "rows"), rapid.IntRange(2, 30).Draw(rt, "cols")
		c := newTestCanvas(rapid.Bool().Draw(rt, "colored"))
		v := newVT(t, rows, cols)
		v.write("above\n")
		want := strings.Join(cutRows("above", cols), "\n") + "\n"
		first := v.row
		for range rapid.IntRange(1, 6).Draw(rt, "pictures") {
			line := drawText(cols).Draw(rt, "line")
			before := drawText(3).Draw(rt, "before")
			p := picture{prompt: "p> ", text: before + line, cursor: len(before)}
			if rapid.Bool().Draw(rt, "end") {
				p.cursor = len(p.text)
			}
			if rapid.IntRange(0, 3).Draw(rt, "menu") == 0 {
				p.all = []Suggestion{{Text: "日本語", Help: "a country"}, {Text: "b"}}
				p.menu = []item{{p.all[0], true}, {p.all[1], false}}
			}
			above := ""
			if rapid.IntRange(0, 3).Draw(rt, "notice") == 0 {
				above = "n\n"
				want += "n\n"
				first++
			}
			v.write(c.draw(above, p, rows, cols))
			shown := visible(p.text)
			cursor := len(visible(p.text[:p.cursor]))
			// A cursor within a character stands on its start.
			for at := 0; at < len(shown); at += len(firstCharacter(("p> " + shown)[3+at:])) {
				if at+len(firstCharacter(shown[at:])) > cursor {
					cursor = at
					break
				}
			}
			row, col := whereIs("p> ", shown, cursor, cols)
			if lines := cutRows("p> "+shown, cols); len(lines) < rows-2 {
				if got := v.text(); len(p.menu) == 0 && got != strings.TrimRight(want+strings.Join(trim(lines), "\n"), "\n") {
					rt.Fatalf("%q is shown as\n%s\nwant\n%s", p.text, got, want+strings.Join(lines, "\n"))
				}
				if v.row != first+row || v.col != col {
					rt.Fatalf("%q: the cursor is at %d,%d, want %d,%d:\n%s", p.text, v.row-first, v.col, row, col, v.text())
				}
			}
		}
		v.write(c.finish("p> ", "done", cols))
		if got := v.text(); got != want+strings.Join(trim(cutRows("p> done", cols)), "\n") || v.col != 0 {
			rt.Fatalf("at the end:\n%s", got)
		}
	})
}

// cutRows breaks a text into rows.
func cutRows(s string, cols int) (rows []string) {
	row := ""
	for s != "" {
		c := firstCharacter(s)
		if row != "" && text.Width(row+c) > cols {
			rows, row = append(rows, row), ""
		}
		row += c
		s = s[len(c):]
	}
	return append(rows, row)
}

func trim(rows []string) (out []string) {
	for _, r := range rows {
		out = append(out, strings.TrimRight(r, " "))
	}
	return out
}

// TestMenuCount draws a menu of which a part is visible, with short names, at the right edge.
// Its count takes one row.
func TestMenuCount(t *testing.T) {
	t.Parallel()
	const rows, cols = 10, 14
	p := picture{prompt: "p> ", text: "f(12345678", cursor: 10, first: 3, all: make([]Suggestion, 100)}
	for i := range p.all {
		p.all[i].Text = "x"
	}
	p.menu = []item{{Suggestion: p.all[3]}, {Suggestion: p.all[4], selected: true}}
	for rows, want := range map[int]string{rows: "p> f(12345678\n x\n x\n 4-5 of 100", 5: "p> f(12345678\n x\n x"} {
		v := newVT(t, rows, cols)
		v.write(newTestCanvas(true).draw("", p, rows, cols))
		got := regexp.MustCompile(`\n +`).ReplaceAllString(regexp.MustCompile(` *█?\n`).ReplaceAllString(v.text()+"\n", "\n"), "\n ")
		if strings.TrimSpace(got) != want || v.row != 0 {
			t.Errorf("%d rows:\n%s\nthe cursor is in row %d", rows, v.text(), v.row)
		}
	}
}

// TestCanvasLong shows the part of a long line where the cursor is.
func TestCanvasLong(t *testing.T) {
	t.Parallel()
	c, v := newTestCanvas(true), newVT(t, 5, 10)
	line := strings.Repeat("0123456789", 10) + "end"
	v.write("above\n")
	for range 3 {
		v.write(c.draw("", picture{prompt: "p> ", text: line, cursor: len(line)}, 5, 10))
		if got := v.text(); !strings.HasSuffix(got, "789end") || v.col != 6 || len(v.lines) > 6 {
			t.Fatalf("at its end:\n%s\n%d", got, v.col)
		}
		v.write(c.draw("", picture{prompt: "p> ", text: line}, 5, 10))
		if got := v.text(); !strings.Contains(got, "p> 0123456\n7890123456\n") || v.lines[v.row].cells[0] != "p" || v.col != 3 {
			t.Fatalf("at its start:\n%s", got)
		}
	}
	v.write(c.finish("p> ", line, 10))
	if got := v.text(); strings.Count(got, "p>") != 1 || !strings.HasSuffix(got, "789end") {
		t.Fatalf("at last:\n%s", got)
	}
}

// TestCanvasResized changes the width of a terminal that breaks rows anew. One prompt is
// left.
func TestCanvasResized(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cols := rapid.IntRange(4, 30).Draw(rt, "cols")
		c, v := newTestCanvas(rapid.Bool().Draw(rt, "colored")), newVT(t, 100, cols)
		v.write("above\n")
		line := drawText(40).Draw(rt, "line")
		p := picture{prompt: "p> ", text: line, cursor: len(line)}
		if rapid.Bool().Draw(rt, "start") {
			p.cursor = 0
		}
		for range rapid.IntRange(1, 5).Draw(rt, "sizes") {
			v.write(c.draw("", p, 100, cols))
			cols = rapid.IntRange(4, 30).Draw(rt, "new cols")
			v.resize(100, cols)
		}
		v.write(c.draw("", p, 100, cols))
		want := strings.Join(cutRows("above", cols), "\n") + "\n" + strings.Join(trim(cutRows("p> "+visible(line), cols)), "\n")
		if got := v.text(); got != strings.TrimRight(want, "\n ") {
			rt.Fatalf("%q:\n%s\nwant\n%s", line, got, want)
		}
	})
}

// TestCanvasDumb uses a terminal that knows no sequences.
func TestCanvasDumb(t *testing.T) {
	t.Parallel()
	c, v := &canvas{dumb: true}, newVT(t, 10, 20)
	for _, test := range []struct {
		above, text string
		cursor      int
		want        string
		col         int
	}{
		{"", "abc", 3, "p> abc", 6},
		{"", "a", 0, "p> a", 3},
		{"a notice\n", "日本", 3, "a notice\np> 日本", 5},
		{"", "0123456789012345678901234567890", 31, "a notice\n345678901234567890", 18},
		{"", "0123456789012345678901234567890", 0, "a notice\np> 0123456789012345", 3},
	} {
		out := c.draw(test.above, picture{prompt: "p> ", text: test.text, cursor: test.cursor}, 10, 20)
		v.write(out)
		if got := v.text(); strings.ContainsRune(out, 0x1b) || v.col != test.col || !strings.HasSuffix(got, test.want) && got != test.want {
			t.Errorf("%q is shown as\n%s\nat %d", test.text, got, v.col)
		}
	}
}

func TestCommonPrefix(t *testing.T) {
	t.Parallel()
	for want, list := range map[string][]string{
		"日":      {"日本", "日曜"},
		"node":   {"node", "nodes"},
		"":       {"é", "è"}, // share a byte
		"x":      {"xe", "xe\u0301"},
		"🇩🇪":     {"🇩🇪a", "🇩🇪b"},
		"single": {"single"},
	} {
		var s []Suggestion
		for _, text := range list {
			s = append(s, Suggestion{Text: text})
		}
		if got := commonPrefix(s); got != want {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

// TestIdle draws a line once while the terminal keeps its size, and again when it has
// another one.
func TestIdle(t *testing.T) {
	t.Parallel()
	for _, dumb := range []bool{false, true} {
		var out strings.Builder
		cols := 40
		s := &screen{out: &out, size: func() (int, int) { return 10, cols }, canvas: canvas{dumb: dumb, highlight: func(s string) string { return s }}}
		s.show(picture{prompt: "p> "})
		drawn := out.Len()
		if s.update(); out.Len() != drawn {
			t.Errorf("dumb %v: drawn again without a reason: %q", dumb, out.String()[drawn:])
		}
		cols = 30
		if s.update(); out.Len() == drawn {
			t.Errorf("dumb %v: not drawn for another size", dumb)
		}
	}
}
