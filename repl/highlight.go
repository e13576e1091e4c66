package repl

import "strings"

// keywords lists the keywords of Starlark and of the shell's dialect.
var keywords = map[string]bool{
	"and": true, "break": true, "continue": true, "def": true, "elif": true, "else": true, "for": true, "if": true,
	"in": true, "lambda": true, "not": true, "or": true, "pass": true, "return": true, "while": true,
}

var constants = map[string]bool{"True": true, "False": true, "None": true}

// highlight colors a line as it is typed. It does not change the text.
func (s style) highlight(line string) string {
	if !s.colored || len(line) > 4096 {
		return line
	}
	var b strings.Builder
	for len(line) > 0 {
		token, text := nextToken(line)
		b.WriteString(token(s, line[:text]))
		line = line[text:]
	}
	return b.String()
}

// nextToken returns the length of the token at the start of a line, and how to show it.
func nextToken(line string) (show func(style, string) string, n int) {
	plain := func(_ style, text string) string { return text }
	switch c := line[0]; {
	case c == '#':
		return style.faint, len(line)
	case c == '"' || c == '\'':
		for n = 1; n < len(line) && line[n] != c; n++ {
			if line[n] == '\\' {
				n++
			}
		}
		return style.good, min(n+1, len(line))
	}
	word := identifier(line)
	switch {
	case word == "":
		n = strings.IndexFunc(line, func(r rune) bool {
			return r == '#' || r == '"' || r == '\'' || identifier(string(r)) != ""
		})
		if n < 0 {
			n = len(line)
		}
		return plain, max(n, 1)
	case keywords[word]:
		return style.odd, len(word)
	case constants[word] || word[0] >= '0' && word[0] <= '9':
		return style.literal, len(word)
	}
	return plain, len(word)
}
