package repl

import (
	"fmt"
	"strings"
	"unicode/utf8"

	prompt "github.com/c-bata/go-prompt"
)

// A search searches the history from the newest entry back, like Ctrl-R of readline: each
// letter of the query updates the result.
type search struct {
	entries []string
	query   string
	at      int // entry that is shown; len(entries): none yet
	failed  bool
}

// find searches from entry i in steps of dir for an entry that contains the query.
func (s *search) find(i, dir int) {
	for ; i >= 0 && i < len(s.entries); i += dir {
		if strings.Contains(s.entries[i], s.query) {
			s.at, s.failed = i, false
			return
		}
	}
	s.failed = true
}

// found returns the shown entry.
func (s *search) found() (string, bool) {
	if s.at < len(s.entries) && s.query != "" {
		return s.entries[s.at], true
	}
	return "", false
}

// key obeys a key if it is one for the search, and reports whether it was.
func (s *search) key(key string) bool {
	switch key {
	case "\x12": // Ctrl-R
		s.find(s.at-1, -1)
	case "\x13": // Ctrl-S
		s.find(s.at+1, 1)
	case "\x7f", "\b":
		_, size := utf8.DecodeLastRuneInString(s.query)
		s.query = s.query[:len(s.query)-size]
		s.at = len(s.entries)
		s.find(s.at-1, -1)
	default:
		if key == "" || key[0] < ' ' || key[0] == 0xff {
			return false
		}
		s.query += key
		s.find(min(s.at, len(s.entries)-1), -1)
	}
	return true
}

func (s *search) String() string {
	text, _ := s.found()
	word := "(reverse-i-search)"
	if s.failed && s.query != "" {
		word = "(failed reverse-i-search)"
	}
	return word + "`" + s.query + "': " + text
}

// search lets the user search the history on the line of the prompt. The entry found
// becomes the line. Ctrl-C and Ctrl-G restore the line. Any other key ends the search and
// is then obeyed.
func (t *terminal) search() {
	t.setFull(true)
	defer t.setFull(false)
	if t.tty.set(editing) != nil {
		return
	}
	s := &search{entries: t.history.lines()}
	s.at = len(s.entries)
	for shown := ""; ; {
		_, cols := t.tty.size()
		notices := t.screen.takeNotices()
		if text := fit(s.String(), cols-1); text != shown || len(notices) > 0 {
			shown = text
			var above strings.Builder
			for _, n := range notices {
				above.WriteString(n + "\n")
			}
			t.screen.WriteRawStr("\r\x1b[J" + above.String() + printable(text))
			t.screen.Flush()
		}
		key, stop := t.keys.next()
		if key == "" && !stop || key != "" && s.key(key) {
			continue
		}
		if text, ok := s.found(); ok && !stop && key != "\x03" && key != "\x07" {
			t.text, t.back = text, 0
		}
		if key != "" && key != "\x03" && key != "\x07" && key != "\x1b" {
			t.keys.unread(key)
		}
		break
	}
	t.screen.WriteRawStr("\r\x1b[J")
	t.screen.Flush()
}

func (t *terminal) setFull(full bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.full = full
}

// endFull shows the notices that arrived meanwhile.
func (t *terminal) endFull() {
	t.setFull(false)
	for _, notice := range t.screen.takeNotices() {
		fmt.Fprintln(t.tty.out, notice)
	}
}

// fit cuts the end of s that does not fit in cols columns.
func fit(s string, cols int) string {
	if width(s) <= cols {
		return s
	}
	r := []rune(s)
	r = r[:min(len(r), max(cols, 0))]
	for len(r) > 0 && width(string(r)) > cols-1 {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}

// width returns how many columns s takes.
func width(s string) int {
	b := prompt.NewBuffer()
	b.InsertText(s, false, true)
	return b.DisplayCursorPosition()
}
