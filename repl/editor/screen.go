package editor

import (
	"strings"
	"sync"

	prompt "github.com/c-bata/go-prompt"
)

// A screen is the output of go-prompt. It controls colors, leaves the title of the window
// alone, and inserts notices above the prompt. It implements [prompt.ConsoleWriter].
type screen struct {
	prompt.ConsoleWriter
	colored   bool
	highlight func(string) string
	input     bool // the line being typed is drawn

	mu      sync.Mutex
	notices []string // guarded by mu
}

// SetColor without colors marks the selection only.
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

// WriteStr writes text without characters that control the terminal.
func (s *screen) WriteStr(text string) {
	if !s.input {
		s.ConsoleWriter.WriteStr(text)
		return
	}
	text = strings.ReplaceAll(text, "\x1b", "?")
	if s.colored {
		text = s.highlight(text)
	}
	s.WriteRawStr(text)
}

// SetTitle and ClearTitle do nothing. Go-prompt would clear the user's title after every
// line.
func (s *screen) SetTitle(string) {}
func (s *screen) ClearTitle()     {}

// HideCursor inserts the notices above the prompt. Go-prompt calls it first when it
// draws, with the cursor at the start of the prompt.
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

// mute discards the output of go-prompt until unmute is called.
func (s *screen) mute() { s.ConsoleWriter = new(nowhere) }

func (s *screen) unmute(w prompt.ConsoleWriter) { s.ConsoleWriter = w }

// inputColor is not a color. It tells the screen that the line being typed is drawn next.
const inputColor prompt.Color = 1000

type nowhere struct{ prompt.VT100Writer }

func (*nowhere) Flush() error { return nil }
