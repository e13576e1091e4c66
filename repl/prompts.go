package repl

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
)

// prompted reads the lines of a terminal that lets the user edit a line by itself, and
// gives whole lines only.
type prompted struct {
	*plainReader
	shell *Shell
}

// runPrompts is Run at a terminal for which there is no editor. Ctrl-C is a signal.
func (sh *Shell) runPrompts(ctx context.Context) error {
	defer listen(sh.interrupt)()
	return sh.talk(ctx, &prompted{newPlainReader(sh.cfg.In, "<stdin>"), sh})
}

// listen calls interrupt at each interrupt signal. Stop waits for a call that is under way.
func listen(interrupt func()) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, os.Interrupt)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-signals:
				interrupt()
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(done)
		wg.Wait()
	}
}

// readLine shows the prompt and returns the next line. Indent is left to the user.
func (p *prompted) readLine(ctx context.Context, prompt, _ string) (string, error) {
	p.begin(ctx)
	line, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.shell.setDrop(cancel)
	defer p.shell.setDrop(nil)
	p.shell.writeOut(prompt)
	text, err := p.plainReader.readLine(line, "", "")
	if _, dropped := errors.AsType[interruptError](err); dropped {
		p.shell.writeOut("\n")
	}
	return text, err
}

func (p *prompted) pressed() bool   { return false }
func (p *prompted) remember(string) {}

// pasted returns false: a paste is lines like others.
func (p *prompted) pasted() bool    { return false }
func (p *prompted) dropPaste() bool { return false }

func (p *prompted) edit(context.Context, string) error { return errors.ErrUnsupported }

func (sh *Shell) setDrop(drop context.CancelCauseFunc) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.drop = drop
}
