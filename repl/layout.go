package repl

import "strings"

// A doc is a value as text, before it is known what fits on a line. It is a text, or parts
// between brackets.
type doc struct {
	text      string // colored; used if open is empty
	width     int    // columns of the whole doc on one line
	open, end string
	parts     []part
	nested    bool // some part has a key, or parts of its own
}

type part struct {
	key      string // of a dict or a record, with the colon; else empty
	keyWidth int
	doc      doc
}

// add adds a part to a doc that has brackets.
func (d *doc) add(key string, keyWidth int, of doc) {
	if len(d.parts) > 0 {
		d.width += len(", ")
	}
	d.width += keyWidth + of.width
	d.nested = d.nested || key != "" || of.open != ""
	d.parts = append(d.parts, part{key, keyWidth, of})
}

// A layout writes docs as iex's inspect does. What fits on the rest of the line stays on it.
// Of the rest, a list of single values goes on in the next lines, and all else has a line
// for each part.
type layout struct {
	b    strings.Builder
	cols int // columns of a line; 0: all is one line
	at   int // column
}

const indentBy = 2

// write writes a doc, after which so many columns of the line must be left.
func (l *layout) write(d *doc, indent, left int) {
	switch {
	case d.open == "" || l.cols == 0 || l.at+d.width+left <= l.cols:
		l.flat(d)
	case d.nested:
		l.lines(d, indent)
	default:
		l.fill(d, left)
	}
}

// flat writes a doc on one line.
func (l *layout) flat(d *doc) {
	if d.open == "" {
		l.put(d.text, d.width)
		return
	}
	l.put(d.open, len(d.open))
	for i := range d.parts {
		if i > 0 {
			l.put(", ", 2)
		}
		l.put(d.parts[i].key, d.parts[i].keyWidth)
		l.flat(&d.parts[i].doc)
	}
	l.put(d.end, len(d.end))
}

// lines writes each part on a line of its own, or several.
func (l *layout) lines(d *doc, indent int) {
	l.put(d.open, len(d.open))
	end := strings.TrimPrefix(d.end, ",")
	deeper := min(indent+indentBy, l.cols/2) // what is nested deeply has room, too
	for i := range d.parts {
		comma := ","
		if i == len(d.parts)-1 {
			comma = strings.TrimSuffix(d.end, end) // that of a tuple of one
		}
		l.newLine(deeper)
		l.put(d.parts[i].key, d.parts[i].keyWidth)
		l.write(&d.parts[i].doc, deeper, len(comma))
		l.put(comma, len(comma))
	}
	l.newLine(indent)
	l.put(end, len(end))
}

// fill writes as many parts on each line as fit.
func (l *layout) fill(d *doc, left int) {
	l.put(d.open, len(d.open))
	begin := l.at
	for i := range d.parts {
		of, after := &d.parts[i].doc, len(",")
		if i == len(d.parts)-1 {
			after = len(d.end) + left
		}
		switch {
		case i > 0 && l.at+2+of.width+after > l.cols:
			l.put(",", 1)
			l.newLine(begin)
		case i > 0:
			l.put(", ", 2)
		}
		l.put(of.text, of.width)
	}
	l.put(d.end, len(d.end))
}

func (l *layout) put(text string, width int) {
	l.b.WriteString(text)
	l.at += width
}

func (l *layout) newLine(indent int) {
	l.b.WriteString("\n" + strings.Repeat(" ", indent))
	l.at = indent
}
