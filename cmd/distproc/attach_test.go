//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// A screen is a distproc at a terminal, as the bytes that it wrote.
type screen struct {
	t   *testing.T
	tty *os.File

	mu   sync.Mutex
	text bytes.Buffer // without escape sequences; guarded by mu
	seen int          // how much of text was waited for; guarded by mu
}

var escapes = regexp.MustCompile(`\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>78])`)

// startAtTerminal runs distproc at a terminal of 100 columns, and ends it with the test.
func startAtTerminal(t *testing.T, args ...string) *screen {
	t.Helper()
	return startScreen(t, exec.Command("distproc", args...))
}

// startScreen runs a command at a terminal of 100 columns, and ends it with the test.
func startScreen(t *testing.T, cmd *exec.Cmd) *screen {
	t.Helper()
	cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+t.TempDir(), "TERM=xterm")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, tty: tty}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			s.mu.Lock()
			s.text.Write(escapes.ReplaceAll(buf[:n], nil))
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		tty.Close()
		wg.Wait()
	})
	return s
}

// await waits until all of the words have come, after what was waited for before.
func (s *screen) await(words ...string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		text := s.text.String()[s.seen:]
		at, found := 0, true
		for _, w := range words {
			i := strings.Index(text[at:], w)
			if found = i >= 0; !found {
				break
			}
			at += i + len(w)
		}
		if found {
			s.seen += at
		}
		s.mu.Unlock()
		if found {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%q does not come; there is:\n%s", words, text)
		}
	}
}

func (s *screen) enter(line string) { fmt.Fprintf(s.tty, "%s\r", line) }

// notices returns the lines that were shown above the prompt.
func (s *screen) notices() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return regexp.MustCompile(`[^\r\n]*node (up|down|leaves)[^\r\n]*\r\n`).FindAllString(s.text.String(), -1)
}

// checkTimes checks that notices begin with a time of day that is about now.
func (s *screen) checkTimes() {
	s.t.Helper()
	list := s.notices()
	if len(list) == 0 {
		s.t.Error("no notices")
	}
	for _, line := range list {
		line = strings.TrimSpace(line)
		stamp, rest, _ := strings.Cut(line, " ")
		at, err := time.ParseInLocation(time.DateTime, time.Now().Format(time.DateOnly)+" "+stamp, time.Local)
		if ago := time.Since(at).Abs(); err != nil || min(ago, 24*time.Hour-ago) > patience || !strings.HasPrefix(rest, "node ") {
			s.t.Errorf("%q", line)
		}
	}
}

// TestAttachedShellOutlivesItsNode kills the node under an attached shell with kill -9:
// the shell says so, also in the prompt, goes on, and works again when the node is back.
// The shell keeps what the user has typed.
func TestAttachedShellOutlivesItsNode(t *testing.T) {
	t.Parallel()
	host := testHost()
	name := "2@" + host
	n := startNode(t, name)
	s := startAtTerminal(t, "repl", "--attach", name)
	prompt := "distproc(to " + name + ")"
	s.await("distproc ", ", attached to "+name+", 1 member", "h() lists the commands", "exit() leaves", prompt+"1> ")
	s.enter("x = request(7).node")
	s.await(prompt + "2> ")
	fmt.Fprint(s.tty, "request(")
	s.await("request(")
	n.cmd.Process.Kill()
	n.cmd.Wait()
	s.await("node down", name, "distproc(lost "+name+")2> request(")
	s.enter("7)")
	s.await("** (", "unreachable", "(not run)", "distproc(lost "+name+")2> ")
	startNode(t, name)
	s.await("node up", name)
	s.await(prompt + "2> ")
	s.enter("request(8).node == x")
	s.await("True", prompt+"3> ")
	s.checkTimes()
}

// TestPromptFollowsMove kills the node under an attached shell, which moves to another one
// and back. The prompt names the node that it is attached to, while a line is typed, too.
func TestPromptFollowsMove(t *testing.T) {
	t.Parallel()
	host := testHost()
	one, two := "1@"+host, "2@"+host
	startNode(t, one)
	n := startNode(t, two, "--join", one)
	s := startAtTerminal(t, "repl", "--attach", two)
	s.await("2 members", "distproc(to "+two+")1> ")
	fmt.Fprint(s.tty, "node(")
	s.await("node(")
	n.cmd.Process.Kill()
	n.cmd.Wait()
	s.await("distproc(to " + one + ")1> node(")
	s.enter(")")
	s.await(`"`+one+`"`, "distproc(to "+one+")2> ")
	s.enter("two = [n for n in [[sleep(0.05), nodes(detail=True)[1]][1] for _ in range(100)] if n.until][0]")
	s.await("distproc(to " + one + ")3> ")
	s.enter("two.since < time.minute, two.until > time.minute")
	s.await("(True, True)", "distproc(to "+one+")4> ")
	startNode(t, two, "--join", one)
	s.await("distproc(to " + two + ")4> ")
	s.enter("[n.until for n in nodes(detail=True)]")
	s.await("[None, None]")
}

// TestNodesComeAndGoAbovePrompt has a node join and crash while a line is typed at a
// member's shell: both are shown, and the line stays.
func TestNodesComeAndGoAbovePrompt(t *testing.T) {
	t.Parallel()
	host := testHost()
	s := startAtTerminal(t, "repl", "--name", "1@"+host)
	s.await("distproc(1@" + host + ")1> ")
	fmt.Fprint(s.tty, "1 + ")
	s.await("+")
	n := startNode(t, "2@"+host, "--join", "1@"+host)
	s.await("node up", "2@"+host, "1 + ")
	n.cmd.Process.Kill()
	n.cmd.Wait()
	s.await("node down", "2@"+host, "1 + ")
	s.enter("41")
	s.await("42", ")2> ")
	s.checkTimes()
}
