//go:build unix

package repl

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// TestPromptOfAttached loses the node of an attached shell while a line is typed, while a
// block is and during a search. The prompt says so, and follows to another node; what is
// typed stays.
func TestPromptOfAttached(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal, "DISTPROC_TEST_SHELL=attached")
	step := func() { s.cmd.Process.Signal(syscall.SIGUSR2) }
	s.wait(`^distproc\(to 1@127.0.0.1\)1>$`)
	s.send("x = 1")
	s.wait(`1> x = 1$`)
	s.send("\x1b[D") // Left
	step()
	s.wait(`^distproc\(lost 1@127.0.0.1\)1> x = 1$`)
	step()
	s.wait(`^distproc\(to 2@127.0.0.1\)1> x = 1$`)
	s.send("4\r") // where the cursor was
	s.wait(`\n.*2>$`)
	s.send("x\r")
	s.wait(`^distproc\(to 2@127.0.0.1\)1> x = 41\n.*\n41\n`)
	s.send("\x0c")
	s.wait(`^distproc\(to 2@127.0.0.1\)3>$`)
	s.send("if True:\r")
	s.wait(`\n\.{8}\(to 2@127.0.0.1\)3>$`)
	step()
	s.wait(`^distproc\(to 2@127.0.0.1\)3> if True:\n\.{8}\(lost 2@127.0.0.1\)3>$`)
	s.send("print('in')\r\r")
	s.wait(`\nin\ndistproc\(lost 2@127.0.0.1\)4>$`)
	s.send("\x0c\x12prin") // Ctrl-R
	s.wait("^\\(reverse-i-search\\)`prin': ")
	step()
	s.send("t")
	s.wait("^\\(reverse-i-search\\)`print': if True:")
	s.send("\x07")
	s.wait(`^distproc\(to 3@127.0.0.1\)4>$`)
	s.send("exit()\r")
	s.left(0)
}

// TestGreeting shows two lines before the first prompt of a terminal, also of a narrow one,
// and nothing elsewhere.
func TestGreeting(t *testing.T) {
	t.Parallel()
	const version = "DISTPROC_TEST_VERSION=v1.2.3"
	s := startSession(t, normal, version)
	s.wait(`^distproc v1.2.3, node 1@127.0.0.1, 4 members, 1 failed\nh\(\) lists .*, Ctrl-D or exit\(\) leaves\ndistproc\(1@127.0.0.1\)1>$`)
	s = startSession(t, &pty.Winsize{Rows: 24, Cols: 30}, version, "DISTPROC_TEST_SHELL=attached")
	s.wait(`^distproc v1.2.3, attached to\n1@127.0.0.1, 4 members, 1\nfailed\nh\(\) lists the commands, Tab\ncompletes, Ctrl-D or exit\(\)\nleaves\ndistproc\(to 1@127.0.0.1\)1>$`)
	out, errs, err := run(t, Config{Version: "v1.2.3", Attached: func() bool { return true }}, "print(1)\n")
	if out != "1\n" || errs != "" || err != nil {
		t.Errorf("%q, %q, %v", out, errs, err)
	}
	out, _, _ = run(t, Config{Attached: func() bool { return false }, Echo: true}, "print(1)\n")
	if !strings.HasPrefix(out, "distproc(lost 1@127.0.0.1)1> print(1)\n") {
		t.Errorf("%q", out)
	}
}

// TestMenuOfNarrowWindow completes in windows with few columns and rows. Nothing of the menu
// wraps, the count says which part of it is visible, and the prompt stays where it was.
func TestMenuOfNarrowWindow(t *testing.T) {
	t.Parallel()
	s := startSession(t, &pty.Winsize{Rows: 24, Cols: 30})
	s.wait(`^distproc\(1@127.0.0.1\)1>$`)
	s.send("\t")
	s.wait(`^distproc\(1@127.0.0.1\)1>\n( \w+ +\S.{6,28}[…█ ]\n){6} +1-6 of \d\d$`)
	for line := range strings.SplitSeq(s.text(), "\n") {
		if n := len([]rune(line)); n > 30 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	s.send("\t\t\t\t\t\t\t\t")
	s.wait(`1>.*\n(.*\n){6} +3-8 of \d\d$`)
	s.send("\x1b[A\x15")
	s.wait(`^distproc\(1@127.0.0.1\)1>$`)
	s.send("request(\t")
	s.wait(`^distproc\(1@127.0.0.1\)1> reques\nt\(\n( +\w+= +\S.*\n){3} +\w+= .*$`)
	s = startSession(t, &pty.Winsize{Rows: 4, Cols: 12})
	s.wait(`1>$`)
	s.send("\t")
	s.wait(`1>\n\n connect  █\n disconn….*$`)
}

// agingCluster has members that say since when they are as they are.
type agingCluster struct{ fakeCluster }

func (c *agingCluster) Nodes(ctx context.Context) ([]node.NodeInfo, error) {
	list, err := c.fakeCluster.Nodes(ctx)
	list[0].Since = 90*time.Second + 400*time.Millisecond
	list[1].Kept = worker.Forever
	list[3].Since, list[3].Kept = 3*time.Second, 9*time.Minute+57*time.Second
	return list, err
}

// TestSinceAndUntil shows since when members are as they are, and until when one that has
// failed is kept. A node of an older version, as the second one, does not say so.
func TestSinceAndUntil(t *testing.T) {
	t.Parallel()
	out, _, err := run(t, Config{Cluster: &agingCluster{}}, "n = nodes(detail=True)\nprint(n)\nprint(n[0].since + n[3].until, n[2].since, n[1].until)\n")
	const want = `name         state    since    until
1@127.0.0.1  alive    1m30s
2@127.0.0.1  alive           forever
3@127.0.0.1  alive
4@127.0.0.1  failed      3s    9m57s
11m27s None forever
`
	var got strings.Builder
	for line := range strings.Lines(out) {
		got.WriteString(strings.TrimRight(line[:min(len(line), len("1@127.0.0.1  failed      3s    9m57s"))], " \n") + "\n")
	}
	if spaces(got.String()) != spaces(want) || err != nil {
		t.Errorf("%s\n%v", out, err)
	}
}
