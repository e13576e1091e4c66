package repl

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	prompt "github.com/c-bata/go-prompt"
	"golang.org/x/term"
)

// A terminal edits lines with go-prompt. Go-prompt's Run can hang, leave the terminal raw
// and exit the process, so the shell calls Input in a loop, with its own keyboard and
// screen.
type terminal struct {
	tty      *tty
	keys     *keyboard
	screen   *screen
	stdout   prompt.ConsoleWriter
	complete *completion
	history  *history
	prompt   *prompt.Prompt
	style    style
	ahead    []string // further lines of a block from the history

	mu   sync.Mutex
	busy bool // guarded by mu; true while no line is being typed
	full bool // guarded by mu; true while top or a search draws and shows notices itself

	text string // the line when it was paused; used by Input's goroutine
	back int    // characters after the cursor, then
}

// openTerminal returns nil if the shell's input and output are not the process's
// terminal.
func openTerminal(sh *Shell) (t *terminal, err error) {
	in, ok := sh.cfg.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, nil
	}
	out, ok := sh.cfg.Out.(*os.File)
	if !ok || out.Fd() != os.Stdout.Fd() || !term.IsTerminal(int(out.Fd())) {
		return nil, nil // go-prompt writes to the standard output only
	}
	tty, err := newTTY(in, out)
	if err != nil {
		return nil, err
	}
	t = &terminal{tty: tty, busy: true, stdout: prompt.NewStdoutWriter(), history: openHistory(sh.cfg.History)}
	t.style.colored = colored(sh.cfg.Color)
	t.keys = &keyboard{tty: tty}
	t.screen = &screen{ConsoleWriter: t.stdout, colored: t.style.colored}
	t.complete = &completion{shell: sh}
	defer func() {
		if recover() != nil { // New panics without a controlling terminal
			t = nil
		}
	}()
	t.prompt = prompt.New(func(string) {}, t.complete.suggest, t.options()...)
	return t, tty.set(running)
}

// colored reports whether a terminal should have colors.
func colored(c Color) bool {
	return c == ColorAlways || c == ColorAuto && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// setColored must be called between lines only.
func (t *terminal) setColored(colored bool) { t.style.colored, t.screen.colored = colored, colored }

func (t *terminal) options() []prompt.Option {
	keys := append([]prompt.ASCIICodeBind{
		{ASCIICode: keyInterrupt, Fn: func(b *prompt.Buffer) {
			prompt.GoLineEnd(b)
			b.InsertText("^C", false, true)
		}},
		{ASCIICode: keyPause, Fn: func(b *prompt.Buffer) {
			t.text, t.back = b.Text(), len([]rune(b.Document().TextAfterCursor()))
			t.screen.mute()
		}},
		{ASCIICode: keyDelete, Fn: func(b *prompt.Buffer) {
			if b.Text() == "" {
				t.keys.ask(leaving)
			} else {
				b.Delete(1)
			}
		}},
		{ASCIICode: keyRestore, Fn: func(b *prompt.Buffer) { b.CursorLeft(t.back) }},
	}, append(new(killer).keys(), altKeys...)...)
	return []prompt.Option{
		prompt.OptionParser(t.keys),
		prompt.OptionWriter(t.screen),
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
		prompt.OptionCompletionWordSeparator(wordSeparators),
		prompt.OptionAddKeyBind(prompt.KeyBind{Key: prompt.Tab, Fn: t.complete.tab}),
		prompt.OptionAddASCIICodeBind(keys...),
	}
}

// listen handles the signals of keys while a statement runs. Ctrl-C calls interrupt.
// Ctrl-Z restores the terminal and stops the process.
func (t *terminal) listen(interrupt func()) (stop func()) {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	signal.Notify(t.tty.stops, syscall.SIGTSTP)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-interrupts:
				interrupt()
			case <-t.tty.stops:
				t.tty.suspend()
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		signal.Stop(interrupts)
		signal.Stop(t.tty.stops)
	}
}

// readLine lets the user edit a line.
func (t *terminal) readLine(ctx context.Context, text string) (string, error) {
	if len(t.ahead) > 0 {
		line := t.ahead[0]
		t.ahead = t.ahead[1:]
		return line, nil
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if line, ok := t.keys.wholeLine(); ok {
		fmt.Fprintf(t.tty.out, "%s%s\n", t.style.good(text), t.style.highlight(line))
		return line, nil
	}
	defer context.AfterFunc(ctx, func() { t.keys.ask(cancelled) })()
	rows, cols := t.tty.size()
	t.complete.room = cols - len(text)
	t.complete.more = strings.HasPrefix(text, ".")
	t.apply(prompt.OptionPrefix(text), prompt.OptionHistory(t.history.lines()),
		prompt.OptionMaxSuggestion(uint16(min(max(rows-2, 1), 6))))
	line := t.input()
	for end := t.keys.ended(); end == resized || end == searching; end = t.keys.ended() {
		t.erase(len([]rune(text)))
		if end == searching {
			t.search()
		}
		line = t.inputAgain(len([]rune(text)))
	}
	switch t.keys.ended() {
	case interrupted:
		t.ahead = nil
		return "", interruptError{idle: line == "^C"}
	case leaving:
		return "", io.EOF
	case cancelled:
		return "", context.Cause(ctx)
	}
	if lines := strings.Split(line, blockMark); len(lines) > 1 {
		line, t.ahead = lines[0], append(lines[1:], "") // the empty line ends the block
	}
	return line, nil
}

// input runs go-prompt for a line.
func (t *terminal) input() string {
	t.setBusy(false)
	line := t.prompt.Input()
	t.setBusy(true)
	for _, notice := range t.screen.takeNotices() {
		fmt.Fprintln(t.tty.out, notice)
	}
	return line
}

// erase clears the line on the screen after Input was paused. Go-prompt has drawn nothing
// since, so the position of the cursor follows from the current width.
func (t *terminal) erase(prefix int) {
	t.screen.unmute(t.stdout)
	_, cols := t.tty.size()
	before := prefix + len([]rune(t.text)) - t.back
	t.screen.CursorUp(before / cols)
	t.screen.WriteRawStr("\r")
	t.screen.EraseDown()
	t.screen.Flush()
}

// inputAgain resumes the paused line.
func (t *terminal) inputAgain(prefix int) string {
	_, cols := t.tty.size()
	t.complete.room = cols - prefix
	t.apply(prompt.OptionInitialBufferText(t.text))
	t.keys.mu.Lock()
	t.keys.queue = append([][]byte{keyRestore}, t.keys.queue...)
	t.keys.mu.Unlock()
	return t.input()
}

func (t *terminal) apply(options ...prompt.Option) {
	for _, o := range options {
		_ = o(t.prompt) // the options of the shell do not fail
	}
}

func (t *terminal) setBusy(busy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = busy
}

// interrupt handles a Ctrl-C that arrived as a signal while a line is being typed.
func (t *terminal) interrupt() { t.keys.ask(interrupted) }

// notify shows a line above the one being typed.
func (t *terminal) notify(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy && !t.full {
		fmt.Fprintln(t.tty.out, line)
		return
	}
	t.screen.addNotice(line)
	if !t.complete.isOpen() { // a redraw would insert the selection
		t.keys.mu.Lock()
		t.keys.redraw = true
		t.keys.mu.Unlock()
	}
}

// remember adds a line or block to the history.
func (t *terminal) remember(entry string) { t.history.add(entry) }

func (t *terminal) close() { t.tty.close() }
