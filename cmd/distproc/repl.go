package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/repl"
	"github.com/distproc/distproc/wire/cookie"
	"github.com/distproc/distproc/wire/text"
)

// shellFlags are the flags of distproc repl besides those of a node.
type shellFlags struct {
	member
	attach string
	code   []string
	file   string // or stdin; empty: none was given
	echo   bool
	color  string
	init   string
	config repl.Config // what the flags say of the shell
}

func replCommand() *cobra.Command {
	var s shellFlags
	cmd := &cobra.Command{
		Use:   "repl (--name NAME@HOST | --attach NAME@HOST) [-e CODE… -- ARG… | FILE ARG…]",
		Short: "Run a node with a shell, or a shell on a running node",
		Long: `With --name this is a node like any other, which owns ids, and a shell on it. With --attach it is a
shell on a running node: it is no member of the cluster, and every command runs as seen from there.

The shell reads Starlark from the terminal, from standard input, from FILE, or from -e CODE. FILE can
be - for the standard input. What follows FILE, or the -- after the last -e, is the list args of the program.

The exit status is 0 for success, 1 if the program failed, its output was lost, or a row of a table
failed (configure(fail=False) rules that out), N after exit(N), 130 after Ctrl-C, and 2 for a command line
that makes no sense.`,
		Example: `  distproc repl --name 1@127.0.0.1
  distproc repl --attach 2@127.0.0.1 -e 'request(7)'
  distproc repl --attach 2@127.0.0.1 -e 'ids = [int(a) for a in args]' -e 'request(ids)' -- 7 8
  distproc repl --attach 2@127.0.0.1 report.star --since yesterday`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.configure(cmd.Flags().Changed("init")); err != nil {
				return err
			}
			if len(args) > 0 && len(s.code) > 0 && cmd.ArgsLenAtDash() != 0 {
				return usagef("distproc repl: pass -e CODE or a FILE, not both; arguments of CODE stand after --")
			}
			s.program(args)
			if s.interactive() && !cmd.Flags().Changed("log-level") {
				s.logLevel = "info" // whoever sits there wants to see nodes come and go
			}
			return runRepl(cmd.Context(), &s)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows FILE is for the program
	s.register(f, "warn")
	s.registerShell(f)
	return cmd
}

// registerShell registers the flags of the shell itself.
func (s *shellFlags) registerShell(f *pflag.FlagSet) {
	f.StringVar(&s.attach, "attach", "", "the running node, `NAME@HOST` or HOST:PORT, whose shell this is")
	f.StringArrayVarP(&s.code, "execute", "e", nil, "run this `CODE` instead of a file; several run in their order, and share their variables")
	f.StringVar(&s.color, "color", "auto", "auto, always or never; auto is at a terminal, unless NO_COLOR is set")
	f.StringVar(&s.init, "init", "", "run this `FILE` first, before a program too; empty for none (default distproc/init.star in the user's config folder, then ./.distproc.star if allow() has allowed it, at a terminal only)")
	f.BoolVar(&s.echo, "echo", false, "without a terminal, show the prompt and each line before it runs")
}

// program takes the arguments of the command line apart.
func (s *shellFlags) program(args []string) {
	if len(s.code) == 0 && len(args) > 0 {
		s.file, args = args[0], args[1:]
	}
	s.config.Args = args
}

// interactive reports whether what runs is typed at a terminal.
func (s *shellFlags) interactive() bool {
	return len(s.code) == 0 && (s.file == "" || s.file == stdin) && atTerminal()
}

// stdin as the name of a program's file is the standard input.
const stdin = "-"

func runRepl(ctx context.Context, s *shellFlags) error {
	switch {
	case s.name == "" && s.attach == "" && slices.ContainsFunc(s.config.Args, func(arg string) bool { return strings.HasPrefix(arg, "--") }):
		return usagef("distproc repl: pass --name NAME@HOST or --attach NAME@HOST, in front of FILE: what follows it is for the program")
	case s.name == "" && s.attach == "":
		return usagef("distproc repl: pass --name NAME@HOST to be a node with a shell, or --attach NAME@HOST for a shell on a running node")
	case s.name != "" && s.attach != "":
		return usagef("distproc repl: pass --name to be a node or --attach for a shell on a running one, not both")
	}
	// From here on a SIGINT that comes before the evaluator has started waits for it.
	e := &evaluator{interactive: s.interactive(), interrupts: make(chan os.Signal, 1)}
	signal.Notify(e.interrupts, os.Interrupt)
	defer signal.Stop(e.interrupts)
	if s.file != "" && s.file != stdin {
		file, err := e.openProgram(ctx, s.file)
		if err != nil {
			return err
		}
		defer file.Close()
		e.program = file
	}
	if s.attach != "" {
		e.attachTo(s, s.attach, false)
		return s.runAttached(ctx, e)
	}
	return s.runMember(ctx, e)
}

// errInterrupt is the result of a shell that SIGINT ended before it began.
const errInterrupt = repl.ExitStatus(128 + int(syscall.SIGINT))

// openProgram opens a file, or a pipe, which takes until some program writes to it, or
// until ctx ends.
func (e *evaluator) openProgram(ctx context.Context, path string) (*os.File, error) {
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
	case <-e.interrupts:
		return nil, errInterrupt
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// runMember runs a node in this process, and the shell in an evaluator.
func (s *shellFlags) runMember(ctx context.Context, e *evaluator) error {
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
	s.shellCookie = cookie.New() // the evaluator has no need of the cluster's, which may change
	s.shellTLS = e.reloadTLS
	n, err := s.start(log)
	if err != nil {
		return err
	}
	e.stderr, e.cookie = w.stderr, s.shellCookie
	e.attachTo(s, n.Addr(), true)
	w.redirect(e.notify)
	joining, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	joined := make(chan error, 1)
	wg.Go(func() { joined <- n.join(joining, s.join) })
	wg.Go(func() { s.reload(joining, n, hangups, n.Logger()) })
	select { // the first line shall meet the cluster, but need not wait for a node that is not there
	case err = <-joined:
		if ctx.Err() != nil { // a signal ended that, which is no failure
			err = nil
		}
	case <-e.interrupts:
		err = errInterrupt
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	if err == nil && ctx.Err() == nil {
		err = e.run(ctx)
	}
	signal.Stop(e.interrupts) // the next one ends the process at once
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
	if dir := stateDir(); dir != "" {
		s.config.Allowed = filepath.Join(dir, "allowed")
	}
	switch {
	case !initGiven:
		if dir, err := os.UserConfigDir(); err == nil {
			s.config.Init = append(s.config.Init, filepath.Join(dir, "distproc", "init.star"))
		}
		s.config.Local = ".distproc.star"
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

// runShell runs what the flags say, where program is the open FILE, if there is one.
func (s *shellFlags) runShell(ctx context.Context, sh *repl.Shell, program *os.File) error {
	switch {
	case len(s.code) > 0:
		return sh.RunSources(ctx, s.sources()...)
	case program != nil:
		return sh.RunProgram(ctx, s.file, program)
	}
	return sh.Run(ctx)
}

// sources returns the code of the command line. If there is more than one, errors tell by
// the number in which it is: -e[2].
func (s *shellFlags) sources() (list []repl.Source) {
	for i, code := range s.code {
		name := "-e"
		if len(s.code) > 1 {
			name = fmt.Sprintf("-e[%d]", i+1)
		}
		list = append(list, repl.Source{Name: name, Text: strings.NewReader(code)})
	}
	return list
}

// errBrokenPipe says that nobody reads what the shell printed.
var errBrokenPipe = errors.New("stdout: broken pipe")

// errEvaluator is returned to a user who starts an evaluator.
var errEvaluator = usageError{errors.New("distproc evaluator: only distproc repl starts it")}

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

func newShellLog() (*shellLog, error) {
	stderr, err := duplicateStderr()
	if err != nil {
		return nil, fmt.Errorf("stderr, where the log goes: %w; pass 2>/dev/null to do without", err)
	}
	return &shellLog{stderr: stderr}, nil
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
		if _, err := fmt.Fprintln(w.stderr, text.Printable(notice(line))); err != nil {
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
