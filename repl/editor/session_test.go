//go:build unix

package editor

import (
	"bytes"
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
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// TestMain makes the test binary a program that shows the lines that are typed, when
// DISTPROC_TEST_EDITOR is set, so that tests have a process with a terminal of its own. The
// line busy makes it wait for a Ctrl-C.
func TestMain(m *testing.M) {
	if os.Getenv("DISTPROC_TEST_EDITOR") == "" {
		flag.Parse()
		os.Exit(m.Run())
	}
	e, err := Open(Config{
		In: os.Stdin, Out: os.Stdout,
		History:   os.Getenv("DISTPROC_TEST_HISTORY"),
		Highlight: func(line string) string { return line },
		Complete: func(before string) (string, []Suggestion) {
			return before, []Suggestion{{Text: "日本", Help: "one"}, {Text: "日曜", Help: "two"}}
		},
	})
	if err != nil || e == nil {
		fmt.Println("no editor:", err)
		os.Exit(1)
	}
	defer e.Close()
	notices := make(chan os.Signal, 1)
	signal.Notify(notices, syscall.SIGUSR1)
	go func() {
		for range notices {
			e.Notify("a notice")
		}
	}()
	stops := make(chan struct{}, 1)
	defer e.Listen(func() {
		e.Forget()
		select {
		case stops <- struct{}{}:
		default:
		}
	})()
	for n := 1; ; n++ {
		line, err := e.ReadLine(context.Background(), func() string { return fmt.Sprintf("%d> ", n) }, "")
		switch stop, ok := errors.AsType[Interrupted](err); {
		case ok:
			fmt.Printf("interrupted %v\n", stop)
			continue
		case err != nil:
			fmt.Println("left:", err)
			return
		}
		e.Remember(line)
		fmt.Printf("got %q\n", line)
		if line == "busy" {
			if !e.TakeInterrupt() {
				<-stops
			}
			fmt.Println("stopped")
		}
	}
}

// A session is that program, with a terminal that the test looks at.
type session struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File // its side of the terminal
	keys *os.File // the other side
	done chan struct{}

	mu   sync.Mutex
	raw  bytes.Buffer // guarded by mu; all that it wrote
	size pty.Winsize  // guarded by mu
}

func start(t *testing.T, rows, cols uint16, env ...string) *session {
	t.Helper()
	keys, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	s := &session{t: t, cmd: exec.Command(os.Args[0]), tty: tty, done: make(chan struct{}), size: pty.Winsize{Rows: rows, Cols: cols}}
	fd, err := unix.Dup(int(keys.Fd())) // not blocking, so that Close ends a Read
	if err == nil {
		unix.CloseOnExec(fd)
		err = errors.Join(unix.SetNonblock(fd, true), pty.Setsize(tty, &s.size), keys.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.keys = os.NewFile(uintptr(fd), "keys")
	s.cmd.Env = append(append(os.Environ(), "DISTPROC_TEST_EDITOR=1", "TERM=xterm", "GORACE=atexit_sleep_ms=0"), env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.cmd.Wait(); close(s.done) }()
	var reading sync.WaitGroup
	reading.Go(func() { io.Copy(s, s.keys) })
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.done
		tty.Close()
		s.keys.Close()
		reading.Wait()
	})
	return s
}

// Write takes what the program writes.
func (s *session) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.Write(p)
}

func (s *session) written() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.String()
}

// screen returns the terminal after all that was written.
func (s *session) screen() *vt {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := newVT(s.t, int(s.size.Rows), int(s.size.Cols))
	written := s.raw.String()
	for _, r := range []string{markPastes, unmarkPastes, hide, show} {
		written = strings.ReplaceAll(written, r, "")
	}
	if i := strings.LastIndexByte(written, 0x1b); i >= 0 && !regexp.MustCompile(`^\x1b\[[0-9;?]*[@-~]`).MatchString(written[i:]) {
		written = written[:i] // the rest is still to come
	}
	v.write(strings.ReplaceAll(strings.ToValidUTF8(written, ""), "\r\n", "\n"))
	return v
}

func (s *session) send(keys string) {
	s.t.Helper()
	if _, err := s.keys.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// inPieces sends keys in pieces, with a time between them that is longer than Escape waits.
func (s *session) inPieces(pieces ...string) {
	s.t.Helper()
	for i, piece := range pieces {
		if i > 0 {
			time.Sleep(2 * escapeIdle)
		}
		s.send(piece)
	}
}

// wait waits until the text of the terminal matches, and returns the terminal.
func (s *session) wait(pattern string) *vt {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		v := s.screen()
		if re.MatchString(v.text()) {
			return v
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%q never appeared:\n%s", pattern, v.text())
		}
	}
}

// at waits until the text before the cursor matches.
func (s *session) at(pattern string) {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		v := s.screen()
		if re.MatchString(v.before()) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the cursor is never behind %q, but behind %q:\n%s", pattern, v.before(), v.text())
		}
	}
}

// leave types Ctrl-D and waits for the end of the program.
func (s *session) leave() {
	s.t.Helper()
	s.send("\x04")
	s.wait(`left: EOF$`)
	<-s.done
}

// patience is how long a test waits for what must come.
const patience = time.Minute
