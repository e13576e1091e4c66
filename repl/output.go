package repl

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// echo shows lines as a terminal would, without empty lines before a statement.
func (sh *Shell) echo(lines []string) {
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	for i, line := range lines {
		sh.println(sh.prompt(i > 0) + line)
	}
}

func (sh *Shell) println(s string) { sh.print(s + "\n") }

// printAtOnce is how many bytes print writes in one call, so that they are not mixed with
// other lines.
const printAtOnce = 64 << 10

// print writes s, until the running input is to stop.
func (sh *Shell) print(s string) {
	for len(s) > printAtOnce && !sh.stopped() {
		sh.write(s[:printAtOnce])
		s = s[printAtOnce:]
	}
	if len(s) <= printAtOnce {
		sh.write(s)
	}
}

// write writes s. An error, as of a full disk, stops a program.
func (sh *Shell) write(s string) {
	if p := sh.capture.Load(); p != nil {
		p.add(s)
		return
	}
	sh.writeOut(s)
}

// writeOut writes s, whoever takes what commands write.
func (sh *Shell) writeOut(s string) {
	if _, err := io.WriteString(sh.cfg.Out, s); err != nil {
		err = fmt.Errorf("%w: %w", errLost, err)
		sh.lost.CompareAndSwap(nil, &err)
		sh.mu.Lock()
		defer sh.mu.Unlock()
		if sh.term == nil && sh.cancel != nil {
			sh.cancel(err)
		}
	}
}

var errLost = errors.New("some of the output is lost")

// lostOutput returns the first error of print, or nil.
func (sh *Shell) lostOutput() error {
	if err := sh.lost.Load(); err != nil {
		return *err
	}
	return nil
}
