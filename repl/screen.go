package repl

import (
	"strings"
	"sync"

	prompt "github.com/c-bata/go-prompt"
)

// A screen is where go-prompt draws. It keeps colours and the window's title as they should be, and
// puts lines of others above the prompt. It implements [prompt.ConsoleWriter].
type screen struct {
	prompt.ConsoleWriter
	colored bool
	input   bool // the line being typed is drawn

	mu      sync.Mutex
	notices []string // guarded by mu
}

// SetColor without colours marks only what is selected.
func (s *screen) SetColor(fg, bg prompt.Color, bold bool) {
	if s.input = fg == inputColor; s.input {
		fg = prompt.DefaultColor
	}
	switch {
	case s.colored:
		s.ConsoleWriter.SetColor(fg, bg, bold)
	case bold:
		s.WriteRawStr("\x1b[0;7m")
	default:
		s.WriteRawStr("\x1b[0m")
	}
}

// WriteStr writes text that may hold anything.
func (s *screen) WriteStr(text string) {
	if !s.input {
		s.ConsoleWriter.WriteStr(text)
		return
	}
	s.WriteRawStr(style{colored: s.colored}.highlight(strings.ReplaceAll(text, "\x1b", "?")))
}

// SetTitle and ClearTitle leave the title to the user; go-prompt would clear it after every line.
func (s *screen) SetTitle(string) {}
func (s *screen) ClearTitle()     {}

// HideCursor is the first that go-prompt does when it draws, after going to where the prompt
// begins. So what stands there now can move down.
func (s *screen) HideCursor() {
	if lines := s.takeNotices(); len(lines) > 0 {
		s.EraseDown()
		for _, line := range lines {
			s.WriteRawStr(line + "\n")
		}
	}
	s.ConsoleWriter.HideCursor()
}

func (s *screen) addNotice(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notices = append(s.notices, line)
}

func (s *screen) takeNotices() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.notices
	s.notices = nil
	return lines
}

// mute makes go-prompt draw nowhere until unmute is called.
func (s *screen) mute() { s.ConsoleWriter = new(nowhere) }

func (s *screen) unmute(w prompt.ConsoleWriter) { s.ConsoleWriter = w }

type nowhere struct{ prompt.VT100Writer }

func (*nowhere) Flush() error { return nil }
