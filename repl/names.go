package repl

import (
	"strings"
	"unicode"
)

// In Starlark, load is a keyword of a statement that the shell does not use, and del is
// reserved. The parser sees the commands of these names under others of the same length,
// so that columns stay right, which no user types.
const (
	loadName = "load"
	loadAs   = "ｌoad"
	delName  = "del"
	delAs    = "ｄel"
)

var (
	toSource = map[string]string{loadName: loadAs, delName: delAs}
	toShown  = strings.NewReplacer(loadAs, loadName, delAs, delName)
)

func sourceName(name string) string {
	if as, ok := toSource[name]; ok {
		return as
	}
	return name
}

func shownName(name string) string { return toShown.Replace(name) }

// A renamer replaces load and del by their names for the parser, line by line, outside of
// strings and comments.
type renamer struct {
	quote string // that ends the string in which the next line begins; usually empty
}

func (r *renamer) line(s string) string {
	if r.quote == "" && !strings.Contains(s, loadName) && !strings.Contains(s, delName) && !strings.ContainsAny(s, `"'`) {
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
			n = max(n, len(word))
			if as, ok := toSource[word]; ok {
				b.WriteString(as)
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
