//go:build unix

package repl

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"

	"github.com/distproc/distproc/node"
)

// A session is a shell in a process of its own, with a terminal that the test looks at.
type session struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	tty    *os.File
	screen vt10x.Terminal
	before unix.Termios
	done   chan error // gets what Wait returned

	mu  sync.Mutex
	raw bytes.Buffer // guarded by mu; all that the shell wrote
}

func startSession(t *testing.T, size *pty.Winsize, env ...string) *session {
	t.Helper()
	return startCommand(t, exec.Command(os.Args[0]), size, env...)
}

func startCommand(t *testing.T, cmd *exec.Cmd, size *pty.Winsize, env ...string) *session {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	master = pollable(t, master)
	if err := pty.Setsize(tty, size); err != nil {
		t.Fatal(err)
	}
	before, err := unix.IoctlGetTermios(int(tty.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	rows, cols := int(size.Rows), int(size.Cols)
	if rows == 0 {
		rows, cols = 24, 80
	}
	s := &session{t: t, cmd: cmd, master: master, tty: tty, before: *before, screen: vt10x.New(vt10x.WithSize(cols, rows))}
	s.cmd.Env = append(append(os.Environ(), "DISTPROC_TEST_SHELL=1", "TERM=xterm", "NO_COLOR=", "GORACE=atexit_sleep_ms=0"), env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.done = make(chan error, 1)
	go func() { s.done <- s.cmd.Wait(); close(s.done) }()
	var reading sync.WaitGroup
	reading.Go(func() {
		io.Copy(io.Discard, bufio.NewReader(io.TeeReader(master, s)))
	})
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.done
		tty.Close()
		master.Close()
		reading.Wait()
	})
	return s
}

// pollable returns the file so that Close ends a Read of it.
func pollable(t *testing.T, f *os.File) *os.File {
	t.Helper()
	defer f.Close()
	fd, err := unix.Dup(int(f.Fd()))
	if err == nil {
		unix.CloseOnExec(fd)
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}

// Write takes what the shell writes.
func (s *session) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(p)
	return s.screen.Write(p)
}

func (s *session) written() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.String()
}

// text returns the screen without the spaces at the ends of lines.
func (s *session) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := strings.Split(s.screen.String(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func (s *session) send(keys string) {
	s.t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits until the screen matches.
func (s *session) wait(pattern string) { s.t.Helper(); s.waitFor(pattern, s.text) }

func (s *session) waitFor(pattern string, text func() string) {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(patience); !re.MatchString(text()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%q never appeared:\n%s", pattern, s.text())
		}
	}
}

// prompt waits for the prompt with that number on the last line, followed by what is
// typed.
func (s *session) prompt(n, typed string) {
	s.t.Helper()
	s.wait(`(^|\n)distproc\(1@127\.0\.0\.1\)` + n + `>` + strings.TrimRight(" "+regexp.QuoteMeta(typed), " ") + `$`)
}

// left waits for the end of the process and checks that the terminal is as it was.
func (s *session) left(status int) {
	s.t.Helper()
	select {
	case err := <-s.done:
		if got := s.cmd.ProcessState.ExitCode(); status >= 0 && got != status {
			s.t.Errorf("exit status %d (%v), want %d", got, err, status)
		}
	case <-time.After(patience):
		s.t.Fatalf("the shell did not leave:\n%s", s.text())
	}
	after, err := unix.IoctlGetTermios(int(s.tty.Fd()), getTermios)
	if err != nil {
		s.t.Fatal(err)
	}
	if *after != s.before {
		s.t.Errorf("the terminal is left as\n%+v, was\n%+v", *after, s.before)
	}
	if status >= 0 && status != 2 {
		s.wait(`left: `) // the last line that it wrote
	}
	w := s.written()
	if strings.LastIndex(w, "\x1b[?2004h") > strings.LastIndex(w, "\x1b[?2004l") {
		s.t.Error("pastes are still marked")
	}
	if !s.screen.CursorVisible() {
		s.t.Error("the cursor is hidden")
	}
}

var normal = &pty.Winsize{Rows: 24, Cols: 80}

// waitRunning waits until keys make signals, so until something runs.
func (s *session) waitRunning() {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		state, err := unix.IoctlGetTermios(int(s.tty.Fd()), getTermios)
		if err == nil && state.Lflag&unix.ISIG != 0 {
			return
		}
	}
	s.t.Fatalf("nothing runs:\n%s", s.text())
}

// TestMain makes the test binary a shell over a fakeCluster when DISTPROC_TEST_SHELL is
// set, so that tests have a process with a terminal and signals of its own.
func TestMain(m *testing.M) {
	if os.Getenv("DISTPROC_TEST_SHELL") == "" {
		flag.Parse()
		given := false
		flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
		if !given {
			_ = flag.Set("test.parallel", "8") // most of the parallel tests wait
		}
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if os.Getenv("DISTPROC_TEST_SHELL") == "nohup" {
		signal.Ignore(syscall.SIGHUP)
	}
	config := Config{Cluster: &busyCluster{}, History: os.Getenv("DISTPROC_TEST_HISTORY")}
	if init := os.Getenv("DISTPROC_TEST_INIT"); init != "" {
		config.Init = strings.Split(init, ":")
	}
	config.Version = os.Getenv("DISTPROC_TEST_VERSION")
	if os.Getenv("DISTPROC_TEST_SHELL") == "attached" {
		c := &movingCluster{}
		config.Cluster, config.Attached = c, c.attached
		c.listen()
	}
	config.Local, config.Allowed = os.Getenv("DISTPROC_TEST_LOCAL"), os.Getenv("DISTPROC_TEST_ALLOWED")
	if os.Getenv("DISTPROC_TEST_SHELL") == "hostile" {
		config.Cluster = &hostileCluster{}
	}
	sh := New(config)
	sh.topInterval = 100 * time.Millisecond
	notices := make(chan os.Signal, 1)
	signal.Notify(notices, syscall.SIGUSR1)
	go func() {
		for range notices {
			sh.Notify(cmp.Or(os.Getenv("DISTPROC_TEST_NOTICE"), "node 2@127.0.0.1 is down"))
		}
	}()
	if os.Getenv("DISTPROC_TEST_SHELL") == "panic" {
		sh.commands[0].run = nil
		sh.cluster = panicCluster{sh.cluster}
	}
	var err error
	if command := os.Getenv("DISTPROC_TEST_COMMAND"); command != "" {
		err = sh.RunCommand(ctx, Command{Name: command})
	} else {
		err = sh.Run(ctx)
		fmt.Printf("left: %v\n", err)
	}
	if status, ok := errors.AsType[ExitStatus](err); ok {
		os.Exit(int(status))
	}
	os.Exit(0)
}

// busyCluster is a fakeCluster whose nodes answer more requests between any two looks.
type busyCluster struct {
	fakeCluster
	looks atomic.Uint64
}

func (c *busyCluster) Nodes(ctx context.Context) ([]node.NodeInfo, error) {
	nodes, err := c.fakeCluster.Nodes(ctx)
	for i, n := 0, c.looks.Add(1); i < len(nodes); i++ {
		nodes[i].Requests *= n
	}
	return nodes, err
}

// movingCluster is a fakeCluster whose client goes from one node to the next at each two
// SIGUSR2. In between it has no node.
type movingCluster struct {
	fakeCluster
	steps atomic.Int32
}

func (c *movingCluster) Self() string   { return fmt.Sprintf("%d@127.0.0.1", c.steps.Load()/2+1) }
func (c *movingCluster) attached() bool { return c.steps.Load()%2 == 0 }

func (c *movingCluster) listen() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	go func() {
		for range signals {
			c.steps.Add(1)
		}
	}()
}

// panicCluster breaks outside of any command.
type panicCluster struct{ Cluster }

func (panicCluster) Self() string { panic("broken") }
