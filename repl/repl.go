// Package repl is distproc's shell. It turns lines into calls of a [Cluster] and shows
// the results.
//
// The path of a line: a lineReader (package editor, or lines.go for a pipe) → the chunker,
// which reads lines until they make a whole statement (chunk.go) → the evaluator, which
// runs the statement as Starlark (eval.go) → the command table (command.go), whose
// entries call the Cluster → a value, which the printer shows (show.go). A file takes the
// same path, but is parsed as a whole first.
//
// A single step of Starlark, such as [None] * n, a sort or a comparison of deep lists, can
// take any time and any memory, and only the end of its process stops it. There are too
// many such steps to bound each. So a shell belongs into a process that can be spared.
// The command distproc repl runs it in a child of the member, which is attached to the
// member as any client is: the member shares neither heap nor collector with what is
// typed, and no peer takes it for dead. The shell stops a program between two steps if it
// can, and the variables stay. If it cannot, it calls Config.Quit within a second
// (memory.go), and the user gets a new shell without the variables.
//
// A shell is used by one goroutine at a time; [Shell.Notify] may be called from any.
package repl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/repl/editor"
)

// A Cluster answers the shell's commands: a node of this process, or a client of a
// running node. Its methods must return soon after their context ends, and may be called
// concurrently.
type Cluster interface {
	// Self returns the NAME@HOST of the node that runs the commands.
	Self() string
	// Connect connects to the named nodes, or to nodes 1 to 5 of the own host if there
	// are no names. The results are in the same order. It takes about a second at most.
	Connect(ctx context.Context, names ...string) []node.Connection
	// Disconnect makes a node leave the cluster, and waits until it has left.
	Disconnect(ctx context.Context, name string) error
	// GoAlone lets the own node, which was disconnected, start servers of serial kinds
	// again.
	GoAlone(ctx context.Context) error
	// Family returns the workers of a kind; "" is the default one.
	Family(kind string) node.Family
	// Owner returns the name of the node that owns the id.
	Owner(ctx context.Context, id worker.ID) (string, error)
	// Members returns all members in order, including failed ones and the own node.
	Members(ctx context.Context) ([]node.Member, error)
	// Nodes returns all members in order with their own reports.
	Nodes(ctx context.Context) ([]node.NodeInfo, error)
	// Ping measures the time of a round trip to a node.
	Ping(ctx context.Context, name string) (time.Duration, error)
	// Workers returns the live workers of the cluster.
	Workers(ctx context.Context) ([]worker.Info, error)
	// Events returns a page of what happened on a node.
	Events(ctx context.Context, q observe.EventQuery) (observe.Events, error)
	// Trace returns a page of what happened to an id, on the node that acts for it.
	Trace(ctx context.Context, q observe.TraceQuery) (observe.Steps, error)
	// Loads returns the requests of each kind in the last minute, on a node or on all.
	Loads(ctx context.Context, name string) ([]observe.Load, error)
	// Kinds returns the names of the kinds that the node is known to have. It does not
	// wait.
	Kinds() []string
}

// Config configures a shell. Only Cluster is required.
type Config struct {
	Cluster Cluster
	In      io.Reader // nil: os.Stdin
	Out     io.Writer // nil: os.Stdout
	Err     io.Writer // nil: os.Stderr; errors of programs go there
	Echo    bool      // without a terminal, show the prompt and each line before it runs
	History string    // file that keeps the lines typed; empty: they are kept in memory only
	Color   Color
	// Init lists files that Run executes before the first prompt of a terminal. A file
	// that does not exist is skipped. A file that belongs to another user, or that others
	// can write, is refused. With InitAlways, the files also run without a terminal and
	// before a program, must exist, and may belong to anybody. Their errors are shown and
	// do not end the shell.
	Init       []string
	InitAlways bool
	// Local is a file of the working folder that runs after those of Init, at a terminal
	// only. Whoever made the folder may have written it, so it runs only if the user has
	// allowed its content with the command allow. Empty: there is none.
	Local string
	// Allowed is the folder that keeps what the user has allowed. Empty: nothing can be.
	Allowed string

	Args []string // the arguments of the program, for its variable args

	// Start starts a program of the user's, such as an editor, as cmd.Start does. Nil: it
	// is cmd.Start.
	Start func(cmd *exec.Cmd) error

	// Attached reports whether the node can be reached at present to which the shell is
	// attached. The prompt says that it is attached, and whether it can. Any goroutine may
	// call it. Nil: the shell is the node's own.
	Attached func() bool
	// Version is that of the program. At a terminal, Run shows it first, with the node and
	// its cluster and how to get help and leave; nothing of that if it is empty.
	Version string

	// Quit ends the process. The shell calls it, from any goroutine, if a program does
	// not stop within a second although it should: a single step of Starlark can take as
	// long and as much memory as it likes, and nothing else ends it. The error is what
	// Run would have returned, or at a terminal, which has been restored, the reason. If
	// Quit is nil or returns, the shell waits for the program.
	Quit func(error)
}

// Color says when output is colored.
type Color uint8

const (
	ColorAuto   Color = iota // on a terminal, unless NO_COLOR is set or TERM is dumb
	ColorAlways              // on a terminal and elsewhere
	ColorNever               // nowhere
)

// An ExitStatus is an error with which the process should exit: 1 if a program failed,
// whose error has then been written, 130 if it was interrupted, or the argument of exit.
// It is never 0. A program whose output is lost, or of which a table has rows that failed,
// has failed, unless exit or configure(fail=False) says otherwise of the rows.
type ExitStatus int

func (s ExitStatus) Error() string { return "exit status " + strconv.Itoa(int(s)) }

func (s ExitStatus) asError() error {
	if s == 0 {
		return nil
	}
	return s
}

// A Shell reads Starlark, runs it, and shows the results. Variables live as long as the
// shell.
type Shell struct {
	cluster   Cluster
	cfg       Config
	commands  []command
	built     starlark.StringDict // commands and modules
	globals   starlark.StringDict // those, and the user's variables
	forgotten []string            // variables that del has dropped during the running chunk
	count     int                 // the number in the prompt: statements that succeeded, plus one
	style     style
	settings  settings
	recent    recentIDs
	values    map[int]starlark.Value // shown, by prompt; of the last settings.history prompts
	shown     starlark.Value         // a value that every has shown already
	onScreen  atomic.Bool            // a command draws on the whole terminal
	capture   atomic.Pointer[pane]   // takes what commands write meanwhile, unless nil
	failed    failedRows             // of tables, which the exit status of a program tells
	typed     journal                // what was typed and worked, for save
	last      string                 // what was typed last, for edit, except for edit itself
	edited    bool                   // the running input has called edit
	loading   []string               // files that load has begun, outermost first
	sources   sources                // to show where they fail
	peers     *peers                 // members for completion; only at a terminal
	maxSteps  uint64                 // of one input; 0: unlimited
	maxGrowth uint64                 // of the heap during one input, in bytes

	format      Format                // of what RunCommand writes
	width       int                   // of a terminal that nothing is read from; 0: there is none
	readsInput  bool                  // the program is what Config.In has
	lost        atomic.Pointer[error] // the first of print, or nil
	topInterval time.Duration         // between two frames of top; tests shorten it

	mu          sync.Mutex
	running     context.Context         // guarded by mu; ends when the running input is to stop; nil if there is none
	cancel      context.CancelCauseFunc // guarded by mu; ends running
	interrupted bool                    // guarded by mu; see wasInterrupted
	term        *editor.Editor          // guarded by mu; nil unless Run reads from a terminal
	drop        context.CancelCauseFunc // guarded by mu; ends the reading of a line at a prompt without an editor; else nil
}

// New returns a shell. It reads and writes nothing before [Shell.Run] or
// [Shell.RunProgram].
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
	if cfg.Start == nil {
		cfg.Start = (*exec.Cmd).Start
	}
	sh := &Shell{cluster: cfg.Cluster, cfg: cfg, commands: commands(), count: 1, settings: defaults, maxGrowth: defaultGrowth, topInterval: time.Second}
	sh.settings.color = cfg.Color
	sh.style = style{colored: cfg.Color == ColorAlways}
	sh.built = sh.predeclared()
	sh.globals = maps.Clone(sh.built)
	return sh
}

// Run reads statements from Config.In and runs each one as soon as it is complete, until
// the input ends or the program calls exit. It edits lines if In and Out are the terminal
// of the process; on a system that is no Unix it leaves that to the terminal.
//
// On a terminal, Run shows errors and goes on. Otherwise it writes the first error to
// Config.Err as NAME:LINE:COL: message and returns [ExitStatus] 1. When ctx ends, Run
// stops the running statement, restores the terminal and returns the cause. Run handles
// the interrupt signal: it stops the running statement, and without a terminal it also
// ends Run with ExitStatus 130.
func (sh *Shell) Run(ctx context.Context) error {
	term, completion, err := sh.openTerminal()
	if errors.Is(err, errors.ErrUnsupported) {
		return sh.runPrompts(ctx)
	}
	if err != nil {
		return fmt.Errorf("open the terminal: %w", err)
	}
	if term == nil {
		sh.readsInput = true
		return sh.runProgram(ctx, "<stdin>", func(ctx context.Context) error {
			return sh.runLines(ctx, newPlainReader(sh.cfg.In, "<stdin>"))
		})
	}
	return sh.runTerminal(ctx, term, completion)
}

// Notify shows a line above the prompt, without harm to the line being typed. A line that
// is too long for the terminal is broken between words. Without a terminal it does nothing
// and returns false. It may be called from any goroutine.
func (sh *Shell) Notify(line string) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.term == nil {
		return false
	}
	_, cols := sh.term.Size()
	sh.term.Notify(folded(printable(line), cols, 0, 2, plain))
	return true
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
		sh.typed.add(c)
		sh.count++
	}
}

// prompt returns distproc(NAME@HOST)N> with a space. If a statement goes on, dots replace
// distproc. Before the name, "to" marks a shell that is attached to that node, and "lost"
// one whose node cannot be reached. While a line is read it is called from any goroutine.
func (sh *Shell) prompt(more bool) string {
	word, how := "distproc", ""
	if more {
		word = strings.Repeat(".", len(word))
	}
	if attached := sh.cfg.Attached; attached != nil {
		if how = "to "; !attached() {
			how = "lost "
		}
	}
	return fmt.Sprintf("%s(%s%s)%d> ", word, how, printable(sh.cluster.Self()), sh.count)
}

// stopped reports whether an input runs that is to stop.
func (sh *Shell) stopped() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.running != nil && sh.running.Err() != nil
}

// terminal returns the editor of the terminal, or nil if there is none, or another command
// draws on it.
func (sh *Shell) terminal() *editor.Editor {
	if sh.onScreen.Load() {
		return nil
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.term
}

func (sh *Shell) setTerminal(t *editor.Editor) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.term = t
}

// cols returns the width of the terminal, or 0 if there is none.
func (sh *Shell) cols() int {
	term := sh.terminal()
	if term == nil {
		return sh.width
	}
	_, cols := term.Size()
	return cols
}

// setRunning sets what stops the running input. A Ctrl-C that came since it was typed stops it
// at once.
func (sh *Shell) setRunning(ctx context.Context, cancel context.CancelCauseFunc) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.running, sh.cancel = ctx, cancel
	if sh.term != nil && sh.term.TakeInterrupt() {
		sh.interrupted = true
		cancel(errInterrupted)
	}
}

func (sh *Shell) clearRunning() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.running, sh.cancel = nil, nil
}
