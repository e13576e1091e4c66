package source

import (
	"strings"
	"unicode"
)

const (
	maxHead = 4096 // bytes of a failure that are looked at
	maxLine = 256  // and bytes of its first line that are passed on
)

// firstLine returns the first line of data that is not blank, fit to be part of an error: valid UTF-8 of at most about
// maxLine bytes, without control characters.
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
	return strings.TrimSpace(line.String()) // what stood beside a space may be left out
}
