package repl

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/distproc/distproc/repl/editor"
)

// openTerminal returns an editor and what completes its words, or nil if the shell's
// input and output are not the process's terminal.
func (sh *Shell) openTerminal() (*editor.Editor, *completion, error) {
	in, ok := sh.cfg.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, nil, nil
	}
	out, ok := sh.cfg.Out.(*os.File)
	if !ok || out.Fd() != os.Stdout.Fd() || !term.IsTerminal(int(out.Fd())) {
		return nil, nil, nil // go-prompt writes to the standard output only
	}
	c := &completion{shell: sh}
	e, err := editor.Open(editor.Config{
		In: in, Out: out,
		History:   sh.cfg.History,
		Colored:   colored(sh.cfg.Color),
		Highlight: style{colored: true}.highlight,
		Complete:  c.candidates,
	})
	return e, c, err
}

// A talker reads the lines that a user types.
type talker interface {
	lineReader
	paster
	// pressed reports whether keys were pressed before the last Ctrl-C.
	pressed() bool
	// remember adds a line or a block to what can be called up again.
	remember(entry string)
	// edit opens another program with a text, which is at the next prompt then.
	edit(ctx context.Context, text string) error
}

// typed reads the lines of a terminal with an editor.
type typed struct {
	shell      *Shell
	editor     *editor.Editor
	completion *completion
	prompt     func(more bool) string
	keys       bool // were pressed before the last Ctrl-C
}

func (t *typed) readLine(ctx context.Context, prompt, indent string) (string, error) {
	more := strings.HasPrefix(prompt, ".")
	t.completion.more = more
	line, err := t.editor.ReadLine(ctx, func() string { return t.prompt(more) }, indent)
	if stop, ok := errors.AsType[editor.Interrupted](err); ok {
		t.keys = stop.Typed
		err = interruptError{idle: stop.Idle}
	}
	return line, err
}

func (t *typed) pasted() bool          { return t.editor.Pasted() }
func (t *typed) pressed() bool         { return t.keys }
func (t *typed) remember(entry string) { t.editor.Remember(entry) }

func (t *typed) edit(ctx context.Context, text string) error {
	return t.shell.editTyped(ctx, t.editor, text)
}

func (t *typed) dropPaste() (had bool) {
	had = t.pasted()
	t.editor.DropPaste()
	return had
}

// runTerminal is Run at a terminal.
func (sh *Shell) runTerminal(ctx context.Context, term *editor.Editor, completion *completion) error {
	sh.setTerminal(term)
	defer sh.setTerminal(nil)
	defer term.Close()
	ctx, release := quits(ctx)
	defer release()
	defer term.Listen(sh.interrupt)()
	return sh.talk(ctx, &typed{shell: sh, editor: term, completion: completion, prompt: sh.prompt})
}

// talk greets the user, runs the files that run first, and then what the user types.
func (sh *Shell) talk(ctx context.Context, user talker) error {
	looking, stop := context.WithCancel(ctx)
	sh.peers = &peers{cluster: sh.cluster, ctx: looking}
	defer sh.peers.wg.Wait()
	defer stop()
	sh.settings.limit = terminalLimit
	sh.applyColor()
	sh.greet(ctx)
	err := sh.runInit(ctx, func(err error, c *chunk) { sh.print(sh.describe(err, c)) })
	if err == nil {
		err = sh.runLocal(ctx)
	}
	if status, ok := errors.AsType[ExitStatus](err); ok {
		return status.asError()
	} else if err != nil {
		return err
	}
	return sh.converse(ctx, user)
}

// quits returns a context that ends at SIGQUIT, with the exit status of that signal. Go would
// end the process with the stacks of all goroutines, and leave the terminal as it is.
func quits(parent context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGQUIT)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-signals:
			cancel(ExitStatus(128 + int(syscall.SIGQUIT)))
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		wg.Wait()
	}
}

// converse runs the statements typed at a terminal until the user leaves.
func (sh *Shell) converse(ctx context.Context, user talker) error {
	chunks := &chunker{in: user, wrong: func(err error, c *chunk) {
		sh.print(sh.describe(err, c))
		sh.println("   (type that line again; Ctrl-C drops the block)")
	}}
	var again leaving
	for {
		sh.peers.refresh()
		chunks.name, chunks.line = inputName(sh.count), 0
		c, err := chunks.next(ctx, sh.prompt)
		var stop interruptError
		var edit editor.EditRequest
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &stop):
			switch again.interrupted(stop.idle, user.pressed(), time.Now()) {
			case leaves:
				return nil
			case warns:
				sh.println("(Ctrl-C again, Ctrl-D or exit() leaves)")
			}
			continue
		case errors.As(err, &edit):
			if err := user.edit(ctx, edit.Text); err != nil {
				sh.print(sh.describe(err, nil))
			}
			continue
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		again = leaving{}
		user.remember(strings.Join(c.lines, "\n"))
		if err := c.err; err == nil && len(c.file.Stmts) == 0 {
			continue
		} else if err == nil {
			err = sh.exec(ctx, c)
			if sh.wasInterrupted() {
				chunks.ahead = nil // read to find the end of a block
			}
			if !sh.edited {
				sh.last = strings.Join(c.lines, "\n")
			}
			if sh.edited = false; err == nil {
				sh.typed.add(c)
				sh.count++
				continue
			}
			c.err = err
		} else {
			sh.last = strings.Join(c.lines, "\n")
		}
		if status, ok := errors.AsType[ExitStatus](c.err); ok {
			return status.asError()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		sh.print(sh.describe(c.err, c))
		rest := len(chunks.ahead) > 0
		if chunks.ahead = nil; user.dropPaste() || rest {
			sh.println("   (what follows it is dropped)")
		}
	}
}

// interrupt handles Ctrl-C: it stops the running input, or else drops the line being
// typed.
func (sh *Shell) interrupt() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.term != nil {
		sh.term.Forget()
	}
	sh.interrupted = true
	if sh.cancel != nil {
		sh.cancel(errInterrupted)
	} else if sh.term != nil {
		sh.term.Interrupt()
	} else if sh.drop != nil {
		sh.drop(interruptError{idle: true})
	}
}

// wasInterrupted reports whether Ctrl-C was pressed since the last call.
func (sh *Shell) wasInterrupted() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	was := sh.interrupted
	sh.interrupted = false
	return was
}

// leaving decides whether Ctrl-C leaves the shell: the second one in a row does, each on an
// empty line without another key, if it follows within secondChance.
type leaving struct{ warned time.Time }

type answer uint8

const (
	goesOn answer = iota
	warns
	leaves
)

const secondChance = 2 * time.Second

// interrupted handles a Ctrl-C. It is idle if the line is empty. Pressed says that keys came
// before it at this prompt.
func (l *leaving) interrupted(idle, pressed bool, now time.Time) answer {
	switch {
	case !idle:
		*l = leaving{}
		return goesOn
	case !pressed && !l.warned.IsZero() && now.Sub(l.warned) < secondChance:
		return leaves
	}
	l.warned = now
	return warns
}
