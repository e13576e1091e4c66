package editor

import (
	"io"
	"strconv"
	"strings"
	"sync"

	prompt "github.com/c-bata/go-prompt"
)

// A screen shows the line that is edited. It implements [prompt.ConsoleWriter], as which
// it learns what go-prompt draws. It draws that itself, because go-prompt divides widths to
// find the cursor, which is wrong as soon as a wide character does not fit at the end of a
// row. Notices appear above the line.
type screen struct {
	prompt.VT100Writer // takes what go-prompt would write; nobody reads it

	out     io.Writer
	size    func() (rows, cols int)
	menu    *menu
	drawing picture      // as go-prompt draws it; used by the goroutine of Input
	part    prompt.Color // what go-prompt writes next
	fresh   bool         // go-prompt has drawn since the last Flush

	mu      sync.Mutex
	prompt  func() string // guarded by mu, as all below
	head    string        // what prompt returned last
	canvas  canvas
	showing bool     // the line is on the terminal
	shown   picture  // what was shown last
	held    bool     // somebody else draws
	notices []string // that arrived while held
}

// A picture is a line that is edited, and the menu below it.
type picture struct {
	prompt, text string
	cursor       int    // bytes of text before it
	menu         []item // the visible part
	first        int    // index of menu[0] in all
	all          []Suggestion
}

// An item is a row of the menu.
type item struct {
	Suggestion
	selected bool
}

// Colors that are none: they say what go-prompt writes next.
const (
	partInput prompt.Color = 1000 + iota
	partItem               // the number of a row of the menu
	partSelected
)

// SetColor notes what go-prompt writes next.
func (s *screen) SetColor(fg, _ prompt.Color, _ bool) { s.part = fg }

// setPrompt sets the prompt of the next line.
func (s *screen) setPrompt(prompt func() string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prompt, s.head = prompt, prompt()
}

// HideCursor begins a drawing.
func (s *screen) HideCursor() {
	text, cursor := s.menu.line()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head = s.prompt()
	s.drawing = picture{prompt: s.head, text: text, cursor: cursor, all: s.menu.list}
	s.fresh = true
}

// WriteStr takes a part of a drawing, or the line after it has ended.
func (s *screen) WriteStr(text string) {
	line, ended := strings.CutSuffix(text, "\n")
	switch s.part {
	case partInput:
		if ended {
			s.fresh = false
			s.finish(line)
		}
	case partItem, partSelected:
		i, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return
		}
		d := &s.drawing
		if len(d.menu) == 0 {
			d.first = i
		}
		d.menu = append(d.menu, item{s.menu.list[i], s.part == partSelected})
		if s.part == partSelected { // the line has it already
			word := len(s.menu.word())
			before, after := d.text[:d.cursor-word]+s.menu.list[i].Text, d.text[d.cursor:]
			d.text, d.cursor = before+after, len(before)
		}
	}
}

// Flush shows a drawing.
func (s *screen) Flush() error {
	s.VT100Writer = prompt.VT100Writer{}
	if s.fresh {
		s.fresh = false
		s.show(s.drawing)
	}
	return nil
}

// show shows a picture in the place of the last one.
func (s *screen) show(p picture) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawLocked("", p)
}

// drawLocked replaces what is shown by lines that stay, and a picture below them.
func (s *screen) drawLocked(above string, p picture) {
	rows, cols := s.size()
	io.WriteString(s.out, s.canvas.draw(above, p, rows, cols))
	s.shown, s.showing = p, true
}

// finish shows a whole line that has ended, and leaves the cursor below it.
func (s *screen) finish(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, cols := s.size()
	io.WriteString(s.out, s.canvas.finish(s.head, line, cols))
	s.showing = false
}

// notify shows a line above the line that is edited.
func (s *screen) notify(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.held:
		s.notices = append(s.notices, line)
	case s.showing:
		s.drawLocked(line+"\n", s.shown)
	default:
		io.WriteString(s.out, line+"\n")
	}
}

// hold leaves the terminal to somebody else until release.
func (s *screen) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

// release shows the notices that arrived meanwhile.
func (s *screen) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.notices {
		io.WriteString(s.out, line+"\n")
	}
	s.held, s.notices = false, nil
}

// update draws again if the size of the terminal has changed, or the prompt that is shown.
// A search shows another one.
func (s *screen) update() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.showing {
		return
	}
	rows, cols := s.size()
	old := rows != s.canvas.rows || cols != s.canvas.cols
	if s.prompt != nil && s.shown.prompt == s.head {
		s.head = s.prompt()
		old = old || s.shown.prompt != s.head
		s.shown.prompt = s.head
	}
	if old {
		s.drawLocked("", s.shown)
	}
}

// resumed draws again after other programs have used the terminal.
func (s *screen) resumed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.canvas.forget(); s.showing {
		s.drawLocked("", s.shown)
	}
}

// clear clears the terminal. The next picture is at its top.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	io.WriteString(s.out, s.canvas.clear())
}

// setColored makes what is drawn from now on colored, or not.
func (s *screen) setColored(colored bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.canvas.colored = colored
}
