package editor

import (
	"fmt"
	"strings"

	"github.com/rivo/uniseg"

	"github.com/distproc/distproc/wire/text"
)

// A canvas makes what a terminal needs to show pictures one after the other in the same
// place. It remembers the last one to find its first row.
//
// A row of ASCII text is broken by the terminal itself, so that the text stays one line
// when it is copied or the window grows. After a row with other characters the canvas
// breaks, as terminals disagree on their widths, and a wrong row must not shift those
// below.
type canvas struct {
	colored   bool
	dumb      bool // the terminal has one row, and knows no sequences
	highlight func(string) string

	rows, cols int    // of the terminal at the last picture
	top        int    // first row of the line that is visible
	above      string // what is visible before the cursor, with its breaks
	follows    bool   // something stands at the cursor
	drawn      int    // columns that are used; dumb only
}

// blockMark stands for a line end in a block, which go-prompt edits as one line. No text
// that is typed, pasted or kept in the history has it.
const blockMark = "\x1e"

// visible returns s with a picture for each character that would control the terminal.
func visible(s string) string { return text.Printable(pictures.Replace(s)) }

var pictures = strings.NewReplacer(blockMark, "⏎", "\t", tabSpaces)

// A glyph is a character, and where it stands on the terminal.
type glyph struct{ at, n, row, col, width int } // at and n are bytes

// lay lays a visible text out in rows of cols columns. It calls f for each character, and
// returns the place behind the last one, which may be the start of a row of its own.
func lay(s string, cols int, f func(glyph)) (end glyph) {
	var g glyph
	for g.at < len(s) {
		if c := s[g.at]; c < 0x80 && (g.at+1 == len(s) || s[g.at+1] < 0x80) {
			g.n, g.width = 1, 1
		} else {
			first, _, width, _ := uniseg.FirstGraphemeClusterInString(s[g.at:], -1)
			g.n, g.width = len(first), width
		}
		if g.col+g.width > cols && g.col > 0 {
			g.row, g.col = g.row+1, 0
		}
		f(g)
		g.at, g.col = g.at+g.n, g.col+g.width
	}
	if g.col >= cols {
		g.row, g.col = g.row+1, 0
	}
	return glyph{at: g.at, row: g.row, col: g.col}
}

// A row is a row of a line.
type row struct {
	start int // byte of the line
	text  strings.Builder
	width int
	ascii bool
}

// A drawing is a line in rows.
type drawing struct {
	plain  string // the prompt and the line
	rows   []*row
	cursor glyph
}

// lay lays a picture out, with its colors.
func (c *canvas) lay(p picture, cols int) (d drawing) {
	head := visible(p.prompt)
	line, before := visible(p.text), len(head)+len(visible(p.text[:p.cursor]))
	colors, color := c.colors(head, line), ""
	d.plain = head + line
	begin := func(at int) {
		d.rows = append(d.rows, &row{start: at, ascii: true})
		d.rows[len(d.rows)-1].text.WriteString(color)
	}
	begin(0)
	end := lay(d.plain, cols, func(g glyph) {
		if g.row == len(d.rows) {
			begin(g.at)
		}
		r := d.rows[g.row]
		for len(colors) > 0 && colors[0].at <= g.at {
			color, colors = colors[0].sequence, colors[1:]
			r.text.WriteString(color)
		}
		r.text.WriteString(d.plain[g.at : g.at+g.n])
		r.width, r.ascii = g.col+g.width, r.ascii && g.n == 1
		if g.at <= before {
			d.cursor = g
		}
	})
	if end.row == len(d.rows) {
		begin(end.at)
	}
	if before >= end.at {
		d.cursor = end
	}
	return d
}

// A color is a sequence that colors the text from a byte on.
type color struct {
	at       int
	sequence string
}

func (c *canvas) colors(head, line string) []color {
	if !c.colored {
		return nil
	}
	list := []color{{0, green}, {len(head), plain}}
	at := len(head)
	for rest := c.highlight(line); rest != ""; {
		n := strings.IndexByte(rest, 0x1b) // line has none
		if n < 0 {
			break
		}
		m := n + strings.IndexByte(rest[n:], 'm') + 1
		at += n
		list = append(list, color{at, rest[n:m]})
		rest = rest[m:]
	}
	return list
}

const (
	green    = "\x1b[32m"
	plain    = "\x1b[0m"
	reverse  = "\x1b[0;7m"
	onGrey   = "\x1b[0;30;47m"
	onBlue   = "\x1b[0;1;97;44m"
	hide     = "\x1b[?25l"
	show     = "\x1b[?25h"
	eraseEnd = "\x1b[J"
)

// draw replaces the last picture by lines that stay and a picture.
func (c *canvas) draw(above string, p picture, rows, cols int) string {
	if c.dumb {
		c.rows = rows
		return c.drawRow(above, p, cols)
	}
	var b strings.Builder
	b.WriteString(hide + c.erase(cols) + above)
	c.rows, c.cols = rows, cols
	if p.menu = p.menu[:min(len(p.menu), rows-1)]; cols < minMenu {
		p.menu = nil
	}
	below := len(p.menu)
	count := p.count()
	if count != "" && below+minRows <= rows {
		below++
	} else {
		count = ""
	}
	d := c.lay(p, cols)
	height := max(rows-below, 1)
	c.top = max(min(c.top, d.cursor.row, len(d.rows)-height), d.cursor.row-height+1, 0)
	view := d.rows[c.top:min(c.top+height, len(d.rows))]
	c.above = ""
	for i, r := range view {
		b.WriteString(r.text.String())
		wraps, next := "", len(d.plain)
		if c.top+i+1 < len(d.rows) {
			next = d.rows[c.top+i+1].start
			switch {
			case !r.ascii || r.width < cols:
				wraps = "\r\n"
			case next == len(d.plain):
				wraps = " \r" // makes the empty row in which the cursor stands
			}
		}
		if i+1 < len(view) {
			b.WriteString(wraps)
		}
		if c.top+i < d.cursor.row {
			c.above += d.plain[r.start:next] + strings.Trim(wraps, " \r")
		} else if c.top+i == d.cursor.row {
			c.above += d.plain[r.start:d.cursor.at]
			c.follows = d.cursor.at < len(d.plain) || r.width == 0 && i > 0
		}
	}
	if c.colored {
		b.WriteString(plain)
	}
	c.drawMenu(&b, p, count, d.cursor.col)
	if n := len(view) + below - 1 - (d.cursor.row - c.top); n > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", n)
	}
	b.WriteByte('\r')
	if d.cursor.col > 0 {
		fmt.Fprintf(&b, "\x1b[%dC", d.cursor.col)
	}
	b.WriteString(show)
	return b.String()
}

const (
	minMenu = 10 // columns that a terminal needs for a menu
	minHelp = 6  // columns that a menu needs for help
	minRows = 4  // rows beside a menu that leave room for its count
)

// count says which part of the menu is visible, unless all is.
func (p *picture) count() string {
	if n := len(p.menu); n > 0 && n < len(p.all) {
		return fmt.Sprintf("%d-%d of %d", p.first+1, p.first+n, len(p.all))
	}
	return ""
}

// drawMenu draws the menu below the line, with its left edge at a column if it fits, and
// below it the count of the suggestions unless that is empty.
func (c *canvas) drawMenu(b *strings.Builder, p picture, count string, col int) {
	left, right := 0, 0
	for _, s := range p.all {
		left, right = max(left, text.Width(visible(s.Text))), max(right, text.Width(visible(s.Help)))
	}
	left = min(left, c.cols-4)
	if room := c.cols - left - 6; room < min(right, minHelp) {
		right = 0
	} else {
		right = min(right, room)
	}
	width := left + 3
	if right > 0 {
		width += right + 2
	}
	width = max(width, len(count)+1)
	indent := strings.Repeat(" ", max(min(col, c.cols-1-width), 0))
	for i, item := range p.menu {
		cell := " " + pad(item.Text, left) + " "
		if right > 0 {
			cell += " " + pad(item.Help, right) + " "
		}
		bar := " " // a scroll bar, unless all is visible
		if n := len(p.menu); n < len(p.all) && i >= p.first*n/len(p.all) && i <= (p.first+n)*n/len(p.all) {
			bar = "█"
		}
		color := plain
		switch {
		case c.colored && item.selected:
			color = onBlue
		case c.colored:
			color = onGrey
		case item.selected:
			color = reverse
		}
		b.WriteString("\r\n" + indent + color + cell + bar + plain)
	}
	if count != "" {
		b.WriteString("\r\n" + indent + plain + " " + text.Fit(count, c.cols-2))
	}
}

// pad makes a text exactly cols columns wide.
func pad(s string, cols int) string {
	s = text.Fit(visible(s), cols)
	return s + strings.Repeat(" ", max(cols-text.Width(s), 0))
}

// drawRow is draw on a terminal that knows carriage return only: it shows the part of the
// line around the cursor.
func (c *canvas) drawRow(above string, p picture, cols int) string {
	var b strings.Builder
	if above != "" {
		b.WriteString(c.erase(cols) + above)
		c.drawn = 0
	}
	c.cols = cols
	d := (&canvas{}).lay(p, 1<<30)
	room := max(cols-1, 1)
	first := max(0, d.cursor.col-room+1)
	var before, after strings.Builder
	width := 0
	lay(d.plain, 1<<30, func(g glyph) {
		switch {
		case g.col < first || g.col+g.width > first+room:
		case g.at < d.cursor.at:
			before.WriteString(d.plain[g.at : g.at+g.n])
			width += g.width
		default:
			after.WriteString(d.plain[g.at : g.at+g.n])
			width += g.width
		}
	})
	b.WriteString("\r" + before.String() + after.String() + strings.Repeat(" ", max(c.drawn-width, 0)) + "\r" + before.String())
	c.drawn = width
	return b.String()
}

// finish replaces the last picture by a whole line that stays.
func (c *canvas) finish(prompt, line string, cols int) string {
	shown := visible(prompt + line)
	if c.colored {
		shown = green + visible(prompt) + plain + c.highlight(visible(line)) + plain
	}
	out := c.erase(cols) + shown + "\n"
	c.forget()
	return out
}

// erase goes to the start of the last picture and erases it. If the terminal has another
// width now, it has broken the rows anew.
func (c *canvas) erase(cols int) string {
	if c.dumb {
		return "\r" + strings.Repeat(" ", c.drawn) + "\r"
	}
	lines := strings.Split(c.above, "\n")
	up := 0
	for i, line := range lines {
		end := lay(line, cols, func(glyph) {})
		up += end.row
		switch last := i+1 == len(lines); {
		case !last && (end.col > 0 || end.row == 0):
			up++
		case last && !c.follows && end.col == 0 && end.row > 0:
			up-- // the cursor waits behind the last column
		}
	}
	if up == 0 {
		return "\r" + eraseEnd
	}
	return fmt.Sprintf("\r\x1b[%dA%s", up, eraseEnd)
}

// forget makes the next picture begin where the cursor is.
func (c *canvas) forget() { c.above, c.drawn, c.top = "", 0, 0 }

// clear clears the terminal.
func (c *canvas) clear() string {
	c.forget()
	if c.dumb {
		return ""
	}
	return "\x1b[H\x1b[2J"
}
