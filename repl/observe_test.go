//go:build unix

package repl

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"events", `^time            event      about\n01-02 \S+  node up    2@127.0.0.1, addr=127.0.0.1:4372\n01-02 \S+  node down  4@127.0.0.1, EOF\n$`},
		{"events()[-1].why, events()[-1].node, events()[0].seq, events()[1].level", `^\("EOF", "4@127.0.0.1", 1, "warn"\)\n$`},
		{"len(events(node='2@127.0.0.1')), events(node='2@127.0.0.1')[149].event", `^\(150, "event 147"\)\n$`},
		{"len(events(node='2@127.0.0.1', since=60))", `^148\n$`},
		{"[e.event for e in events(text='EOF')]", `^\["node down"\]\n$`},
		{"events(text='nothing')", `^no events\n$`},
		{"configure(limit=2)\nevents('2@127.0.0.1', text='event ')", `^… 146 earlier rows; print shows all\ntime      event\n\S+  event 146\n\S+  event 147\n$`},
	} {
		out, errs, err := run(t, Config{}, c[0])
		if err != nil || !regexp.MustCompile(c[1]).MatchString(out) {
			t.Errorf("%s: %v %s%q, want %s", c[0], err, errs, out, c[1])
		}
	}
}

// endless has ever more events, faster than they are asked for.
type endless struct {
	fakeCluster
	asked atomic.Int64
}

func (c *endless) Events(_ context.Context, q observe.EventQuery) (page observe.Events, err error) {
	c.asked.Add(1)
	page.Run, page.Last = 7, q.After.Seq+1<<40
	for i := range uint64(observe.MaxPage) {
		page.List = append(page.List, observe.Event{Seq: q.After.Seq + i + 1})
	}
	return page, nil
}

func TestEndlessEvents(t *testing.T) {
	t.Parallel()
	c := &endless{}
	out, errs, err := run(t, Config{Cluster: c}, "len(events())")
	if n := c.asked.Load(); err != nil || out != fmt.Sprintln(observe.MaxEvents) || n > observe.MaxEvents/observe.MaxPage {
		t.Errorf("%v %s%s, asked %d times", err, errs, out, n)
	}
}

// TestTraceEnds has a trace with all that may come: it goes on at the next owner, and ends
// with its 1,000th line.
func TestTraceEnds(t *testing.T) {
	t.Parallel()
	out, errs, err := run(t, Config{}, "trace(7)")
	lines := strings.Split(out, "\n")
	if err != nil || errs != "" || len(lines) < 10 {
		t.Fatal(err, errs, out)
	}
	want := []string{
		`(2@127.0.0.1 acts for 7; a key or Ctrl-C ends it)`,
		`03:04:05.006  request  3@127.0.0.1     1.5ms  → 454`,
		`03:04:05.006  request  client    cached  → 454`,
		`03:04:05.006  call     client        0s  deposit 5 ** overloaded`,
		`03:04:05.006  refresh  2@127.0.0.1        0s  → 7 (degraded, by 1@127.0.0.1)`,
		`(it cannot be asked, and is asked again: unreachable)`,
		`(1@127.0.0.1 acts for 7 now)`,
		`(12 are left out: they came faster than they are asked for)`,
		`03:04:05.006  request  client        0s  → 1`,
	}
	if got := strings.Join(lines[:len(want)], "\n"); got != strings.Join(want, "\n") {
		t.Errorf("it shows\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if last := lines[len(lines)-2]; last != "(1000 requests and calls, 1016 left out; a trace has at most 1000 lines)" || len(lines) != 1000+6 {
		t.Errorf("%d lines, the last one is %s", len(lines), last)
	}
}

// TestTraceAtATerminal ends a trace by a key, by Ctrl-C, and as its time is over.
func TestTraceAtATerminal(t *testing.T) {
	t.Parallel()
	s := startSession(t, &pty.Winsize{Rows: 24, Cols: 40})
	s.prompt("1", "")
	for i, leave := range []string{"q", "\x03", ""} {
		seconds := "60"
		if leave == "" {
			seconds = "0.01"
		}
		s.send("clear\r")
		s.prompt(fmt.Sprint(2*i+2), "")
		s.send("trace(7,kind='quiet',seconds=" + seconds + ")\r")
		s.wait(`\n\(2@127.0.0.1 acts for 7; a key or Ctrl-…`)
		s.send(leave)
		s.wait(`\n\(0 requests and calls\)\n`)
		s.prompt(fmt.Sprint(2*i+3), "")
	}
	s.send("exit()\r")
	s.left(0)
}

func TestWatch(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("n = []; m = [1] * 20\r")
	s.prompt("2", "")
	s.send("watch(lambda: (n.append(1), print('so'), len(n), nodes())[2:], 0.01)\r")
	s.wait(`^watch  lambda  \S+; any key leaves\n\nso\n\(\d{2,}, \["1@127.0.0.1", .*`)
	s.mu.Lock()
	s.screen.Resize(30, 6)
	s.mu.Unlock()
	pty.Setsize(s.tty, &pty.Winsize{Rows: 6, Cols: 30})
	s.wait(`^watch  lambda  \S+; any.*…\n\nso\n\(\n  \d{2,},\n… 4 more lines$`)
	s.mu.Lock()
	s.screen.Resize(80, 24)
	s.mu.Unlock()
	pty.Setsize(s.tty, normal)
	s.wait(`any key leaves`)
	s.send("x")
	s.prompt("3", "")
	// Errors are shown in place, and it goes on.
	s.send("watch('m.pop() + [1][len(m) % 2]', seconds=0.1)\r")
	s.wait(`^watch  m.pop\(\) \+ \[1\]\[len\(m\) % 2\]  \S+; any key leaves\n\*\* .*index 1 out of range`)
	s.wait(`any key leaves\n\n2$`)
	s.wait(`pop: .*empty list`)
	s.send("\x03")
	s.prompt("4", "")
	// A key ends the function that runs.
	s.send("watch('sleep(1000)')\r")
	s.wait(`^looking`)
	s.send(" ")
	s.prompt("5", "")
	s.send("def f():\r  while True: pass\r\r")
	s.prompt("6", "")
	s.send("watch(f)\r")
	s.wait(`^looking`)
	s.send(" ")
	s.prompt("7", "")
	// Other commands of the whole screen show what they do without one.
	s.send("watch(top, 0.01)\r")
	s.wait(`^watch  top\(\)  \S+; any key leaves\n\ndistproc top  4 nodes`)
	s.send(" ")
	s.prompt("8", "")
	// A new size is drawn at once.
	s.send("watch('\"a\" * 60', 1000)\r")
	s.wait(`\n"a{60}"$`)
	s.mu.Lock()
	s.screen.Resize(30, 6)
	s.mu.Unlock()
	pty.Setsize(s.tty, &pty.Winsize{Rows: 6, Cols: 30})
	s.wait(`\n"a{27}…$`)
	s.mu.Lock()
	s.screen.Resize(80, 24)
	s.mu.Unlock()
	pty.Setsize(s.tty, normal)
	s.wait(`\n"a{60}"$`)
	s.send(" ")
	s.prompt("9", "")
	s.send("watch('workers', 0.01)\r")
	s.wait(`^watch  workers  \S+; any key leaves\n\nno live workers$`)
	s.send(" ")
	s.prompt("10", "")
	s.send("exit()\r")
	s.left(0)
}

func TestWatchIsRefused(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"watch(node)":                      "watch: there is no terminal that shows it in place; every(seconds, f, n) shows values below each other",
		"watch('1 +')":                     `watch: "1 +" is no expression: got end of file, want primary expression`,
		"watch(1)":                         `watch: an int; pass a function, such as lambda: workers(), or a text, such as "workers()"`,
		"watch(node, 0)":                   "watch: 0; seconds are a number above 0, such as 0.5",
		"watch(node, -1)":                  "watch: -1; seconds are a number from 0 up, such as 0.5",
		"trace(1, 'none')":                 "trace(1): unknown kind (not run)",
		"trace(1.5)":                       "trace: a float: an id is an integer or a string of at most 256 bytes",
		"trace(1, 'a', 61)":                "trace: seconds are 61; it takes at most 1m0s",
		"events(node='9@h')":               "events(): unreachable (unknown)",
		"events(since='x')":                `events: since is "x"; seconds are a number from 0 up, such as 0.5`,
		"rate('nosuch')":                   `rate: no node has the kind "nosuch"`,
		"rate(node='9@h')":                 "rate(): unreachable (unknown)",
		"plot([1, 'a'])":                   "plot: the value at index 1 is a string; it draws numbers, durations and None",
		"plot([1, time(node)[0]])":         "plot: some values are durations and others are numbers",
		"bench(callers=1025)":              "bench: callers is 1025; there are 1 to 1024",
		"bench(callers=0)":                 "bench: callers is 0; there are 1 to 1024",
		"bench(seconds=61)":                "bench: seconds is 61; it takes up to 60 s",
		"bench(seconds=0)":                 "bench: seconds is 0; it takes up to 60 s",
		"bench(ids=0)":                     "bench: ids is 0; it asks for the ids from 0 to ids-1",
		"bench(kind='a', message=request)": "bench: a builtin_function_or_method: a message is a string",
	} {
		_, errs, err := run(t, Config{}, in)
		if err == nil || !strings.Contains(errs, want) {
			t.Errorf("%s: %v %s, want %s", in, err, errs, want)
		}
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	out, errs, err := run(t, Config{}, "rate(), rate('price'), rate(kind='idle', node='2@127.0.0.1')")
	if err != nil || out != "(43.5, 1.5, 0.0)\n" {
		t.Errorf("%v %s%s", err, errs, out)
	}
}

// TestPlot draws numbers, durations and gaps. In a program the picture is 80 columns wide.
func TestPlot(t *testing.T) {
	t.Setenv("TERM", "xterm")
	for in, want := range map[string]string{
		"plot([0, 1, 2, 3, 4, 5, 6, 7])":       "▁▂▃▄▅▆▇█\n8 values, min 0, max 7, last 7\n",
		"plot([7, None, 3.5], unit='MiB')":     "█ ▅\n2 values, min 3.5 MiB, max 7 MiB, last 3.5 MiB\n",
		"plot([5, 5])":                         "██\n2 values, min 5, max 5, last 5\n",
		"plot([0, 0.0])":                       "▁▁\n2 values, min 0, max 0, last 0\n",
		"plot([-2, 0, 2])":                     "▁▅█\n3 values, min -2, max 2, last 2\n",
		"plot([])":                             "no values\n",
		"plot([float('nan'), float('inf')])":   "no values\n",
		"plot(range(1600))":                    "▁▁▁▁▁▁▂▂▂▂▂▂▂▂▂▂▂▃▃▃▃▃▃▃▃▃▃▃▃▄▄▄▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▅▅▅▅▆▆▆▆▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇▇▇▇▇██████\n1600 values, min 0, max 1599, last 1599; a column is the mean of 20\n",
		"plot([time.second, 2 * time.second])": "▅█\n2 values, min 1s, max 2s, last 2s\n",
		"plot(every(0.001, rate, 3))":          "43.5\n43.5\n43.5\n███\n3 values, min 43.5, max 43.5, last 43.5\n",
		"len(plot([1, 2])), plot([3])[0]":      "(2, 3)\n",
		"plot([1e300, -1e300, 1])":             "█▁▅\n3 values, min -1e+300, max 1e+300, last 1\n",
	} {
		out, errs, err := run(t, Config{}, in)
		if err != nil || out != want {
			t.Errorf("%s: %v %s%q, want %q", in, err, errs, out, want)
		}
	}
	t.Setenv("TERM", "dumb")
	if out, _, _ := run(t, Config{}, "plot(range(8))"); !strings.HasPrefix(out, "_.:-=+*#\n") {
		t.Errorf("at a dumb terminal %q", out)
	}
	if s := (&drawing{values: make([]float64, 500)}).styled(style{cols: 50}); text.Width(strings.Split(s, "\n")[0]) != 49 {
		t.Errorf("in 50 columns\n%s", s)
	}
}

// TestEveryReturns has every return what it has shown, without showing it again.
func TestEveryReturns(t *testing.T) {
	t.Parallel()
	out, errs, err := run(t, Config{}, "every(0.001, lambda: 7, 2)\n_\nx = every(0.001, lambda: 8, n=1)\nx\nevery(0.001, lambda: None, 0)")
	if err != nil || out != "7\n7\n[7, 7]\n8\n[8]\n" {
		t.Errorf("%v %s%q", err, errs, out)
	}
	sh := New(Config{Cluster: &fakeCluster{}, In: strings.NewReader("x = every(0.000001, lambda: None, 25000)")})
	if err := sh.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := starlark.Len(sh.globals["x"]); n != maxKept {
		t.Errorf("%d values are kept, want %d", n, maxKept)
	}
}

// TestKindsInFrame has kinds in top: those with requests, the busiest first, in columns
// that fit.
func TestKindsInFrame(t *testing.T) {
	t.Parallel()
	f := frame{}
	for i := range 7 {
		f.loads = append(f.loads, observe.Load{Kind: fmt.Sprintf("kind%d日本", i), PerSecond: []uint32{uint32(i), uint32(10 * i)}})
	}
	for cols, want := range map[int]string{100: "5 of 6 p99 errors requests/s last minute", 50: "5 of 6 p99 errors requests/s", 30: "5 of 6 errors requests/s", 22: "5 of 6 requests/s"} {
		lines := f.kindLines(cols, style{})
		if got := strings.Join(strings.Fields(lines[0]), " "); got != want || !strings.HasPrefix(lines[1], "kind6日本") || len(lines) != 6 {
			t.Errorf("in %d columns\n%s\nwant %q", cols, strings.Join(lines, "\n"), want)
		}
		for _, line := range lines {
			if text.Width(line) > cols {
				t.Errorf("%q has %d columns, of %d", line, text.Width(line), cols)
			}
		}
	}
	if lines := (frame{loads: []observe.Load{{Kind: "idle", PerSecond: []uint32{0}}}}).kindLines(80, style{}); lines != nil {
		t.Errorf("an idle kind: %q", lines)
	}
}

// slowCluster answers after a millisecond, or fails for odd ids.
type slowCluster struct {
	fakeCluster
	atOnce, most atomic.Int64
}

func (c *slowCluster) Family(string) node.Family { return slowFamily{c: c} }

type slowFamily struct {
	node.Family
	c *slowCluster
}

func (f slowFamily) Request(ctx context.Context, id worker.ID) (worker.Reply, error) {
	defer f.c.atOnce.Add(-1)
	f.c.most.Store(max(f.c.most.Load(), f.c.atOnce.Add(1)))
	select {
	case <-time.After(time.Millisecond):
	case <-ctx.Done():
		return worker.Reply{}, ctx.Err()
	}
	if id == worker.IntID(1) {
		return worker.Reply{}, node.ErrOverloaded
	}
	return worker.Reply{}, nil
}

func (f slowFamily) Call(ctx context.Context, id worker.ID, _ worker.Value) (worker.Reply, error) {
	<-ctx.Done() // that it is given up
	return worker.Reply{}, ctx.Err()
}

func TestBench(t *testing.T) {
	t.Parallel()
	c := &slowCluster{}
	out, errs, err := run(t, Config{Cluster: c}, "b = bench(callers=3, seconds=0.1, ids=2)\nb\nb.requests > b.errors and b.errors > 0 and b.rate > 0 and b.p50 >= time.millisecond and b.max >= b.p99")
	if err != nil || !regexp.MustCompile(`^requests    \d+ in \d+ms\nrate        \d+ answers per second\nlatency     p50 \S+, p99 \S+, max \S+\nerrors      \d+\n  of these  \d+ unknown, overloaded\nTrue\n$`).MatchString(out) {
		t.Errorf("%v %s%s", err, errs, out)
	}
	if n := c.most.Load(); n != 3 {
		t.Errorf("%d requests at once, want 3", n)
	}
}

// TestBenchIsInterrupted ends one whose calls hang: what there is is shown.
func TestBenchIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	var out strings.Builder
	sh := New(Config{Cluster: &slowCluster{}, In: strings.NewReader("bench(kind='a', message='x', seconds=60)"), Out: &out, Err: &out})
	began := time.Now()
	if err := sh.Run(ctx); err == nil || time.Since(began) > 30*time.Second || !regexp.MustCompile(`(?s)^requests    0 in \S+, ended early\n.*unanswered  [1-9]\d*, given up`).MatchString(out.String()) {
		t.Errorf("%v after %v\n%s", err, time.Since(began), &out)
	}
}

// TestBenchAtATerminal ends one by Ctrl-C, and the value is there.
func TestBenchAtATerminal(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("b = bench(kind='hang', message='x', seconds=60)\r")
	s.wait(`\n\(50 callers for 1m0s; a key or Ctrl-C ends it\)$`)
	s.send("\x03")
	s.prompt("2", "")
	s.send("b.requests\r")
	s.wait(`\n0\n`)
	s.prompt("3", "")
	s.send("exit()\r")
	s.left(0)
}

// TestPaneIsBounded writes more than a pane keeps.
func TestPaneIsBounded(t *testing.T) {
	t.Parallel()
	var p pane
	for range 3 {
		p.add(strings.Repeat("x", maxPane-1))
	}
	if n := p.written.Len(); n != maxPane {
		t.Errorf("%d bytes are kept, want %d", n, maxPane)
	}
}
