package repl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// RunProgram is [Shell.RunSources] for a program that has one source.
func (sh *Shell) RunProgram(ctx context.Context, name string, src io.Reader) error {
	return sh.RunSources(ctx, Source{name, src})
}

// A Source is a part of a program. Errors contain its name. If Text is an [io.Closer],
// such as a pipe, it is closed when the program ends early, as at Ctrl-C.
type Source struct {
	Name string
	Text io.Reader
}

// RunSources runs a program whose parts share their variables, one after the other. It
// parses all of them before the first one runs. Its result is that of [Shell.Run] without
// a terminal.
func (sh *Shell) RunSources(ctx context.Context, parts ...Source) error {
	return sh.runProgram(ctx, parts[0].Name, func(ctx context.Context) error {
		var chunks []*chunk
		for i, part := range parts {
			c, err := part.parse(ctx)
			if err != nil {
				return err
			}
			c.forward = i+1 < len(parts)
			chunks = append(chunks, c)
		}
		for i, c := range chunks {
			if i > 0 && len(chunks[i-1].file.Stmts) > 0 {
				sh.count++
			}
			if err := sh.exec(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// parse reads and parses a source, until ctx ends.
func (s Source) parse(ctx context.Context) (*chunk, error) {
	if c, ok := s.Text.(io.Closer); ok {
		defer context.AfterFunc(ctx, func() { c.Close() })()
	}
	c, err := parseProgram(s.Name, s.Text)
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	return c, err
}

// runProgram runs f without a terminal, writes its error, and returns the result of Run
// or RunSources. It calls the program by name.
func (sh *Shell) runProgram(parent context.Context, name string, f func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt)
	defer stop()
	var err error
	if sh.cfg.InitAlways {
		err = sh.runInit(ctx, func(err error, _ *chunk) { fmt.Fprintln(sh.cfg.Err, err) })
	}
	if err == nil {
		err = f(ctx)
	}
	var status ExitStatus
	if lost := sh.lostOutput(); lost != nil && (err == nil || errors.As(err, &status)) {
		err = lost // also in place of the argument of exit: nobody has what the program printed
	}
	if err == nil {
		err = sh.failed.err(name)
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		return status.asError()
	case parent.Err() != nil:
		return context.Cause(parent) // the caller ended it: not an error of the program
	}
	fmt.Fprintln(sh.cfg.Err, err)
	if ctx.Err() != nil {
		return ExitStatus(130)
	}
	return ExitStatus(1)
}
