//go:build unix

package repl

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// Terminals mark pastes by these.
const (
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
)

func TestPaste(t *testing.T) {
	t.Parallel()
	const n = 1000
	lines := strings.Repeat("n = n + 1  # a comment of some more words, and others: ä日 "+strings.Repeat("x", 50)+"\r", n) // more than 100 kB
	block := "def f(x):\r\tif x:\r\t\treturn 1\r\r"
	long := `x = "` + strings.Repeat("0123456789", 10_000) + `"`
	for name, mark := range map[string][2]string{"plain": {}, "marked": {pasteBegin, pasteEnd}} {
		t.Run(name, func(t *testing.T) {
			s := startSession(t, normal)
			s.prompt("1", "")
			s.send("n = 0\r")
			s.prompt("2", "")
			go io.WriteString(s.master, mark[0]+lines+mark[1]+"print('n is', n)\r")
			s.wait(`\nn is 1000\n`)
			s.prompt("1003", "")
			s.send(mark[0] + block + mark[1] + "f(2)\r")
			s.wait(`> f\(2\)\n1\n`)
			s.prompt("1005", "")
			go io.WriteString(s.master, mark[0]+long+mark[1]+"\r"+mark[0]+"print('len', len(x))"+mark[1]+"\r")
			s.wait(`\nlen 100000\n`)
			if strings.Contains(s.written(), "too small") {
				t.Error("go-prompt finds the window too small")
			}
			s.send("exit()\r")
			s.left(0)
		})
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("reque\t")
	s.prompt("1", "request")
	s.send("(1).va\t")
	s.prompt("1", "request(1).va") // nothing is called to find out
	s.send("\x15r = request(1)\r")
	s.prompt("2", "")
	s.send("r.va\t")
	s.prompt("2", "r.value")
	s.send("\x15no\t")
	s.wait(`2> node\n +node +the name of the node.*\n +nodes +the names`)
	s.send("\t\t")
	s.wait(`2> nodes\n`)
	s.send("()\r")
	s.wait(`2> nodes\(\)\n\["1@127.0.0.1", .*\]\n`)
	s.prompt("3", "")
	s.send("Node.l\t")
	s.prompt("3", "Node.list")
	s.send("\x15ping(\"2\t")
	s.prompt("3", `ping("2@127.0.0.1"`)
	s.send("\x15ping(\"\t")
	s.wait(`ping\("\n +1@127.0.0.1 +1@127.0.0.1, alive\n(.*\n)* +4@127.0.0.1 +4@127.0.0.1, failed`)
	s.send("\x15request(1, v\t")
	s.wait(`request\(1, v\n +via= +argument of request\n +v +the value`)
	s.send("\t\"3@127.0\t")
	s.prompt("3", `request(1, via="3@127.0.0.1"`)
	s.send("\x15ping(\"2\")\x1b[D\x1b[D\t") // Left, Left: the quote is there
	s.prompt("3", `ping("2@127.0.0.1")`)
	s.send("\x05\x15\t")
	s.wait(`3>\n +connect +connect to the named nodes`)
	s.send(strings.Repeat("\t", 2*len(commands())+3))
	s.send("\x03")
	s.wait(`\^C\n.*3>$`)
	s.send("1\r")
	s.prompt("4", "")
}

// A line of others appears above the one being typed.
func TestNotify(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send(`x = "half`)
	s.prompt("1", `x = "half`)
	s.cmd.Process.Signal(syscall.SIGUSR1)
	s.wait(`^node 2@127.0.0.1 is down\n` + `distproc\S+1> x = "half$`)
	s.send(" typed\"\r")
	s.prompt("2", "")
	s.send("sleep(0.5)\r")
	s.waitRunning()
	s.cmd.Process.Signal(syscall.SIGUSR1)
	s.wait(`sleep\(0.5\)\nnode 2@127.0.0.1 is down\n.*3>$`)
	s.send("x\r")
	s.wait(`"half typed"\n`)
}

// A notice that is too long for the window is broken between words.
func TestNotifyLong(t *testing.T) {
	t.Parallel()
	s := startSession(t, &pty.Winsize{Rows: 24, Cols: 40}, "DISTPROC_TEST_NOTICE=12:00:00 node down; the client moves to another one")
	s.prompt("1", "")
	s.send("x")
	s.prompt("1", "x")
	s.cmd.Process.Signal(syscall.SIGUSR1)
	s.wait(`^12:00:00 node down; the client moves to\n  another one\n` + `distproc\S+1> x$`)
}

func TestResize(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	typed := "x = 1000000000000000000001"
	s.send(typed + "\x1b[D")
	s.prompt("1", typed)
	for _, size := range []*pty.Winsize{{Rows: 6, Cols: 20}, {Rows: 1, Cols: 1}, {Rows: 0, Cols: 0}, {Rows: 3, Cols: 200}, normal} {
		before := len(s.written())
		s.mu.Lock()
		s.screen.Resize(max(int(size.Cols), 1), max(int(size.Rows), 1))
		s.mu.Unlock()
		pty.Setsize(s.tty, size)
		s.cmd.Process.Signal(syscall.SIGWINCH)
		s.waitFor(`\x1b\[\?25h`, func() string { return s.written()[before:] })
	}
	s.wait(`x = 1000000000000000000001$`)
	s.send("2\r") // before the last digit, where the cursor was
	s.prompt("2", "")
	s.send("x\r")
	s.wait(`\n10000000000000000000021\n`)
	s.send("exit()\r")
	s.left(0)
}

// Windows in which go-prompt itself shows nothing, or an error. Their lines are too short
// to look at but in all that was written.
func TestOddWindows(t *testing.T) {
	t.Parallel()
	for _, size := range []*pty.Winsize{{}, {Rows: 6, Cols: 20}, {Rows: 2, Cols: 5}} {
		s := startSession(t, size)
		s.waitFor(`\)1> `, s.written)
		s.send("request(1)\r")
		s.waitFor(`\{\S*200\S*, \S*2@127`, s.written)
		s.waitFor(`\)2> `, s.written)
		s.send("no\t\t\t\t\t\x03")
		s.waitFor(`\^C`, s.written)
		s.send("\x12zz\x07top\r") // a search that is given up, and the live screen
		s.waitFor(`\x1b\[\?1049h(.|\n)*dis`, s.written)
		s.send("q")
		s.waitFor(`\x1b\[\?1049l(.|\n)*\)3> `, s.written)
		s.send("exit()\r")
		s.waitFor(`left: <nil>`, s.written)
		<-s.done
	}
}

func TestWideCharacters(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("x = \"日本語é\"\r")
	s.prompt("2", "")
	s.send("len(x.elems()), x\r")
	s.wait(`\(11, "日本語é"\)`)
}

func TestNoColor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		env     string
		colored bool
	}{{"NO_COLOR=1", false}, {"NO_COLOR=", true}} {
		s := startSession(t, normal, test.env)
		s.prompt("1", "")
		s.send("connect()\r")
		s.prompt("2", "")
		s.send("exit()\r")
		s.left(0)
		if got := regexp.MustCompile(`\x1b\[[0-9;]*3[1-7](;[0-9;]*)?m`).MatchString(s.written()); got != test.colored {
			t.Errorf("%s: coloured is %v:\n%q", test.env, got, s.written())
		}
		if got := strings.Contains(s.written(), "\x1b[36m1@127.0.0.1\x1b[0m"); got != test.colored {
			t.Errorf("%s: names of nodes are coloured: %v", test.env, got)
		}
		if strings.Contains(s.written(), "\x1b]2;") {
			t.Error("the window's title is changed")
		}
	}
}

func TestHistoryOfTwoShells(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "history")
	for i, line := range []string{"print('one')", "print('two')"} {
		s := startSession(t, normal, "DISTPROC_TEST_HISTORY="+path)
		s.prompt("1", "")
		s.send(strings.Repeat("\x1b[A", i)) // Up to the last shell's line
		if i > 0 {
			s.prompt("1", "print('one')")
			s.send("\x15")
		}
		s.send(line + "\r")
		s.prompt("2", "")
		s.send("\x04")
		s.left(0)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v; want mode 0600", info.Mode(), err)
	}
	if got, err := os.ReadFile(path); string(got) != "print('one')\nprint('two')\n" {
		t.Errorf("%q, %v", got, err)
	}
}
