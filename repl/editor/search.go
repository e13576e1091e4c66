package editor

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/distproc/distproc/wire/text"
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
func (e *Editor) search() {
	e.setFull(true)
	defer e.setFull(false)
	if e.tty.set(editing) != nil {
		return
	}
	s := &search{entries: e.history.lines()}
	s.at = len(s.entries)
	for shown := ""; ; {
		_, cols := e.tty.size()
		notices := e.screen.takeNotices()
		if line := text.Fit(s.String(), cols-1); line != shown || len(notices) > 0 {
			shown = line
			var above strings.Builder
			for _, n := range notices {
				above.WriteString(n + "\n")
			}
			e.screen.WriteRawStr("\r\x1b[J" + above.String() + printable(line))
			e.screen.Flush()
		}
		key, stop := e.keys.next()
		if key == "" && !stop || key != "" && s.key(key) {
			continue
		}
		if text, ok := s.found(); ok && !stop && key != "\x03" && key != "\x07" {
			e.text, e.back = text, 0
		}
		if key != "" && key != "\x03" && key != "\x07" && key != "\x1b" {
			e.keys.unread(key)
		}
		break
	}
	e.screen.WriteRawStr("\r\x1b[J")
	e.screen.Flush()
}

func (e *Editor) setFull(full bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.full = full
}

// endFull shows the notices that arrived meanwhile.
func (e *Editor) endFull() {
	e.setFull(false)
	for _, notice := range e.screen.takeNotices() {
		fmt.Fprintln(e.tty.out, notice)
	}
}

// printable returns s without characters that control a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}
