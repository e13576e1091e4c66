//go:build !unix

package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/distproc/distproc/node"
)

// An evaluator runs what is typed, as a client of a node. On Unix it is a process of its own,
// which gets its terminal, files and signals from its parent. Here it is a part of this
// process: a program that takes all memory takes the node with it.
type evaluator struct {
	cookie      []byte
	program     *os.File // or nil
	interactive bool
	stderr      *os.File
	interrupts  chan os.Signal // gets the interrupts that come before the shell runs

	shell *shellFlags
	node  string
	stay  bool // with the node of this process
}

func (e *evaluator) attachTo(s *shellFlags, node string, stay bool) {
	e.shell, e.node, e.stay = s, node, stay
}

// run runs the shell until the user leaves or ctx ends. Its error is that of
// [repl.Shell.Run].
func (e *evaluator) run(ctx context.Context) error {
	s := e.shell
	w := &shellLog{stderr: e.stderr}
	log, flush, err := s.logger(w)
	if err != nil {
		return err
	}
	defer flush()
	if e.stay {
		log = nil // the node tells
	}
	c, err := node.Attach(ctx, node.ClientConfig{Node: e.node, Cookie: e.cookie, TLS: s.tls, Stay: e.stay, NoBusyPoll: !s.busyPoll, Logger: log})
	if err != nil {
		return err
	}
	defer c.Close()
	if !e.stay {
		s.config.Attached = c.Attached
	}
	return s.runShell(ctx, s.shell(c), e.program)
}

// notify returns false: there is no line editor that could show a line above the prompt.
func (e *evaluator) notify(string) bool { return false }

// reloadTLS does nothing: without SIGHUP no file is read again.
func (e *evaluator) reloadTLS() {}

// duplicateStderr returns stderr itself, because a write to a broken pipe fails here.
func duplicateStderr() (*os.File, error) { return os.Stderr, nil }

// evaluatorCommand refuses what only a supervisor on Unix starts.
func evaluatorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "evaluator", Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error { return errEvaluator },
	}
}
