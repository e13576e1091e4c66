//go:build unix

package repl

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

func TestTop(t *testing.T) {
	t.Parallel()
	for _, leave := range []string{"q", "\x03", "\x1b[A", " \r"} {
		s := startSession(t, normal)
		s.prompt("1", "")
		s.send("request(1)\r")
		s.prompt("2", "")
		s.send("top\r")
		s.wait(`^distproc top  4 nodes  1 live id  .*any key leaves\n\nnode         state .*load\n1@127.0.0.1  alive(.*\n)+2@127.0.0.1  alive .*█\n(.*\n)+4@127.0.0.1  failed  out of reach\n\nkind           p99   errors  requests/s  last minute\ndefault      ≤10ms        2        42.0 .*[▃▄▅]+[▆▇█]\n(.*\n)+\nid .*\n1   2@127.0.0.1 .* 12  █+$`)
		first := s.text()
		s.cmd.Process.Signal(syscall.SIGUSR1)
		s.waitFor(`^distproc top`, func() string {
			if now := s.text(); now != first {
				return now // at the next frame
			}
			return ""
		})
		s.mu.Lock()
		s.screen.Resize(40, 6)
		s.mu.Unlock()
		pty.Setsize(s.tty, &pty.Winsize{Rows: 6, Cols: 40})
		s.waitFor(`^distproc top  4 nodes  1 live id  .*…\n\nnode .* requests/s  load\n1@.*\n2@.*\n3@.*$`, s.text)
		s.mu.Lock()
		s.screen.Resize(80, 24)
		s.mu.Unlock()
		pty.Setsize(s.tty, normal)
		s.wait(`any key leaves`)
		s.send(leave)
		s.wait(`\nnode 2@127.0.0.1 is down\n`) // which top did not show
		s.prompt("3", "")
		if strings.Contains(s.text(), "any key") {
			t.Errorf("top is still there:\n%s", s.text())
		}
		s.send("exit()\r")
		s.left(0)
	}
}

// However the shell ends while top runs, the terminal is as it was.
func TestTopRestores(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("top()\r")
	s.wait(`^distproc top  4 nodes`)
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.left(0)
	w := s.written()
	if strings.LastIndex(w, "\x1b[?1049l") < strings.LastIndex(w, "\x1b[?1049h") {
		t.Error("the other screen stays")
	}
}

func TestTopWithoutATerminal(t *testing.T) {
	t.Parallel()
	out, errs, err := run(t, Config{}, "top")
	if want := "<stdin>:1:1: top: there is no terminal to watch at; nodes(detail=True) and workers() show the same once\n"; err != ExitStatus(1) || out != "" || errs != want {
		t.Errorf("%v %s%s, want %s", err, out, errs, want)
	}
}

// TestTopAtADumbTerminal shows frames one below the other, without sequences, until a key is
// pressed.
func TestTopAtADumbTerminal(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal, "TERM=dumb")
	s.prompt("1", "")
	s.send("top()\r")
	s.wait(`no live workers\n\ndistproc top  4 nodes`)
	s.send("q")
	s.prompt("2", "")
	if strings.Contains(s.written(), "\x1b") {
		t.Errorf("sequences: %q", s.written())
	}
	s.send("exit()\r")
	s.left(0)
}

func TestTopOfMany(t *testing.T) {
	t.Parallel()
	sh := New(Config{Cluster: &fakeCluster{workers: map[worker.ID]int64{crowdedID: 1}}})
	f := sh.look(t.Context())
	if out := strings.Join(f.lines(80, 24, style{}), "\n"); f.err != nil || !strings.Contains(out, "  1 of 4001 live ids  ") {
		t.Errorf("%v %s", f.err, out)
	}
}

func TestFrameFits(t *testing.T) {
	t.Parallel()
	f := frame{at: time.Unix(0, 0)}
	f.nodes = []node.NodeInfo{{Member: node.Member{Name: "日本@h"}, Rate: 1e9}, {Member: node.Member{Name: "2@h"}, Problem: strings.Repeat("lost ", 100)}}
	for i := range 100 {
		f.workers = append(f.workers, worker.Info{ID: worker.IntID(int64(i)), Node: "1@h", Hits: uint64(1000 - i)})
	}
	for _, cols := range []int{1, 2, 20, 79, 200} {
		for _, rows := range []int{1, 3, 24} {
			lines := f.lines(cols, rows, style{})
			if len(lines) > rows {
				t.Errorf("%d lines, of %d", len(lines), rows)
			}
			for _, line := range lines {
				if text.Width(line) > cols {
					t.Errorf("%q has %d columns, of %d", line, text.Width(line), cols)
				}
			}
		}
	}
}

// TestWideFrame has a node and an id of wide characters: the columns after them stay aligned.
func TestWideFrame(t *testing.T) {
	t.Parallel()
	f := frame{at: time.Unix(0, 0), nodes: []node.NodeInfo{{Member: node.Member{Name: "日本@h"}}, {Member: node.Member{Name: "2@h"}}}}
	wide, err := worker.ParseID("日本語")
	if err != nil {
		t.Fatal(err)
	}
	f.workers = []worker.Info{{ID: wide, Node: "日本@h", Hits: 2}, {ID: worker.IntID(1), Node: "2@h", Hits: 1}}
	for _, lines := range [][]string{f.nodeLines(200, style{}), f.workerLines(200, 10, style{})} {
		for _, line := range lines[1:] {
			if head, _, _ := strings.Cut(line, "0s"); text.Width(head) != text.Width(strings.SplitN(lines[1], "0s", 2)[0]) {
				t.Errorf("%q is not aligned with %q", line, lines[1])
			}
		}
	}
}

// TestNarrowFrame leaves out what matters least, and keeps what the rows are compared by.
func TestNarrowFrame(t *testing.T) {
	t.Parallel()
	f := frame{nodes: []node.NodeInfo{{Member: node.Member{Name: "1@127.0.0.1"}, Rate: 3, Evicted: 1}}, workers: []worker.Info{{Node: "1@127.0.0.1", Hits: 1}}}
	for cols, want := range map[int]string{
		100: "node state rtt ids values evicted requests/s load|id node age ttl queue hits hottest",
		66:  "node state rtt ids evicted requests/s load|id node age ttl queue hits hottest",
		50:  "node state ids requests/s load|id node ttl queue hits",
		40:  "node state ids requests/s|id node ttl hits",
		31:  "node state requests/s|id node hits",
	} {
		head := f.nodeLines(cols, style{})[0] + "|" + f.workerLines(cols, 10, style{})[0]
		if got := strings.Join(strings.Fields(head), " "); got != want {
			t.Errorf("in %d columns %q, want %q", cols, got, want)
		}
	}
}

// TestEvictedColumn has a column for what was evicted once a node has evicted something.
func TestEvictedColumn(t *testing.T) {
	t.Parallel()
	f := frame{nodes: []node.NodeInfo{{}, {}}}
	for _, evicted := range []uint64{0, 1} {
		f.nodes[1].Evicted = evicted
		if head := f.nodeLines(200, style{})[0]; strings.Contains(head, "evicted") != (evicted > 0) {
			t.Errorf("%d evicted: %q", evicted, head)
		}
	}
}

func TestInitAtATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad, open := filepath.Join(dir, "good.star"), filepath.Join(dir, "bad.star"), filepath.Join(dir, "open.star")
	for path, text := range map[string]string{good: "'''Mine.'''\nz = 5\nz\nconfigure(limit=3)\n", bad: "z = 1\n\nz += nosuch\n", open: "z = 9"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(open, 0o666)
	s := startSession(t, &pty.Winsize{Rows: 24, Cols: 200}, "DISTPROC_TEST_INIT="+strings.Join([]string{bad, dir + "/none", good, open}, ":"))
	s.wait(`^\*\* \(NameError\) undefined: nosuch\n   \S+bad.star:3\n     z \+= nosuch\n          \^\n\*\* \(Error\) \S+open.star is not run, as others can write to it \(mode 0666\); run: chmod go-w \S+\ndistproc\S+1>$`)
	s.send("list(range(z))\r")
	s.wait(`\n\[0, 1, 2, … 2 more\]\n`)
	s.prompt("2", "")
	s.send("v(1)[z - 1]\r")
	s.wait(`\n4\n`)
	s.prompt("3", "")
	s.send("configure(color='never')\r")
	s.prompt("4", "")
	before := len(s.written())
	s.send("request(1)\rnosuch\r")
	s.wait(`\n\*\* \(NameError\).*\n(.*\n)*.*5>$`)
	if regexp.MustCompile(`\x1b\[[0-9;]*3[1-7](;[0-9;]*)?m`).MatchString(s.written()[before:]) {
		t.Errorf("coloured: %q", s.written()[before:])
	}
	s.send("clear\r")
	s.wait(`^distproc\S+6>$`)
	s.send("exit()\r")
	s.left(0)
}
