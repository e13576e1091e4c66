package editor

import (
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
		if key == "" || key[0] < ' ' {
			return false
		}
		s.query += key
		s.find(min(s.at, len(s.entries)-1), -1)
	}
	return true
}

// picture shows the entry found, with the cursor at the query in it.
func (s *search) picture() picture {
	word := "(reverse-i-search)"
	if s.failed && s.query != "" {
		word = "(failed reverse-i-search)"
	}
	text, _ := s.found()
	return picture{prompt: word + "`" + s.query + "': ", text: text, cursor: max(strings.Index(text, s.query), 0)}
}

// search lets the user search the history on the line of the prompt. The entry found
// becomes the line. Ctrl-C and Ctrl-G restore the line. Any other key ends the search and
// is then obeyed.
func (e *Editor) search(b *prompt.Buffer) {
	defer e.keys.release()
	s := &search{entries: e.history.lines()}
	s.at = len(s.entries)
	e.screen.show(s.picture())
	for {
		e.screen.update()
		key, stop := e.keys.next()
		if key == "" && !stop {
			continue
		}
		if key != "" && s.key(key) {
			e.screen.show(s.picture())
			continue
		}
		if text, ok := s.found(); ok && !stop && key != "\x03" && key != "\x07" {
			setText(b, text)
		}
		if key != "" && key != "\x03" && key != "\x07" && key != "\x1b" {
			e.keys.unread(key)
		}
		return
	}
}
