// Package editor lets a user edit lines at a terminal. It is the only room that knows
// go-prompt.
//
// The path of a key: the tty reads bytes (tty.go) → the keyboard cuts them into keys
// (keyboard.go, key.go) → go-prompt changes the line → the screen shows it (screen.go).
// Ctrl-R searches the history (search.go, history.go), and Tab completes (menu.go).
package editor

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	prompt "github.com/c-bata/go-prompt"
)

// A Config configures an editor. In and Out are required, and are the process's terminal.
type Config struct {
	In, Out *os.File
	History string // file that keeps the lines; empty: they are kept in memory only
	Colored bool
	// Highlight colors a line. It does not change the text. It is called when Colored
	// is set only.
	Highlight func(line string) string
	// Complete returns the word before the cursor, which is at the end of before, and
	// what can stand instead of the word. It is called when Tab is pressed.
	Complete func(before string) (word string, list []Suggestion)
}

// A Suggestion is a text that completes a word, and what it means.
type Suggestion struct{ Text, Help string }

// WordSeparators end the word that a [Suggestion] replaces.
const WordSeparators = " \t()[]{}.,:;=+-*/%<>!&|^~\\\"'"

// Interrupted is the error of [Editor.ReadLine] after Ctrl-C.
type Interrupted struct {
	Idle bool // there was no text to drop
}

func (Interrupted) Error() string { return "interrupted" }

// An Editor edits lines with go-prompt. Go-prompt's Run can hang, leave the terminal raw
// and exit the process, so the editor calls Input in a loop, with its own keyboard and
// screen. One goroutine may use it, except for the methods that say otherwise.
type Editor struct {
	cfg     Config
	tty     *tty
	keys    *keyboard
	screen  *screen
	stdout  prompt.ConsoleWriter
	menu    *menu
	history *history
	prompt  *prompt.Prompt
	ahead   []string // further lines of a block from the history

	mu   sync.Mutex
	busy bool // guarded by mu; true while no line is being typed
	full bool // guarded by mu; true while somebody else draws and shows notices itself

	text string // the line when it was paused; used by Input's goroutine
	back int    // characters after the cursor, then
}

// Open returns an editor, or nil if the process has no controlling terminal. The caller
// must close it.
func Open(cfg Config) (e *Editor, err error) {
	tty, err := newTTY(cfg.In, cfg.Out)
	if err != nil {
		return nil, err
	}
	e = &Editor{cfg: cfg, tty: tty, busy: true, stdout: prompt.NewStdoutWriter(), history: openHistory(cfg.History)}
	e.keys = &keyboard{tty: tty}
	e.screen = &screen{ConsoleWriter: e.stdout, colored: cfg.Colored, highlight: cfg.Highlight}
	e.menu = &menu{complete: cfg.Complete}
	defer func() {
		if recover() != nil { // New panics without a controlling terminal
			e = nil
		}
	}()
	e.prompt = prompt.New(func(string) {}, e.menu.suggest, e.options()...)
	return e, tty.set(running)
}

// SetColored must be called between lines only.
func (e *Editor) SetColored(colored bool) { e.cfg.Colored, e.screen.colored = colored, colored }

// paint returns a prompt and a line as they are shown.
func (e *Editor) paint(text, line string) string {
	if !e.cfg.Colored {
		return text + line
	}
	return "\x1b[32m" + text + "\x1b[0m" + e.cfg.Highlight(line)
}

// Size returns the rows and columns of the terminal. Any goroutine may call it.
func (e *Editor) Size() (rows, cols int) { return e.tty.size() }

func (e *Editor) options() []prompt.Option {
	keys := append([]prompt.ASCIICodeBind{
		{ASCIICode: keyInterrupt, Fn: func(b *prompt.Buffer) {
			prompt.GoLineEnd(b)
			b.InsertText("^C", false, true)
		}},
		{ASCIICode: keyPause, Fn: func(b *prompt.Buffer) {
			e.text, e.back = b.Text(), len([]rune(b.Document().TextAfterCursor()))
			e.screen.mute()
		}},
		{ASCIICode: keyDelete, Fn: func(b *prompt.Buffer) {
			if b.Text() == "" {
				e.keys.ask(leaving)
			} else {
				b.Delete(1)
			}
		}},
		{ASCIICode: keyRestore, Fn: func(b *prompt.Buffer) { b.CursorLeft(e.back) }},
	}, append(new(killer).keys(), altKeys...)...)
	return []prompt.Option{
		prompt.OptionParser(e.keys),
		prompt.OptionWriter(e.screen),
		prompt.OptionPrefixTextColor(prompt.DarkGreen),
		prompt.OptionInputTextColor(inputColor),
		prompt.OptionSuggestionTextColor(prompt.Black),
		prompt.OptionSuggestionBGColor(prompt.LightGray),
		prompt.OptionDescriptionTextColor(prompt.Black),
		prompt.OptionDescriptionBGColor(prompt.LightGray),
		prompt.OptionSelectedSuggestionTextColor(prompt.White),
		prompt.OptionSelectedSuggestionBGColor(prompt.DarkBlue),
		prompt.OptionSelectedDescriptionTextColor(prompt.White),
		prompt.OptionSelectedDescriptionBGColor(prompt.DarkBlue),
		prompt.OptionScrollbarBGColor(prompt.LightGray),
		prompt.OptionPreviewSuggestionTextColor(prompt.DefaultColor),
		prompt.OptionCompletionWordSeparator(WordSeparators),
		prompt.OptionAddKeyBind(prompt.KeyBind{Key: prompt.Tab, Fn: e.menu.tab}),
		prompt.OptionAddASCIICodeBind(keys...),
	}
}

// Listen handles the signals of keys while a statement runs. Ctrl-C calls interrupt.
// Ctrl-Z restores the terminal and stops the process.
func (e *Editor) Listen(interrupt func()) (stop func()) {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	signal.Notify(e.tty.stops, syscall.SIGTSTP)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-interrupts:
				interrupt()
			case <-e.tty.stops:
				e.tty.suspend()
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		signal.Stop(interrupts)
		signal.Stop(e.tty.stops)
	}
}

// ReadLine lets the user edit a line.
func (e *Editor) ReadLine(ctx context.Context, text string) (string, error) {
	if len(e.ahead) > 0 {
		line := e.ahead[0]
		e.ahead = e.ahead[1:]
		return line, nil
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if line, ok := e.keys.wholeLine(); ok {
		fmt.Fprintf(e.tty.out, "%s\n", e.paint(text, line))
		return line, nil
	}
	defer context.AfterFunc(ctx, func() { e.keys.ask(cancelled) })()
	rows, cols := e.tty.size()
	e.menu.room = cols - len(text)
	e.apply(prompt.OptionPrefix(text), prompt.OptionHistory(e.history.lines()),
		prompt.OptionMaxSuggestion(uint16(min(max(rows-2, 1), 6))))
	line := e.input()
	for end := e.keys.ended(); end == resized || end == searching; end = e.keys.ended() {
		e.erase(len([]rune(text)))
		if end == searching {
			e.search()
		}
		line = e.inputAgain(len([]rune(text)))
	}
	switch e.keys.ended() {
	case interrupted:
		e.ahead = nil
		return "", Interrupted{Idle: line == "^C"}
	case leaving:
		return "", io.EOF
	case cancelled:
		return "", context.Cause(ctx)
	}
	if lines := strings.Split(line, blockMark); len(lines) > 1 {
		line, e.ahead = lines[0], append(lines[1:], "") // the empty line ends the block
	}
	return line, nil
}

// input runs go-prompt for a line.
func (e *Editor) input() string {
	e.setBusy(false)
	line := e.prompt.Input()
	e.setBusy(true)
	for _, notice := range e.screen.takeNotices() {
		fmt.Fprintln(e.tty.out, notice)
	}
	return line
}

// erase clears the line on the screen after Input was paused. Go-prompt has drawn nothing
// since, so the position of the cursor follows from the current width.
func (e *Editor) erase(prefix int) {
	e.screen.unmute(e.stdout)
	_, cols := e.tty.size()
	before := prefix + len([]rune(e.text)) - e.back
	e.screen.CursorUp(before / cols)
	e.screen.WriteRawStr("\r")
	e.screen.EraseDown()
	e.screen.Flush()
}

// inputAgain resumes the paused line.
func (e *Editor) inputAgain(prefix int) string {
	_, cols := e.tty.size()
	e.menu.room = cols - prefix
	e.apply(prompt.OptionInitialBufferText(e.text))
	e.keys.mu.Lock()
	e.keys.queue = append([][]byte{keyRestore}, e.keys.queue...)
	e.keys.mu.Unlock()
	return e.input()
}

func (e *Editor) apply(options ...prompt.Option) {
	for _, o := range options {
		_ = o(e.prompt) // the options of the shell do not fail
	}
}

func (e *Editor) setBusy(busy bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.busy = busy
}

// Interrupt handles a Ctrl-C that arrived as a signal while a line is being typed.
func (e *Editor) Interrupt() { e.keys.ask(interrupted) }

// Notify shows a line above the one being typed.
func (e *Editor) Notify(line string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy && !e.full {
		fmt.Fprintln(e.tty.out, line)
		return
	}
	e.screen.addNotice(line)
	if !e.menu.isOpen() { // a redraw would insert the selection
		e.keys.mu.Lock()
		e.keys.redraw = true
		e.keys.mu.Unlock()
	}
}

// Remember adds a line or block to the history.
func (e *Editor) Remember(entry string) { e.history.add(entry) }

// Close restores the terminal. It may be called again.
func (e *Editor) Close() { e.tty.close() }

// FullScreen gives the whole terminal to draw, which shows what it likes. It returns what
// draw returned, with the terminal as it was before. Notices wait meanwhile. The key that
// draw gets waits for at most a time, and reports whether a key was pressed or the
// terminal has gone.
func (e *Editor) FullScreen(draw func(key func(wait time.Duration) bool) error) error {
	if err := e.tty.set(editing); err != nil {
		return err
	}
	e.setFull(true)
	io.WriteString(e.tty.out, "\x1b[?1049h\x1b[?25l")
	defer func() {
		io.WriteString(e.tty.out, "\x1b[?25h\x1b[?1049l")
		e.endFull()
		_ = e.tty.set(running) // the next line sets it again, and reports
	}()
	return draw(func(wait time.Duration) bool {
		typed, eof := e.tty.read(nil, wait)
		return len(typed) > 0 || eof
	})
}

// Forget drops the text that was typed ahead. Any goroutine may call it.
func (e *Editor) Forget() { e.keys.forget() }
