package repl

import (
	"bytes"
	"strings"
	"time"
)

// pasted reports whether more lines follow of the paste, or of the block of the history,
// that the last line is of.
func (t *terminal) pasted() bool {
	return len(t.ahead) > 0 || t.keys.pasting && !bytes.HasPrefix(t.keys.buf, []byte(pasteEnd))
}

// pasteTime is how long the end of a paste may take to arrive.
const pasteTime = time.Second

// dropPaste drops these lines, and reports whether there were any.
func (t *terminal) dropPaste() bool {
	dropped := t.pasted()
	t.ahead = nil
	k := t.keys
	for until := time.Now().Add(pasteTime); k.pasting; {
		if i := bytes.Index(k.buf, []byte(pasteEnd)); i >= 0 {
			k.buf, k.pasting = k.buf[i+len(pasteEnd):], false
		} else if k.fill(pasteTime / 10); time.Now().After(until) {
			k.buf, k.pasting = nil, false
		}
	}
	return dropped
}

// indentUnit is by how much a block is indented if nothing in it says.
const indentUnit = "  "

// indentAfter returns the spaces with which the line after these should begin: those of
// the last one, more if that opens a block, and less if nothing can follow it in its
// block.
func indentAfter(lines []string) string {
	var last string
	var levels []string // indentations of the lines around the last one
	for _, line := range lines {
		text := strings.TrimLeft(line, " \t")
		if text == "" || comment(line) {
			continue
		}
		last = text
		indent := line[:len(line)-len(text)]
		for len(levels) > 0 && len(levels[len(levels)-1]) >= len(indent) {
			levels = levels[:len(levels)-1]
		}
		levels = append(levels, indent)
	}
	if len(levels) == 0 {
		return ""
	}
	indent := levels[len(levels)-1]
	if code, _, _ := strings.Cut(last, " #"); strings.HasSuffix(strings.TrimRight(code, " \t"), ":") {
		if len(levels) > 1 {
			return indent + strings.TrimPrefix(indent, levels[len(levels)-2])
		}
		return indent + indentUnit
	}
	switch identifier(last) {
	case "return", "break", "continue", "pass":
		if len(levels) > 1 {
			return levels[len(levels)-2]
		}
	}
	return indent
}
