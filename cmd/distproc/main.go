// Command distproc gives every id one place in a cluster.
//
// distproc node runs a headless node. distproc repl runs a node with a shell, or a shell on
// a running node; the shell has a process of its own (evaluator.go). distproc bench asks
// running nodes as fast as they answer. Packages node, its gateway for --http, repl and bench
// do the work. distproc get and its like ask a running node one question (oneshot.go). Here
// are flags, signals and exit codes: 0 success, 1 failure, 2 a command line that makes no
// sense, 3 a call that may have run.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // for machines that have no zoneinfo

	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/repl"
	"github.com/distproc/distproc/wire/text"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if os.Getpid() == 1 { // the first process of a container
		defer source.Reap()()
	}
	ctx, stop := withSignals(context.Background())
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	out := &output{to: os.Stdout}
	root.SetOut(out)
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("some of the output is lost: %w", out.err)
	}
	return exitStatus(err, os.Stderr) // which an evaluator has changed
}

// output is the standard output of the commands. It keeps the first error of writing, which
// not every command looks at.
type output struct {
	to  io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// exitStatus returns the exit status for what a command returned, and prints an error.
func exitStatus(err error, stderr io.Writer) int {
	var status repl.ExitStatus
	var usage usageError
	switch {
	case err == nil, errors.Is(err, errStopped):
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.Is(err, errBrokenPipe):
		fmt.Fprintln(os.Stdout) // this process ends as the evaluator did, without a word
		return 128 + int(syscall.SIGPIPE)
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "distproc:", text.Printable(err.Error()))
		return 2
	default:
		fmt.Fprintln(stderr, "distproc:", text.Printable(err.Error()))
		return 1
	}
}

// errStopped is why the context ends when the process is asked to.
var errStopped = errors.New("stopped by a signal")

// withSignals returns a context that SIGTERM ends; SIGINT and SIGHUP are for each command
// to take. A second signal ends the process at once.
func withSignals(parent context.Context) (context.Context, func()) {
	return endOn(parent, syscall.SIGTERM)
}

// withHangup returns a context that SIGHUP ends, too, unless it is ignored, as under
// nohup.
func withHangup(parent context.Context) (context.Context, func()) {
	if signal.Ignored(syscall.SIGHUP) {
		return parent, func() {}
	}
	return endOn(parent, syscall.SIGHUP)
}

func endOn(parent context.Context, end os.Signal) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, end)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel(errStopped)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
