// Package editor lets a user edit lines at a terminal. It is the only room that knows
// go-prompt.
//
// The path of a key: the tty reads bytes (tty.go) → the keyboard cuts them into keys
// (keyboard.go, decoder.go) → go-prompt changes the line, with more keys than its own
// (edit.go) → the screen takes what go-prompt draws (screen.go) → the canvas makes of it what
// the terminal is sent (canvas.go). Ctrl-R searches the history (search.go, history.go), and
// Tab completes (menu.go).
package editor

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
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

// A Suggestion is a text that completes a word, and what it means. Close ends what the
// text is a part of, such as a quote: it is inserted, too, if there is no other suggestion
// and it does not stand there yet.
type Suggestion struct{ Text, Help, Close string }

// WordSeparators end the word that a [Suggestion] replaces.
const WordSeparators = " \t()[]{}.,:;=+-*/%<>!&|^~\\\"'"

// Interrupted is the error of [Editor.ReadLine] after Ctrl-C.
type Interrupted struct {
	Idle  bool // there was no text to drop
	Typed bool // a key was pressed before, such as a letter that was erased
}

func (Interrupted) Error() string { return "interrupted" }

// An EditRequest is the error of [Editor.ReadLine] after Ctrl-X Ctrl-E: the user wants to
// edit the text that was typed with another program.
type EditRequest struct{ Text string }

func (EditRequest) Error() string { return "to be edited" }

// An Editor edits lines with go-prompt. Go-prompt's Run can hang, leave the terminal raw
// and exit the process, so the editor calls Input in a loop, with its own keyboard and
// screen. One goroutine may use it, except for the methods that say otherwise.
type Editor struct {
	tty     *tty
	keys    *keyboard
	screen  *screen
	menu    *menu
	history *history
	prompt  *prompt.Prompt
	draft   string       // with which the next line begins
	lends   atomic.Int64 // odd while another program has the terminal

	interrupts chan os.Signal // of capacity 1; see Listen
}

// Open returns an editor, or nil if the process has no controlling terminal. The caller
// must close it. On a system that is no Unix the error is [errors.ErrUnsupported].
func Open(cfg Config) (e *Editor, err error) {
	dumb := os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb"
	tty, err := newTTY(cfg.In, cfg.Out, dumb)
	if err != nil {
		return nil, err
	}
	e = &Editor{tty: tty, history: openHistory(cfg.History), menu: &menu{complete: cfg.Complete}, interrupts: make(chan os.Signal, 1)}
	e.screen = &screen{out: cfg.Out, size: tty.size, menu: e.menu, canvas: canvas{colored: cfg.Colored, dumb: dumb, highlight: cfg.Highlight}}
	if dumb {
		e.menu.tell = func(line string) { e.screen.notify(visible(line)) }
	}
	bindings := e.bindings()
	e.keys = &keyboard{tty: tty, screen: e.screen, bindings: bindings}
	defer func() {
		if recover() != nil { // New panics without a controlling terminal
			e = nil
		}
	}()
	e.prompt = prompt.New(func(string) {}, e.menu.suggest, e.options(bindings)...)
	if err = tty.set(running); err == nil && e.history.problem != "" {
		e.Notify(e.history.problem)
	}
	return e, err
}

// SetColored must be called between lines only.
func (e *Editor) SetColored(colored bool) { e.screen.setColored(colored) }

// Dumb reports whether the terminal knows no sequences, as TERM says.
func (e *Editor) Dumb() bool { return e.tty.dumb }

// Size returns the rows and columns of the terminal. Any goroutine may call it.
func (e *Editor) Size() (rows, cols int) { return e.tty.size() }

func (e *Editor) options(bindings map[string]prompt.KeyBindFunc) []prompt.Option {
	var keys []prompt.ASCIICodeBind
	for key, f := range bindings {
		keys = append(keys, prompt.ASCIICodeBind{ASCIICode: ownKey(key), Fn: f})
	}
	return []prompt.Option{
		prompt.OptionParser(e.keys),
		prompt.OptionWriter(e.screen),
		prompt.OptionPrefix(""),
		prompt.OptionInputTextColor(partInput),
		prompt.OptionSuggestionTextColor(prompt.DefaultColor),
		prompt.OptionSelectedSuggestionTextColor(prompt.DefaultColor),
		prompt.OptionDescriptionTextColor(partItem),
		prompt.OptionSelectedDescriptionTextColor(partSelected),
		prompt.OptionPreviewSuggestionTextColor(prompt.DefaultColor),
		prompt.OptionShowCompletionAtStart(),
		prompt.OptionCompletionWordSeparator(WordSeparators),
		prompt.OptionAddKeyBind(prompt.KeyBind{Key: prompt.Tab, Fn: e.menu.tab}),
		prompt.OptionAddASCIICodeBind(keys...),
	}
}

// lineOptions returns what go-prompt has to know of one line, which begins with a draft.
func (e *Editor) lineOptions(draft string, rows int) []prompt.Option {
	return []prompt.Option{
		prompt.OptionHistory(e.history.lines()),
		prompt.OptionInitialBufferText(draft),
		prompt.OptionMaxSuggestion(uint16(min(max(rows-2, 1), 6))),
	}
}

// Listen watches the terminal while a statement runs. Ctrl-C calls interrupt, and so does
// a terminal that has gone. Ctrl-Z restores the terminal and stops the process.
func (e *Editor) Listen(interrupt func()) (stop func()) {
	signal.Notify(e.interrupts, os.Interrupt)
	e.tty.watchStops()
	tick := time.NewTicker(lookAhead)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			lends := e.lends.Load()
			select {
			case <-e.interrupts:
				if lends%2 == 0 && lends == e.lends.Load() { // else it is for the other program, or was
					interrupt()
				}
			case <-e.tty.stops:
				e.tty.suspend()
			case <-tick.C:
				stop, notice := e.keys.readAhead()
				if notice != "" {
					e.Notify(notice)
				}
				if stop {
					interrupt()
				}
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		tick.Stop()
		signal.Stop(e.interrupts)
		signal.Stop(e.tty.stops)
	}
}

// lookAhead is how often the editor looks for text that is typed ahead.
const lookAhead = 20 * time.Millisecond

// ReadLine lets the user edit a line that begins with indent, unless it is pasted or was
// typed ahead. It returns [Interrupted] after Ctrl-C, [EditRequest] after Ctrl-X Ctrl-E,
// io.EOF after Ctrl-D on an empty line or when the terminal has gone, and the cause of ctx
// when ctx ends.
//
// Prompt returns the text before the line, which may change meanwhile: the editor calls it
// many times a second, from several goroutines, one at a time.
func (e *Editor) ReadLine(ctx context.Context, prompt func() string, indent string) (string, error) {
	if line, ok := e.keys.begin(); ok {
		return line, nil
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	e.screen.setPrompt(prompt)
	draft := e.draft
	if draft == "" {
		if line, ok := e.keys.wholeLine(); ok {
			e.screen.finish(line)
			return line, nil
		}
		draft = e.keys.indents(indent)
	}
	e.draft = ""
	defer context.AfterFunc(ctx, func() { e.keys.ask(cancelled) })()
	rows, _ := e.tty.size()
	for _, o := range e.lineOptions(draft, rows) {
		_ = o(e.prompt) // these do not fail
	}
	line := e.prompt.Input()
	end, touched := e.keys.ended()
	switch end {
	case interrupted:
		return "", Interrupted{Idle: line == "^C", Typed: touched}
	case edits:
		return "", EditRequest{Text: strings.ReplaceAll(line, blockMark, "\n")}
	case leaving:
		return "", io.EOF
	case cancelled:
		return "", context.Cause(ctx)
	}
	if lines := strings.Split(line, blockMark); len(lines) > 1 {
		line = lines[0]
		e.keys.continues(append(lines[1:], "")) // the empty line ends the block
	}
	return line, nil
}

// Draft makes the next line begin with a text, which may be a block. The user can change
// it before it is run.
func (e *Editor) Draft(text string) {
	e.draft = strings.ReplaceAll(clean(strings.TrimRight(text, " \t\r\n")), "\n", blockMark)
}

// Lend restores the terminal, runs a function that lets another program use it, and takes
// the terminal back. Notices wait meanwhile, and Ctrl-C is for that program. One goroutine
// may call it at a time, between lines.
func (e *Editor) Lend(use func() error) error {
	e.lends.Add(1)
	defer e.lends.Add(1)
	e.screen.hold()
	defer e.screen.release()
	if err := e.tty.set(found); err != nil {
		return err
	}
	err := use()
	err = errors.Join(err, e.tty.set(running))
	awaitSignals() // the Ctrl-C of the other program is a signal to this process, too, and may be late
	select {
	case <-e.interrupts:
	default:
	}
	return err
}

// Interrupt ends the line that is typed, or the next one, with [Interrupted]. Any goroutine
// may call it.
func (e *Editor) Interrupt() { e.keys.ask(interrupted) }

// TakeInterrupt reports whether a Ctrl-C waits for the next line, and forgets it: what runs
// before that line is to be stopped instead. Any goroutine may call it.
func (e *Editor) TakeInterrupt() bool { return e.keys.takeInterrupt() }

// Forget drops the text that was typed ahead. Any goroutine may call it.
func (e *Editor) Forget() { e.keys.forget() }

// Pasted reports whether more lines follow of the marked paste, or of the block from the
// history, that the last line is of.
func (e *Editor) Pasted() bool { return e.keys.pasted() }

// DropPaste drops the lines of which Pasted tells.
func (e *Editor) DropPaste() { e.keys.dropPaste() }

// Notify shows a line above the one being typed. Any goroutine may call it.
func (e *Editor) Notify(line string) { e.screen.notify(line) }

// Remember adds a line or block to the history.
func (e *Editor) Remember(entry string) { e.history.add(entry) }

// SaveHistory makes the editor keep what is remembered from now on in the file, too, or in
// memory only. At first it does.
func (e *Editor) SaveHistory(save bool) { e.history.private = !save }

// Clear clears the terminal, and what has scrolled off it.
func (e *Editor) Clear() {
	if !e.tty.dumb {
		io.WriteString(e.tty.out, "\x1b[H\x1b[2J\x1b[3J")
	}
}

// FullScreen gives the whole terminal to draw, which shows what it likes. It returns what
// draw returned, with the terminal as it was before. Notices wait meanwhile. The key that
// draw gets waits for at most a time, and reports whether a key was pressed or the
// terminal has gone. On a [Editor.Dumb] terminal draw goes on where the cursor is.
func (e *Editor) FullScreen(draw func(key func(wait time.Duration) bool) error) error {
	if err := e.tty.set(editing); err != nil {
		return err
	}
	e.screen.hold()
	enter, leave := "\x1b[?1049h"+hide, show+"\x1b[?1049l"
	if e.tty.dumb {
		enter, leave = "", ""
	}
	io.WriteString(e.tty.out, enter)
	defer func() {
		io.WriteString(e.tty.out, leave)
		e.screen.release()
		_ = e.tty.set(running) // the next line sets it again, and reports
	}()
	return draw(e.keys.pressed)
}

// Follow has f write lines, as any command does, and tells it of keys, as FullScreen tells
// draw. What is typed meanwhile is no line.
func (e *Editor) Follow(f func(key func(wait time.Duration) bool) error) error {
	if err := e.tty.set(editing); err != nil {
		return err
	}
	defer func() { _ = e.tty.set(running) }() // the next line sets it again, and reports
	return f(e.keys.pressed)
}

// Close restores the terminal. It may be called again.
func (e *Editor) Close() {
	e.tty.close()
	e.history.save(lockTries)
}
