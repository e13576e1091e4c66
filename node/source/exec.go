package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/semaphore"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A program is the source "exec:…".
type program struct {
	words   []string // the first is the program
	env     Env
	clear   atomic.Bool         // programs of earlier processes of the node have ended
	clearer *semaphore.Weighted // held by the run that ends them; others wait
}

func newProgram(line string, env Env) (*program, error) {
	words, err := splitWords(line)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("no program is named: say exec:PROGRAM ARGS…")
	}
	if strings.Contains(words[0], placeholder) {
		return nil, errors.New("an id cannot choose the program: {id} may stand in its arguments only")
	}
	if strings.Contains(line, "\x00") {
		return nil, errors.New("a program cannot be given a NUL byte")
	}
	if err := checkCode(words); err != nil {
		return nil, err
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return nil, notStarted(err)
	}
	return &program{words: words, env: env, clearer: semaphore.NewWeighted(1)}, nil
}

// notStarted adds a hint to the error of a program that cannot be started.
func notStarted(err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w: install it, or write its path", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: make it executable, as with chmod +x", err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		return fmt.Errorf("%w: raise the limits of the node (ulimit -a), or let fewer programs run at once", err)
	}
	return err
}

// run implements [runner]. The message is the standard input of the program.
func (p *program) run(ctx context.Context, id worker.ID, message *worker.Value) (worker.Value, error) {
	arg := id.String()
	if strings.Contains(arg, "\x00") {
		return worker.Value{}, worker.NotRun(fmt.Errorf("%s: not run: a program cannot be given the NUL byte in id %q", p.words[0], arg))
	}
	if err := p.awaitEarlier(ctx); err != nil {
		return worker.Value{}, worker.NotRun(fmt.Errorf("%s: %w", p.words[0], err))
	}
	var stdin io.Reader
	if message != nil {
		stdin = strings.NewReader(message.String())
	}
	text, err := p.output(ctx, p.replaced(arg), p.environ(ctx, arg, message), stdin)
	if err != nil {
		return worker.Value{}, err
	}
	return worker.BytesValue(text), nil
}

// output runs the program and returns what it prints, without the newline at the end.
func (p *program) output(ctx context.Context, args, env []string, stdin io.Reader) (string, error) {
	running, kill := context.WithCancel(ctx)
	defer kill()
	stdout, stderr := &output{full: kill}, &head{}
	cmd := exec.CommandContext(running, p.words[0], args...)
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.Env = env
	ownGroup(cmd)
	err := runPiped(cmd, stdin, stdout, stderr)
	if cmd.Process != nil {
		// Usually nothing is left to kill. The group's number has not been reused yet,
		// because systems assign numbers in turn.
		if killGroup(cmd.Process) == nil {
			awaitGroup(cmd.Process)
		}
	}
	if err = p.failure(ctx, cmd, stdout, err); err != nil {
		if line := firstLine(stderr.data); line != "" {
			err = fmt.Errorf("%w: %s", err, line)
		}
		return "", fmt.Errorf("%s: %w", p.words[0], err)
	}
	return string(stdout.value()), nil
}

// awaitEarlier ensures once that programs of an earlier process of the node have ended,
// because they may be running for the same ids.
func (p *program) awaitEarlier(ctx context.Context) error {
	if p.clear.Load() {
		return nil
	}
	if err := p.clearer.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("not started: %w", err)
	}
	defer p.clearer.Release(1)
	if p.clear.Load() {
		return nil
	}
	err := endLeftovers(ctx, p.env.Node)
	p.clear.Store(err == nil)
	return err
}

// replaced returns the arguments for an id.
func (p *program) replaced(id string) []string {
	args := slices.Clone(p.words[1:])
	for i, word := range args {
		args[i] = strings.ReplaceAll(word, placeholder, id)
	}
	return args
}

// withheld lists the variables that a program does not inherit from the node.
var withheld = []string{
	"DISTPROC_COOKIE",                                                                               // its owner can act as a node
	"DISTPROC_MEDIA_TYPE", "DISTPROC_RUN", "DISTPROC_TOKEN", "TRACEPARENT", "TRACESTATE", "BAGGAGE", // they describe another run
}

// environ returns the environment of a run.
func (p *program) environ(ctx context.Context, id string, message *worker.Value) []string {
	env := append(inherited(), "DISTPROC_ID="+id, "DISTPROC_KIND="+p.env.Kind, "DISTPROC_NODE="+p.env.Node)
	env = append(env, markEnviron()...)
	if message != nil && message.MediaType() != "" {
		env = append(env, "DISTPROC_MEDIA_TYPE="+message.MediaType())
	}
	if token := worker.TokenOf(ctx); token != (worker.Token{}) {
		env = append(env, "DISTPROC_TOKEN="+token.String())
	}
	if parent, state, baggage := worker.TraceContextOf(ctx); parent != "" {
		env = append(env, "TRACEPARENT="+parent)
		if state != "" {
			env = append(env, "TRACESTATE="+state)
		}
		if baggage != "" {
			env = append(env, "BAGGAGE="+baggage)
		}
	}
	return env
}

// inherited returns the environment of the node, without what is withheld.
func inherited() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(withheld, name)
	})
}

// failure returns the error of a run, given the error of cmd. A program that could not be
// started has not run.
func (p *program) failure(ctx context.Context, cmd *exec.Cmd, stdout *output, err error) error {
	switch {
	case stdout.tooLong():
		return fmt.Errorf("killed: it printed more than the %d bytes that a value may have", wire.MaxValue)
	case err == nil:
		return nil
	case ctx.Err() != nil && cmd.Process == nil:
		return worker.NotRun(fmt.Errorf("not started: %w", ctx.Err()))
	case cmd.Process == nil:
		return worker.NotRun(notStarted(err))
	case ctx.Err() != nil:
		return fmt.Errorf("killed: %w", ctx.Err())
	case errors.Is(err, errHeld):
		// The output may be incomplete, so it is not a value.
		return errors.New("it left a process in the background that holds its input or output: redirect that one's")
	}
	return err // "exit status 1" or "signal: killed"
}

// An output stores what a program prints, up to the longest value and a newline.
type output struct {
	buf  bytes.Buffer // not embedded: io.Copy would find its ReadFrom, which has no limit
	full func()       // called when the program prints more
}

const maxOutput = wire.MaxValue + len("\r\n")

func (o *output) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput+1-o.buf.Len())
	o.buf.Write(p[:n])
	if o.buf.Len() > maxOutput {
		o.full()
		return n, io.ErrShortWrite // stops the copying
	}
	return n, nil
}

// value returns the output without the newline at its end.
func (o *output) value() []byte {
	if line, ok := bytes.CutSuffix(o.buf.Bytes(), []byte("\n")); ok {
		return bytes.TrimSuffix(line, []byte("\r"))
	}
	return o.buf.Bytes()
}

func (o *output) tooLong() bool { return len(o.value()) > wire.MaxValue }

// A head stores the start of the data written to it, and discards the rest.
type head struct{ data []byte }

func (h *head) Write(p []byte) (int, error) {
	h.data = append(h.data, p[:min(len(p), maxHead-len(h.data))]...)
	return len(p), nil
}
