package source

import (
	"strings"
	"unicode"
)

const (
	maxHead = 4096 // bytes of an error text that are read
	maxLine = 256  // bytes of its first line that are reported
)

// firstLine returns the first non-blank line of data for an error: valid UTF-8 of about
// maxLine bytes at most, without control characters.
func firstLine(data []byte) string {
	text := strings.TrimSpace(string(data))
	text, _, _ = strings.Cut(text, "\n")
	var line strings.Builder
	for _, r := range strings.TrimSpace(text) {
		switch {
		case line.Len() >= maxLine:
			return strings.TrimSpace(line.String()) + "…"
		case unicode.IsPrint(r): // so is the U+FFFD that stands for bytes that are no UTF-8
			line.WriteRune(r)
		case unicode.IsSpace(r):
			line.WriteByte(' ')
		}
	}
	return strings.TrimSpace(line.String()) // a space may have lost its neighbor
}
