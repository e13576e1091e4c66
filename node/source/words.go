package source

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distproc/distproc/wire/text"
)

// splitWords splits s like a POSIX shell (Shell Command Language, section 2.2), except
// that nothing is expanded, and operators and # are ordinary characters.
func splitWords(s string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		inWord bool // true for an empty word, too: ''
	)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\t', '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case '\'', '"':
			quoted, n := unquote(s[i:])
			if n == 0 {
				return nil, fmt.Errorf("the %c at byte %d, before %s, has no second one", c, i+1, text.Quote(s[i+1:]))
			}
			word.WriteString(quoted)
			inWord = true
			i += n - 1
		case '\\':
			i++
			if i == len(s) {
				return nil, errors.New(`the \ at the end has nothing to escape: write \\ for itself`)
			}
			if s[i] != '\n' {
				word.WriteByte(s[i])
				inWord = true
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// unquote returns the text of the quotation at the start of s and its length in bytes, or
// 0 if the quotation does not end.
func unquote(s string) (string, int) {
	var text strings.Builder
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote:
			return text.String(), i + 1
		case c == '\\' && quote == '"' && i+1 < len(s) && strings.IndexByte("\\\"$`\n", s[i+1]) >= 0:
			i++
			if s[i] != '\n' {
				text.WriteByte(s[i])
			}
		default:
			text.WriteByte(c)
		}
	}
	return "", 0
}
