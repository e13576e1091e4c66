// Package repl is distproc's shell: it turns lines into calls on a [Cluster] and shows what comes back.
//
// The path of a line: a lineReader (a terminal, terminal.go; a pipe, lines.go) → the chunker, which
// asks for lines until they make a whole statement (chunk.go) → the evaluator, which runs it as
// Starlark (eval.go) → the command table (command.go), whose entries call the Cluster → a value,
// shown by the printer (show.go). A file takes the same path, but is parsed as a whole first.
//
// A shell is used by one goroutine at a time; [Shell.Notify] may be called from any.
package repl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A Cluster is what the shell drives: a node of this process, or a session attached to a running
// one. Its methods return soon after their context ends. They may be called concurrently: a request of
// many ids asks them all at once, and completion learns the names of nodes while something else runs.
type Cluster interface {
	// Self returns the NAME@HOST as which commands run.
	Self() string
	// Connect tries the names, or the five known ones (1 to 5 at the own host) if there are none,
	// and tells in the same order what became of each. It takes at most about a second.
	Connect(ctx context.Context, names ...string) []node.Connection
	// Disconnect has a node leave the cluster, and waits until it has.
	Disconnect(ctx context.Context, name string) error
	// GoAlone ends that the own node, which was disconnected, starts no server of a serial kind.
	GoAlone(ctx context.Context) error
	// Family returns the workers of a kind; "" is the default one.
	Family(kind string) node.Family
	// Owner returns the node that has the id.
	Owner(ctx context.Context, id worker.ID) (string, error)
	// Members returns all members in order, the failed ones and the own node too.
	Members(ctx context.Context) ([]node.Member, error)
	// Nodes returns all members in order with what each tells of itself.
	Nodes(ctx context.Context) ([]node.NodeInfo, error)
	// Ping measures a round trip to a node.
	Ping(ctx context.Context, name string) (time.Duration, error)
	// Workers returns the live workers of the cluster.
	Workers(ctx context.Context) ([]worker.Info, error)
}

// Config says what a shell drives and where it reads and writes. Only Cluster is needed.
type Config struct {
	Cluster Cluster
	In      io.Reader // nil: os.Stdin
	Out     io.Writer // nil: os.Stdout
	Err     io.Writer // nil: os.Stderr; errors of programs go there
	Echo    bool      // without a terminal, show the prompt and each line before it runs
	History string    // file that keeps the lines typed; empty: they are kept in memory only
	Color   Color
	// Init are files that Run runs before the first prompt of a terminal. Those that do not exist are
	// passed over, and those that another user owns or anybody can write to are refused. With InitAlways they run
	// without a terminal and before a program, too, whoever owns them, and have to exist. Their errors
	// are shown, and stop nothing.
	Init       []string
	InitAlways bool
}

// Color says when output is coloured.
type Color uint8

const (
	ColorAuto   Color = iota // on a terminal, unless NO_COLOR is set or TERM is dumb
	ColorAlways              // on a terminal and elsewhere
	ColorNever               // nowhere
)

// An ExitStatus is returned when the process is to end with that status, which is not 0: a program
// failed (1; its error has been written already), was interrupted (130), or called exit.
type ExitStatus int

func (s ExitStatus) Error() string { return "exit status " + strconv.Itoa(int(s)) }

func (s ExitStatus) asError() error {
	if s == 0 {
		return nil
	}
	return s
}

// A Shell reads Starlark, runs it, and shows the results. Variables live as long as the shell.
type Shell struct {
	cluster  Cluster
	cfg      Config
	commands []command
	globals  starlark.StringDict // commands, modules and the user's variables
	count    int                 // the number in the prompt: statements that succeeded, plus one
	style    style
	settings settings
	values   map[int]starlark.Value // shown, by prompt; of the last settings.history prompts
	rates    rates                  // of the nodes, for nodes(detail=True)
	loading  []string               // files that load has begun, outermost first
	files    map[string]*chunk      // loaded, by name, to show where they fail
	peers    *peers                 // what completion knows of nodes; only at a terminal
	maxSteps uint64                 // of one input; 0: unlimited

	mu     sync.Mutex
	cancel context.CancelCauseFunc // guarded by mu; stops what runs; nil when nothing does
	term   *terminal               // guarded by mu; nil unless Run reads from a terminal
}

// New returns a shell.
func New(cfg Config) *Shell {
	if cfg.In == nil {
		cfg.In = os.Stdin
	}
	if cfg.Out == nil {
		cfg.Out = os.Stdout
	}
	if cfg.Err == nil {
		cfg.Err = os.Stderr
	}
	sh := &Shell{cluster: cfg.Cluster, cfg: cfg, commands: commands(), count: 1, settings: defaults}
	sh.settings.color = cfg.Color
	sh.style = style{colored: cfg.Color == ColorAlways}
	sh.globals = sh.predeclared()
	return sh
}

// Run reads statements from Config.In and runs each as soon as it is whole, until the input ends or
// the program calls exit. It edits lines if In and Out are the process's terminal.
//
// On a terminal errors are shown and the shell goes on; elsewhere the first error is written to
// Config.Err as NAME:LINE:COL: message and ends Run with [ExitStatus] 1. When ctx ends, Run stops
// what it does, restores the terminal and returns the cause. The interrupt signal belongs to Run:
// it cancels what runs, and elsewhere than on a terminal ends Run with ExitStatus 130.
func (sh *Shell) Run(ctx context.Context) error {
	term, err := openTerminal(sh)
	if err != nil {
		return fmt.Errorf("open the terminal: %w", err)
	}
	if term == nil {
		return sh.runProgram(ctx, func(ctx context.Context) error {
			return sh.runLines(ctx, newPlainReader(sh.cfg.In, "<stdin>"))
		})
	}
	return sh.runTerminal(ctx, term)
}

// RunProgram runs a whole program; name stands in its errors. It ends as Run does without a
// terminal. If src is an [io.Closer], such as a pipe, it is closed when ctx ends or at Ctrl-C.
func (sh *Shell) RunProgram(ctx context.Context, name string, src io.Reader) error {
	return sh.runProgram(ctx, func(ctx context.Context) error {
		if c, ok := src.(io.Closer); ok {
			defer context.AfterFunc(ctx, func() { c.Close() })()
		}
		p, err := parseProgram(name, src)
		if ctx.Err() != nil {
			return errInterrupted
		}
		if err != nil {
			return err
		}
		return sh.exec(ctx, p)
	})
}

// Notify shows a line that no command asked for, above the prompt and without harm to the line being
// typed. Elsewhere than on a terminal it does nothing, as a program's output is its own, and returns
// false.
func (sh *Shell) Notify(line string) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.term == nil {
		return false
	}
	sh.term.notify(printable(line))
	return true
}

// runProgram runs f without a terminal, writes its error, and returns what Run and RunProgram do.
func (sh *Shell) runProgram(parent context.Context, f func(context.Context) error) error {
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
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		return status.asError()
	case parent.Err() != nil:
		return context.Cause(parent) // the caller's wish, so no error of the program
	}
	fmt.Fprintln(sh.cfg.Err, err)
	if ctx.Err() != nil {
		return ExitStatus(130)
	}
	return ExitStatus(1)
}

// runLines runs statements as they arrive and stops at the first error.
func (sh *Shell) runLines(ctx context.Context, in lineReader) error {
	chunks := &chunker{in: in, name: "<stdin>"}
	for {
		c, err := chunks.next(ctx, sh.prompt)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if sh.cfg.Echo {
			sh.echo(c.lines)
		}
		if c.err != nil {
			return c.err
		}
		if len(c.file.Stmts) == 0 {
			continue
		}
		if err := sh.exec(ctx, c); err != nil {
			return err
		}
		sh.count++
	}
}

// prompt returns distproc(NAME@HOST)N> , with dots as wide as distproc when a statement goes on.
func (sh *Shell) prompt(more bool) string {
	word := "distproc"
	if more {
		word = strings.Repeat(".", len(word))
	}
	return fmt.Sprintf("%s(%s)%d> ", word, sh.cluster.Self(), sh.count)
}

// echo shows lines as they would stand in a terminal, without the empty ones before a statement.
func (sh *Shell) echo(lines []string) {
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	for i, line := range lines {
		sh.println(sh.prompt(i > 0) + line)
	}
}

func (sh *Shell) println(s string) { sh.print(s + "\n") }

// print writes in one call, so that lines of others never come between.
func (sh *Shell) print(s string) { io.WriteString(sh.cfg.Out, s) }

func (sh *Shell) setTerminal(t *terminal) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.term = t
}

func (sh *Shell) setCancel(cancel context.CancelCauseFunc) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.cancel = cancel
}
