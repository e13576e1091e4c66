package repl

import "strings"

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
