//go:build unix

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/repl"
)

// An evaluator runs what is typed in a process of its own, the command distproc evaluator.
//
// One step of Starlark, such as [None] * n, takes as much time and memory as it likes, and
// nothing but the end of its process stops it. So it must not have the process, the heap
// and the collector of a member of the cluster. The member, or with --attach nothing but
// this supervisor, is the process that the user has started; the evaluator is its child and
// a client of the node. It reads from the terminal itself. When it is lost, the supervisor
// restores the terminal, says why in a line and starts another one, without the variables.
//
// Both are in the process group that the user's shell made. So both get the signals of
// keys, and the evaluator stops both for Ctrl-Z. The supervisor passes on the signals that
// only it got: see messages. The evaluator ends when the supervisor has, however that
// ended.
type evaluator struct {
	args        []string // of the command
	cookie      []byte
	program     *os.File // or nil
	interactive bool     // reads from a terminal
	stderr      *os.File
	interrupts  chan os.Signal // gets SIGINT

	mu   sync.Mutex
	line *orders // guarded by mu; to the running evaluator, or nil
	name string  // guarded by mu; by which the node's log knows what it does
}

// The files of the evaluator beside the usual ones. Its standard error is a pipe to the
// supervisor, for what the Go runtime says when it gives up.
const (
	fdStderr  = 3 + iota // the user's
	fdControl            // messages of the supervisor; at the end of the file it has ended
	fdProgram            // if there is one
)

// duplicateStderr returns another file of stderr. A write to a broken pipe ends the process
// if it is stderr itself; on the duplicate it fails.
func duplicateStderr() (*os.File, error) {
	fd, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "stderr"), nil
}

// Messages to the evaluator are lines that begin with one of these bytes.
const (
	msgCookie    = 'c' // in hexadecimal
	msgLog       = 'l' // a line of the log, to be shown above the prompt
	msgInterrupt = 'i' // the supervisor got SIGINT
	msgSuspend   = 'z' // the supervisor got SIGTSTP
	msgReload    = 't' // the node has read other files of TLS
)

// Orders are the messages on their way to one evaluator. Its process may be stopped, and
// then only write waits for it, and the log, which loses lines meanwhile and counts them.
type orders struct {
	signals chan byte     // a few; the others change nothing
	log     chan string   // without room, so that lines wait where they are counted
	done    chan struct{} // closed when nobody reads the messages
}

func newOrders() *orders {
	return &orders{make(chan byte, 4), make(chan string), make(chan struct{})}
}

// write sends the messages until the evaluator has ended.
func (o *orders) write(w io.Writer, ended <-chan struct{}) {
	defer close(o.done)
	for {
		var err error
		select {
		case kind := <-o.signals:
			_, err = fmt.Fprintf(w, "%c\n", kind)
		case line := <-o.log:
			_, err = fmt.Fprintf(w, "%c%s\n", msgLog, line)
		case <-ended:
			return
		}
		if err != nil {
			return
		}
	}
}

// signal sends a message that has no text. It does not wait.
func (o *orders) signal(kind byte) {
	select {
	case o.signals <- kind:
	default:
	}
}

// reloadTLS has the running evaluator read the files of TLS again, as its node has.
func (e *evaluator) reloadTLS() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.line != nil {
		e.line.signal(msgReload)
	}
}

// show sends a line of the log, and reports whether it could. It waits while the
// evaluator is stopped, so only the goroutine that writes the log may call it.
func (o *orders) show(line string) bool {
	select {
	case o.log <- line:
		return true
	case <-o.done:
		return false
	}
}

// lastWords begins the line in which an evaluator that gives up says why.
const lastWords = "evaluator: "

const (
	evaluatorTime = 3 * time.Second // to end after SIGTERM
	quickEnd      = time.Second     // an evaluator that is lost before that is lost for the same reason again
	maxLastWords  = 64 << 10        // bytes
	screenTime    = time.Second     // for the terminal to take a line, if it is not stopped
)

// attachTo makes the evaluator a client of a node: the one of this process, with which it
// stays, or any other.
func (e *evaluator) attachTo(s *shellFlags, node string, stay bool) { e.args = s.arguments(node, stay) }

// say writes to the terminal, and does not wait for one that is stopped, as by Ctrl-S.
func say(w io.Writer, text string) {
	done := make(chan struct{})
	go func() {
		_, _ = io.WriteString(w, text) // nobody can be told
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(screenTime):
	}
}

// run runs the evaluator until the user leaves or ctx ends. Its error is that of
// [repl.Shell.Run].
func (e *evaluator) run(ctx context.Context) error {
	restore := func() {}
	if e.interactive {
		if state, err := term.GetState(int(os.Stdin.Fd())); err == nil {
			restore = func() {
				_ = term.Restore(int(os.Stdin.Fd()), state) // it fails if the terminal has gone
				say(os.Stdout, "\x1b[?2004l\x1b[?25h\r")
			}
		}
	}
	had := e.interactive && hasTerminal()
	again := false
	for quick := 0; ; again = true {
		began := time.Now()
		lost, err := e.once(ctx, again)
		if lost != "" {
			restore()
		}
		switch {
		case ctx.Err() != nil:
			err, lost = context.Cause(ctx), ""
		case had && !hasTerminal():
			err, lost = errStopped, "" // it has hung up, as ctx is about to say
		}
		if lost == "" {
			return err
		}
		if quick++; time.Since(began) > quickEnd {
			quick = 0
		}
		if !e.interactive || quick > 2 {
			return fmt.Errorf("the evaluator has ended: %s", lost)
		}
		say(e.stderr, fmt.Sprintf("** (EvaluatorError) %s: the variables are gone\n", lost))
	}
}

// executable returns the path of this program, also if its file is gone or another one is
// in its place, as after an upgrade.
func executable() (string, error) {
	const running = "/proc/self/exe" // on Linux
	path, err := os.Executable()
	if err == nil && sameFile(running, running) && !sameFile(path, running) {
		path = running // else ps and top show its name
	}
	return path, err
}

// sameFile reports whether two paths lead to the same file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// once runs one evaluator, which may take the place of one that was lost. If it is lost
// itself, once returns why.
func (e *evaluator) once(ctx context.Context, again bool) (lost string, err error) {
	path, err := executable()
	if err != nil {
		return "", err
	}
	read, control, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer control.Close()
	defer read.Close()
	said, last, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer last.Close()
	args := slices.Clone(e.args)
	if again {
		args = slices.Insert(args, 1, "--again") // after the name of the command
	}
	cmd := exec.Command(path, args...)
	cmd.Args[0] = "distproc"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, last
	cmd.ExtraFiles = []*os.File{e.stderr, read}
	if e.program != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, e.program)
	}
	var words []byte
	var wg sync.WaitGroup
	wg.Go(func() {
		defer said.Close()
		words, _ = io.ReadAll(io.LimitReader(said, maxLastWords))
		_, _ = io.Copy(io.Discard, said)
	})
	done := make(chan struct{})
	stops := make(chan os.Signal, 1)
	if e.interactive {
		signal.Notify(stops, syscall.SIGTSTP)
	}
	defer signal.Stop(stops)
	line := newOrders()
	err = source.Run(cmd, func() {
		read.Close()
		last.Close()
		if e.program != nil {
			e.program.Close()
		}
		fmt.Fprintf(control, "%c%s\n", msgCookie, hex.EncodeToString(e.cookie)) // a pipe has room for it
		e.connect(line, fmt.Sprint(" by=client-", cmd.Process.Pid, " "))
		wg.Go(func() { line.write(control, done) })
		wg.Go(func() { e.tend(ctx, cmd.Process, line, stops, done) })
	})
	e.connect(nil, e.name) // the node notices later that its client has gone
	close(done)
	last.Close()
	wg.Wait()
	if cmd.ProcessState == nil {
		return "", err // it did not start
	}
	return e.ended(cmd.ProcessState, string(words))
}

// connect has the log go to an evaluator whose operations it calls by that name.
func (e *evaluator) connect(line *orders, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.line, e.name = line, name
}

// notify shows a line of the log above the prompt, unless it is about what the user has
// just done there.
func (e *evaluator) notify(text string) bool {
	e.mu.Lock()
	line, own := e.line, e.name != "" && strings.Contains(text+" ", e.name)
	e.mu.Unlock()
	return e.interactive && (own || line != nil && line.show(text))
}

// tend passes signals on, and ends the evaluator with ctx, until it is done.
func (e *evaluator) tend(ctx context.Context, p *os.Process, line *orders, stops <-chan os.Signal, done <-chan struct{}) {
	end := ctx.Done()
	var kill <-chan time.Time
	for {
		select {
		case s := <-e.interrupts:
			if e.interactive {
				line.signal(msgInterrupt)
			} else {
				_ = p.Signal(s)
			}
		case <-stops:
			line.signal(msgSuspend)
		case <-end:
			_ = p.Signal(syscall.SIGTERM) // it fails if the evaluator has just ended
			end, kill = nil, time.After(evaluatorTime)
		case <-kill:
			_ = p.Kill()
		case <-done:
			return
		}
	}
}

// ended returns the result of an evaluator, or why it is lost, from what it wrote last.
func (e *evaluator) ended(state *os.ProcessState, words string) (lost string, err error) {
	status := state.Sys().(syscall.WaitStatus)
	first, _, _ := strings.Cut(words, "\n")
	if reason, own := strings.CutPrefix(first, lastWords); own {
		return reason, nil
	}
	// The runtime gives up with status 2, and with a line that begins so.
	if crash := crashOf(words); crash != "" && !state.Success() {
		switch {
		case strings.Contains(words, "out of memory"), strings.Contains(words, "cannot allocate memory"),
			strings.Contains(words, "too many address space collisions"): // with the race detector
			return "the program took all the memory that an evaluator may have", nil
		case strings.Contains(words, "stack overflow"):
			return "the program took too much stack: a value or an expression is nested too deep", nil
		case strings.HasPrefix(crash, "SIG"):
			return crash, nil
		}
		return "internal error: " + crash, nil
	}
	fmt.Fprint(e.stderr, words)
	if !status.Signaled() {
		if code := status.ExitStatus(); code != 0 {
			return "", repl.ExitStatus(code)
		}
		return "", nil
	}
	switch s := status.Signal(); s {
	case syscall.SIGKILL:
		return "something killed it, perhaps for lack of memory", nil
	case syscall.SIGPIPE:
		return "", errBrokenPipe
	case syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM:
		return "", repl.ExitStatus(128 + int(s))
	default:
		return s.String(), nil
	}
}

// crashOf returns the line in which the runtime says why it gives up, or nothing.
func crashOf(words string) string {
	for line := range strings.Lines(words) {
		for _, start := range []string{"fatal error: ", "panic: ", "SIGQUIT: ", "SIGABRT: "} {
			if strings.HasPrefix(line, start) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}
