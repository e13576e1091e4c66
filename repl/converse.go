package repl

import (
	"context"
	"errors"
	"io"
	"strings"
)

// runTerminal is Run at a terminal.
func (sh *Shell) runTerminal(ctx context.Context, term *terminal) error {
	sh.setTerminal(term)
	defer sh.setTerminal(nil)
	defer term.close()
	looking, stop := context.WithCancel(ctx)
	sh.peers = &peers{cluster: sh.cluster, ctx: looking}
	defer sh.peers.wg.Wait()
	defer stop()
	sh.settings.limit = terminalLimit
	sh.applyColor()
	defer term.listen(sh.interrupt)()
	err := sh.runInit(ctx, func(err error, c *chunk) { sh.print(sh.describe(err, c)) })
	if status, ok := errors.AsType[ExitStatus](err); ok {
		return status.asError()
	} else if err != nil {
		return err
	}
	return sh.converse(ctx, term)
}

// converse runs the statements typed at a terminal until the user leaves.
func (sh *Shell) converse(ctx context.Context, term *terminal) error {
	chunks := &chunker{in: term, wrong: func(err error, c *chunk) {
		sh.print(sh.describe(err, c))
		sh.println("   (type that line again; Ctrl-C drops the block)")
	}}
	interrupts := 0 // in a row, each on an empty line
	for {
		sh.peers.refresh()
		chunks.name, chunks.line = inputName(sh.count), 0
		c, err := chunks.next(ctx, sh.prompt)
		var stop interruptError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &stop):
			if interrupts++; !stop.idle {
				interrupts = 0
			}
			if interrupts == 2 {
				return nil
			} else if interrupts == 1 {
				sh.println("(Ctrl-C again, Ctrl-D or exit() leaves)")
			}
			continue
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		interrupts = 0
		term.remember(strings.Join(c.lines, "\n"))
		if err := c.err; err == nil && len(c.file.Stmts) == 0 {
			continue
		} else if err == nil {
			err = sh.exec(ctx, c)
			if err == nil {
				sh.count++
				continue
			}
			c.err = err
		}
		if status, ok := errors.AsType[ExitStatus](c.err); ok {
			return status.asError()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		sh.print(sh.describe(c.err, c))
		rest := len(chunks.ahead) > 0
		if chunks.ahead = nil; term.dropPaste() || rest {
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
		sh.term.keys.forget()
	}
	if sh.cancel != nil {
		sh.cancel(errInterrupted)
	} else if sh.term != nil {
		sh.term.interrupt()
	}
}
