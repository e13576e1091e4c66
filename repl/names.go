package repl

import (
	"strings"
	"unicode"
)

// In Starlark, load is a keyword of a statement that the shell does not use. The parser
// sees the command load under another name of the same length, so that columns stay
// right, which no user types.
const (
	loadName = "load"
	loadAs   = "ｌoad"
)

func sourceName(name string) string {
	if name == loadName {
		return loadAs
	}
	return name
}

func shownName(name string) string {
	if name == loadAs {
		return loadName
	}
	return name
}

// A renamer replaces load by its name for the parser, line by line, outside of strings
// and comments.
type renamer struct {
	quote string // that ends the string in which the next line begins; usually empty
}

func (r *renamer) line(s string) string {
	if r.quote == "" && !strings.Contains(s, loadName) && !strings.ContainsAny(s, `"'`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		n := 1
		switch c := s[i]; {
		case r.quote != "":
			if c == '\\' {
				n = min(2, len(s)-i)
			} else if strings.HasPrefix(s[i:], r.quote) {
				n, r.quote = len(r.quote), ""
			}
		case c == '#':
			n = len(s) - i
		case c == '"' || c == '\'':
			r.quote = string(c)
			if triple := strings.Repeat(r.quote, 3); strings.HasPrefix(s[i:], triple) {
				r.quote = triple
			}
			n = len(r.quote)
		default:
			word := identifier(s[i:])
			if n = max(n, len(word)); word == loadName {
				b.WriteString(loadAs)
				i += n
				continue
			}
		}
		b.WriteString(s[i : i+n])
		i += n
	}
	if len(r.quote) == 1 && !strings.HasSuffix(s, `\`) {
		r.quote = "" // the parser will complain
	}
	return b.String()
}

// identifier returns the run of letters and digits at the start of s.
func identifier(s string) string {
	end := strings.IndexFunc(s, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if end < 0 {
		return s
	}
	return s[:end]
}

// renameLoad returns whole lines as the parser gets them.
func renameLoad(lines []string) string {
	var r renamer
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(r.line(line))
		b.WriteByte('\n')
	}
	return b.String()
}
