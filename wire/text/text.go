// Package text makes short texts for people: beginnings of long texts, names and bars. It
// is a leaf that every other package may import.
package text

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

const (
	maxClip = 60 // bytes that Clip keeps
	maxName = 64 // bytes of a name
	more    = "…"
)

// Quote returns the first 60 bytes of s in double quotes, as a Go string literal.
func Quote(s string) string { return strconv.Quote(Clip(s)) }

// Clip returns the first 60 bytes of s, and an ellipsis if there are more. It does not
// cut a character in two.
func Clip(s string) string {
	if len(s) <= maxClip {
		return s
	}
	n := maxClip
	for n > maxClip-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + more
}

// Line makes one printable line of valid UTF-8 of s, which may come from anywhere. A text
// of more than limit bytes is cut to limit, with an ellipsis at its end. In a shorter
// one, invalid bytes become U+FFFD, which has three bytes.
func Line(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit-len(more)], "") + more
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) { // true of the U+FFFD that stands for an invalid byte
			return r
		}
		return ' '
	}, s)
}

// NameRule says in an error what [IsName] accepts.
const NameRule = "1 to 64 letters, digits, _ or -"

// IsName reports whether s may name a kind, or a node in front of its @: 1 to 64 ASCII
// letters, digits, underscores and hyphens.
func IsName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// Parse sets v to the constant with a name. The names are in the order of the constants.
// The error for an unknown name lists them; what is what they name, such as "state".
func Parse[T ~uint8](v *T, what string, names []string, name []byte) error {
	i := slices.Index(names, string(name))
	if i < 0 {
		return errors.New(what + " " + Quote(string(name)) + ": say " + strings.Join(names, ", "))
	}
	*v = T(i)
	return nil
}

// Bar draws value as a bar whose length is cols columns for a value of most, in eighths
// of a column. A value above zero has at least one eighth.
func Bar(value, most float64, cols int) string {
	if value <= 0 || most <= 0 {
		return ""
	}
	eighths := int(value/most*float64(8*cols) + 0.5)
	eighths = min(max(eighths, 1), 8*cols)
	part := []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}
	return strings.Repeat("█", eighths/8) + part[eighths%8]
}

// Width returns how many columns of a terminal s takes. Characters that control a
// terminal take none.
func Width(s string) int { return uniseg.StringWidth(s) }

// Fit returns s if it takes at most cols columns. Otherwise it returns the beginning of s
// that fits, with an ellipsis at its end. It does not cut a character in two.
func Fit(s string, cols int) string {
	if len(s) <= cols {
		return s
	}
	end, used, state := 0, 0, -1 // end is where the ellipsis fits
	for rest := s; rest != ""; {
		var width int
		_, rest, width, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if used += width; used > cols {
			return s[:end] + more
		}
		if used < cols {
			end = len(s) - len(rest)
		}
	}
	return s
}

// Pad returns s with spaces at its end, so that it takes at least cols columns of a
// terminal.
func Pad(s string, cols int) string { return s + strings.Repeat(" ", max(0, cols-Width(s))) }

// Spark draws values as a row of blocks, one column for each, of which the lowest stands
// for low and the highest for high; values beyond are drawn as these. NaN leaves a column
// empty. In ascii it takes other characters, for terminals that know no blocks.
func Spark(values []float64, low, high float64, ascii bool) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	if ascii {
		levels = []rune("_.:-=+*#")
	}
	var b strings.Builder
	for _, v := range values {
		if math.IsNaN(v) {
			b.WriteByte(' ')
			continue
		}
		part := 0.0
		if high > low {
			part = (min(max(v, low), high)/2 - low/2) / (high/2 - low/2) // halves do not overflow
		}
		b.WriteRune(levels[int(part*float64(len(levels)-1)+0.5)])
	}
	return b.String()
}

// Squeeze returns at most cols values: the means of as many neighbours as it takes. NaN is
// no value.
func Squeeze(values []float64, cols int) []float64 {
	if cols < 1 || len(values) <= cols {
		return values[:min(len(values), max(cols, 0))]
	}
	out := make([]float64, cols)
	for i := range out {
		sum, n := 0.0, 0.0
		for _, v := range values[i*len(values)/cols : (i+1)*len(values)/cols] {
			if !math.IsNaN(v) {
				sum, n = sum+v, n+1
			}
		}
		out[i] = sum / n // NaN if there is none
	}
	return out
}

// Printable returns s as one line of valid UTF-8 that shows itself and nothing else: ends
// of lines and tabs become spaces. Other characters that control a terminal, or the
// direction of the text around them, become question marks, and invalid bytes U+FFFD.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029':
			return '?'
		}
		return r
	}, s)
}
