package source

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Command reads PROGRAM ARGS…, in which words may be quoted as in a shell, and returns a
// function that runs the program for what it prints, and not for an id. No shell runs
// unless it is the PROGRAM.
//
// The function returns what the program prints, without the newline at the end, up to 1
// MiB. When its context ends, it kills the program, with all that it has started. Its error
// has the first line that the program prints to stderr. The program has an empty input, and
// the environment of this process without DISTPROC_COOKIE.
func Command(line string) (run func(context.Context) (string, error), err error) {
	p, err := newProgram(line, Env{})
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(p.words, func(word string) bool { return strings.Contains(word, placeholder) }) {
		return nil, errors.New("{id} stands for nothing here, because the program does not run for an id")
	}
	return func(ctx context.Context) (string, error) { return p.output(ctx, p.words[1:], inherited(), nil) }, nil
}
