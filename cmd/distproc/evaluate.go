//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/repl"
)

// evaluatorCommand is what an [evaluator] runs.
func evaluatorCommand() *cobra.Command {
	var s shellFlags
	var v evaluation
	cmd := &cobra.Command{
		Use:    "evaluator",
		Short:  "Run a shell for distproc repl",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.configure(cmd.Flags().Changed("init")); err != nil {
				return err
			}
			v.shell = &s
			s.program(args)
			return v.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	s.connection.register(f)
	s.registerLog(f, "warn")
	s.registerShell(f)
	f.SetInterspersed(false)
	f.BoolVar(&v.stay, "stay", false, "")
	f.BoolVar(&v.again, "again", false, "")
	return cmd
}

// arguments returns the command line of the evaluator that attaches to a node.
func (s *shellFlags) arguments(attach string, stay bool) []string {
	line := []string{
		"evaluator", "--attach=" + attach, fmt.Sprint("--stay=", stay), "--color=" + s.color, fmt.Sprint("--echo=", s.echo),
		"--tls-cert=" + s.tls.Cert, "--tls-key=" + s.tls.Key, "--tls-ca=" + s.tls.CA, fmt.Sprint("--tls-verify-name=", s.tls.VerifyName),
		fmt.Sprint("--busy-poll=", s.busyPoll), "--log-level=" + s.logLevel, "--log-format=" + s.logFormat,
	}
	if s.config.InitAlways {
		line = append(line, "--init="+s.init)
	}
	for _, code := range s.code {
		line = append(line, "--execute="+code)
	}
	line = append(line, "--")
	if s.file != "" {
		line = append(line, s.file)
	}
	return append(line, s.config.Args...)
}

// An evaluation is an [evaluator] as its own process knows it.
type evaluation struct {
	shell *shellFlags
	stay  bool     // attached to the node of the supervisor
	again bool     // it takes the place of one that was lost
	said  *os.File // to the supervisor

	client atomic.Pointer[node.Client] // to the node, once it is attached

	interrupts, suspends credit
}

func (v *evaluation) run(ctx context.Context) error {
	for _, fd := range []int{fdStderr, fdControl} {
		// The files that the Go runtime has there otherwise are not meant to be inherited.
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			return errEvaluator
		}
	}
	v.said, os.Stderr = os.Stderr, os.NewFile(fdStderr, "stderr")
	limitMemory()
	orders := bufio.NewReader(os.NewFile(fdControl, "orders"))
	first, err := orders.ReadString('\n')
	cookie, e := hex.DecodeString(strings.TrimSpace(strings.TrimPrefix(first, string(msgCookie))))
	if err != nil || e != nil {
		return errEvaluator
	}
	ctx, release := withHangup(ctx)
	defer release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w, err := newShellLog()
	if err != nil {
		return err
	}
	log, flush, err := v.shell.logger(w)
	if err != nil {
		return err
	}
	defer flush()
	if v.stay {
		log = nil // the node tells
	}
	defer v.interrupts.count(os.Interrupt)()
	defer v.suspends.count(syscall.SIGTSTP)()
	restore := modes()
	go func() {
		v.obey(orders, w)
		cancel(errStopped)
		time.Sleep(evaluatorTime)
		restore()
		os.Exit(1) // the terminal is stopped, or a step is at work, and nobody is left to end this
	}()
	s := v.shell
	c, err := node.Attach(ctx, node.ClientConfig{Node: s.attach, Cookie: cookie, TLS: s.tls, Stay: v.stay, NoBusyPoll: !s.busyPoll, Logger: log})
	if err != nil {
		return err
	}
	defer c.Close()
	v.client.Store(c)
	s.config.Quit, s.config.Start = v.quit, startUnlimited
	if !v.stay {
		s.config.Attached = c.Attached
	}
	if v.again {
		s.config.Version = "" // the user has been greeted
	}
	sh := s.shell(c)
	w.redirect(func(line string) bool { return sh.Notify(notice(line)) })
	defer w.redirect(nil)
	if !s.interactive() && v.interrupts.n.Load() > 0 { // while it attached
		return errInterrupt
	}
	var program *os.File
	if s.file != "" && s.file != stdin {
		// A pipe must not block, so that the end of ctx ends the wait for it.
		_ = syscall.SetNonblock(fdProgram, true)
		program = os.NewFile(fdProgram, s.file)
		defer program.Close()
	}
	return s.runShell(ctx, sh, program)
}

// quit ends the process, whatever it is at.
func (v *evaluation) quit(err error) {
	if status, ok := errors.AsType[repl.ExitStatus](err); ok {
		os.Exit(int(status)) // a step of a program is at work, which does not return
	}
	fmt.Fprintf(v.said, "%s%v\n", lastWords, err)
	os.Exit(1)
}

// modes returns a function that restores the modes that the terminal has now.
func modes() (restore func()) {
	in := int(os.Stdin.Fd())
	state, err := term.GetState(in)
	if err != nil {
		return func() {}
	}
	return func() { _ = term.Restore(in, state) } // it fails if the terminal has gone
}

// obey does what the supervisor says, until that has ended. It does not wait for the
// terminal, which may be stopped: lines of the log wait in a queue.
func (v *evaluation) obey(orders *bufio.Reader, log io.Writer) {
	lines, _ := boundedlog.New(slog.New(plain{slog.DiscardHandler, log}))
	for {
		line, err := orders.ReadString('\n')
		if err != nil {
			return
		}
		switch line[0] {
		case msgLog:
			lines.Info(line[1 : len(line)-1]) //nolint:sloglint // it is a whole line
		case msgInterrupt:
			v.interrupts.repeat(syscall.SIGINT)
		case msgSuspend:
			v.suspends.repeat(syscall.SIGTSTP)
		case msgReload:
			if c := v.client.Load(); c != nil {
				_ = c.ReloadTLS() // the node has said what is wrong with them
			}
		}
	}
}

// plain writes lines that were formatted where they came from, without level and time.
type plain struct {
	slog.Handler
	to io.Writer
}

func (plain) Enabled(context.Context, slog.Level) bool { return true }

func (p plain) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	_, err := io.WriteString(p.to, text+"\n")
	return err
}

// A credit counts the signals that this process got by itself, so that one that the
// supervisor got too is not obeyed twice: the keys Ctrl-C and Ctrl-Z send them to both.
type credit struct{ n atomic.Int32 }

func (c *credit) count(s os.Signal) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, s)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				c.n.Add(1)
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(signals); close(done) }
}

// bothTime is the time within which both processes get the signal of a key.
const bothTime = 100 * time.Millisecond

// repeat sends this process a signal that only the supervisor got.
func (c *credit) repeat(s syscall.Signal) {
	for range 10 {
		if n := c.n.Load(); n > 0 {
			c.n.Add(-1)
			return
		}
		time.Sleep(bothTime / 10)
	}
	_ = syscall.Kill(syscall.Getpid(), s) // to oneself it is never refused
	for range 10 {
		if c.n.Load() > 0 {
			c.n.Add(-1) // it is counted, too
			return
		}
		time.Sleep(bothTime / 10)
	}
}
