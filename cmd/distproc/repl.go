package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/repl"
)

// shellFlags are the flags of distproc repl besides those of a node.
type shellFlags struct {
	member
	attach string
	code   string
	echo   bool
	color  string
	init   string
	config repl.Config // what the flags say of the shell
}

func replCommand() *cobra.Command {
	var s shellFlags
	cmd := &cobra.Command{
		Use:   "repl (--name NAME@HOST | --attach NAME@HOST) [-e CODE | FILE]",
		Short: "Run a node with a shell, or a shell on a running node",
		Long: `With --name this is a node like any other, which owns ids, and a shell on it. With --attach it is a
shell on a running node: it is no member of the cluster, and every command runs as seen from there.

The shell reads Starlark from the terminal, from standard input, from FILE, or from -e CODE.`,
		Example: "  distproc repl --name 1@127.0.0.1\n  distproc repl --attach 2@127.0.0.1 -e 'request(7)'",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.configure(cmd.Flags().Changed("init")); err != nil {
				return err
			}
			execute := cmd.Flags().Changed("execute")
			if !execute && len(args) == 0 && atTerminal() && !cmd.Flags().Changed("log-level") {
				s.logLevel = "info" // whoever sits there wants to see nodes come and go
			}
			return runRepl(cmd.Context(), &s, args, execute)
		},
	}
	f := cmd.Flags()
	s.register(f, "warn")
	s.registerShell(f)
	return cmd
}

// registerShell registers the flags of the shell itself.
func (s *shellFlags) registerShell(f *pflag.FlagSet) {
	f.StringVar(&s.attach, "attach", "", "the running node, `NAME@HOST` or HOST:PORT, whose shell this is")
	f.StringVarP(&s.code, "execute", "e", "", "run this `CODE` instead of a file")
	f.StringVar(&s.color, "color", "auto", "auto, always or never; auto is at a terminal, unless NO_COLOR is set")
	f.StringVar(&s.init, "init", "", "run this `FILE` first, before a program too; empty for none (default distproc/init.star in the user's config folder, then ./.distproc.star, at a terminal only)")
	f.BoolVar(&s.echo, "echo", false, "without a terminal, show the prompt and each line before it runs")
}

func runRepl(ctx context.Context, s *shellFlags, args []string, execute bool) error {
	switch {
	case s.name == "" && s.attach == "":
		return usagef("distproc repl: pass --name NAME@HOST to be a node with a shell, or --attach NAME@HOST for a shell on a running node")
	case s.name != "" && s.attach != "":
		return usagef("distproc repl: pass --name to be a node or --attach for a shell on a running one, not both")
	case len(args) > 1:
		return usagef("distproc repl: one FILE at a time, not %d", len(args))
	case len(args) == 1 && execute:
		return usagef("distproc repl: pass -e CODE or a FILE, not both")
	}
	e := &evaluator{interactive: !execute && len(args) == 0 && atTerminal()}
	if len(args) == 1 {
		file, err := openProgram(ctx, args[0])
		if err != nil {
			return err
		}
		defer file.Close()
		e.program = file
	}
	if s.attach != "" {
		e.args = s.arguments(s.attach, false, args, execute)
		return s.runAttached(ctx, e)
	}
	return s.runMember(ctx, e, args, execute)
}

// openProgram opens a file, or a pipe, which takes until some program writes to it, or
// until ctx ends.
func openProgram(ctx context.Context, path string) (*os.File, error) {
	var file *os.File
	opened := make(chan error, 1)
	go func() {
		var err error
		file, err = os.Open(path)
		opened <- err
	}()
	select {
	case err := <-opened:
		return file, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// runMember runs a node in this process, and the shell in an evaluator.
func (s *shellFlags) runMember(ctx context.Context, e *evaluator, args []string, execute bool) error {
	ctx, hangups, release := watchHangups(ctx)
	defer release()
	w, err := newShellLog()
	if err != nil {
		return err
	}
	log, flush, err := s.logger(w)
	if err != nil {
		return err
	}
	defer flush()
	if s.clients > 0 {
		s.clients++ // the evaluator is one that takes the place of no other
	}
	n, err := s.start(log)
	if err != nil {
		return err
	}
	e.stderr, e.cookie, e.args = w.stderr, n.cookie, s.arguments(n.Addr(), true, args, execute)
	w.redirect(e.notify)
	joining, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	joined := make(chan error, 1)
	wg.Go(func() { joined <- n.join(joining, s.join) })
	wg.Go(func() { s.reload(joining, n.Node, hangups, log) })
	select { // the first line shall meet the cluster, but need not wait for a node that is not there
	case err = <-joined:
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	if err == nil && ctx.Err() == nil {
		err = e.run(ctx)
	}
	cancel()
	wg.Wait()
	w.redirect(nil)
	if e := n.leave(); err == nil {
		err = e
	}
	return err
}

// runAttached runs the shell in an evaluator that is a client of a running node.
func (s *shellFlags) runAttached(ctx context.Context, e *evaluator) (err error) {
	ctx, release := withHangup(ctx)
	defer release()
	if err := node.CheckAddr(s.attach); err != nil {
		return usageError{err}
	}
	if err := s.check(); err != nil {
		return err
	}
	if e.cookie, _, err = s.cookie(node.ReadCookie); err != nil {
		return err
	}
	w, err := newShellLog()
	if err != nil {
		return err
	}
	if _, _, err := s.logger(io.Discard); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e.stderr = w.stderr
	return e.run(ctx)
}

// configure reads the flags that tell how the shell looks and starts.
func (s *shellFlags) configure(initGiven bool) error {
	color, err := repl.ParseColor(s.color)
	if err != nil {
		return usagef("--color: %w", err)
	}
	s.config = repl.Config{Echo: s.echo, History: historyFile(), Color: color, InitAlways: initGiven, Version: version()}
	switch {
	case !initGiven:
		if dir, err := os.UserConfigDir(); err == nil {
			s.config.Init = append(s.config.Init, filepath.Join(dir, "distproc", "init.star"))
		}
		s.config.Init = append(s.config.Init, ".distproc.star")
	case s.init != "":
		s.config.Init = []string{s.init}
	}
	return nil
}

func (s *shellFlags) shell(c repl.Cluster) *repl.Shell {
	config := s.config
	config.Cluster = c
	return repl.New(config)
}

func atTerminal() bool {
	return term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
}

// historyFile is where lines are kept, or empty if there is no place for it.
func historyFile() string {
	dir := stateDir()
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "history")
}

// stateDir is the folder for what is kept from one run to the next, or empty if there is
// none.
func stateDir() string {
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "distproc")
}

// shellLog writes the node's log to stderr, or, while there is a terminal with a prompt,
// above the prompt.
type shellLog struct {
	stderr *os.File
	mu     sync.Mutex
	notify func(line string) bool // guarded by mu; shows a line above the prompt, or nil
}

// newShellLog returns one that writes to a duplicate of stderr. A write to a broken pipe
// ends the process if it is stderr itself; on the duplicate it fails.
func newShellLog() (*shellLog, error) {
	fd, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("stderr, where the log goes: %w; pass 2>/dev/null to do without", err)
	}
	return &shellLog{stderr: os.NewFile(uintptr(fd), "stderr")}, nil
}

func (w *shellLog) redirect(notify func(line string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notify = notify
}

func (w *shellLog) Write(p []byte) (int, error) {
	w.mu.Lock()
	notify := w.notify
	w.mu.Unlock()
	line := strings.TrimSuffix(string(p), "\n")
	if notify != nil && notify(line) {
		return len(p), nil
	}
	if atTerminal() && term.IsTerminal(int(os.Stderr.Fd())) { // before the first prompt, and after the last
		if _, err := fmt.Fprintln(w.stderr, notice(line)); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return w.stderr.Write(p)
}

var (
	_ repl.Cluster = (*node.Node)(nil)
	_ repl.Cluster = (*node.Client)(nil)
)
