package source

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// A Command is a program that is run for what it prints, and not for an id.
type Command struct{ program *program }

// ParseCommand reads PROGRAM ARGS…, in which words may be quoted as in a shell. No shell
// runs: it splits the line itself.
func ParseCommand(line string) (*Command, error) {
	p, err := newProgram(line, Env{})
	if err == nil && slices.ContainsFunc(p.words, func(word string) bool { return strings.Contains(word, placeholder) }) {
		err = errors.New("{id} stands for nothing here, because the program does not run for an id")
	}
	return &Command{p}, err
}

// Output runs the program and returns what it prints, without the newline at the end, up
// to 1 MiB. When ctx ends, the program is killed, with all that it has started. The error
// has the first line that it prints to stderr. The program has an empty input, and the
// environment of this process without DISTPROC_COOKIE.
func (c *Command) Output(ctx context.Context) (string, error) {
	return c.program.output(ctx, c.program.words[1:], inherited(), nil)
}
