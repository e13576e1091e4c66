//go:build unix

package repl

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

// valueOf returns the last value that a program shows.
func valueOf(t *testing.T, code string) starlark.Value {
	t.Helper()
	var errs bytes.Buffer
	sh := New(Config{Cluster: &fakeCluster{}, Out: new(bytes.Buffer), Err: &errs, In: strings.NewReader(code)})
	if err := sh.Run(t.Context()); err != nil {
		t.Fatalf("%s: %v %s", code, err, &errs)
	}
	return sh.globals["_"]
}

// TestListsOfRecords shows a list or tuple of records of one kind as a table, wherever it
// comes from.
func TestListsOfRecords(t *testing.T) {
	t.Parallel()
	const setUp = "x = [request(i) for i in (1, 2, 3)]\nw = sorted(workers(), key=lambda w: w.id)\nn = nodes(detail=True)\n"
	const (
		heading = "id  node         age  ttl  hits  queue\n"
		one     = " 1  2@127.0.0.1   1s   4s    12      0\n"
		two     = " 2  3@127.0.0.1   1s   4s    12      0\n"
		three   = " 3  1@127.0.0.1   1s   4s    12      0\n"
	)
	for in, want := range map[string]string{
		"w":                                     heading + one + two + three,
		"tuple(w)":                              heading + one + two + three,
		"list(reversed(w))":                     heading + three + two + one,
		"[r for r in workers() if r.id == 2]":   heading + two,
		"list([r for r in w if r.id > 1])":      heading + two + three,
		"x = dir(w[0])\nw":                      heading + one + two + three, // dir sorts a list of its own
		"w[1:]":                                 heading + two + three,
		"w[:1] + w[2:]":                         heading + one + three,
		"w[2], w[0]":                            heading + three + one,
		"[]":                                    "[]\n",
		"[r for r in w if r.id > 3]":            "[]\n",
		"n[1:2] + n[3:]":                        "name         state     rtt  ids    rate  uptime  incarnation  why\n2@127.0.0.1  alive   100µs   10  10.0/s   1m41s  a1\n4@127.0.0.1  failed                              a3           out of reach\n",
		"[r for r in n if r.state == 'failed']": "name         state   incarnation  why\n4@127.0.0.1  failed  a3           out of reach\n",
		"[r for r in n if not r.why][0:1]":      "name         state  rtt  ids   rate  uptime  incarnation\n1@127.0.0.1  alive   0s    0  0.0/s   1m41s  a0\n",
		"n[3:][:0]":                             "[]\n",
		"n[::-2][1].name":                       "\"2@127.0.0.1\"\n",
		"type(n[1:]), type(n + n), len(n[1:] + w)": "(\"nodes\", \"list\", 6)\n",
		"n[0] in n, w[0] in n, n[0] in n[1:]":      "(True, False, False)\n",
		"[c for c in connect() if not c.ok]":       "name         ok     why\n4@127.0.0.1  false  connection refused\n5@127.0.0.1  false  connection refused\n",
		"print(w[:1])":                             heading + one,
		"print(1, w[:1])":                          "1 [{id: 1, kind: \"default\", node: \"2@127.0.0.1\", age: 1s, ttl: 4s, hits: 12, queue: 0}]\n",
		"w[0]":                                     "{id: 1, kind: \"default\", node: \"2@127.0.0.1\", age: 1s, ttl: 4s, hits: 12, queue: 0}\n",
		"str(w[0]) == '%s' % w[0]":                 "True\n",
		"[w[0], n[0].name]":                        "[{id: 1, kind: \"default\", node: \"2@127.0.0.1\", age: 1s, ttl: 4s, hits: 12, queue: 0}, \"1@127.0.0.1\"]\n",
		"[w[:1]]":                                  "[[{id: 1, kind: \"default\", node: \"2@127.0.0.1\", age: 1s, ttl: 4s, hits: 12, queue: 0}]]\n",
		"time(len, '')[1:]":                        "!slice",
		"[time(lambda: 1.5)][0].value":             "1.5\n",
		"n + 1":                                    "!unknown binary op",
	} {
		out, errs, _ := run(t, Config{}, setUp+in)
		if bad, ok := strings.CutPrefix(want, "!"); ok && !strings.Contains(errs, bad) || !ok && (out != want || errs != "") {
			t.Errorf("%s:\n%s%s\nwant\n%s", in, out, errs, want)
		}
	}
}

// TestRecordsAreCut cuts a list of records at the limit, with a count. All are in print.
func TestRecordsAreCut(t *testing.T) {
	t.Parallel()
	out, _, _ := run(t, Config{}, "configure(limit=2)\nx = [request(i) for i in range(5)]\nw = list(workers())\nw\nworkers()[:3]\nprint(w)")
	if n := strings.Count(out, "… 3 more rows; print shows all\n"); n != 1 {
		t.Errorf("cut %d times:\n%s", n, out)
	}
	if n := strings.Count(out, "… 1 more row; print shows all\n"); n != 1 {
		t.Errorf("cut %d times:\n%s", n, out)
	}
	if n := strings.Count(out, "@127.0.0.1"); n != 2+2+5 {
		t.Errorf("%d rows:\n%s", n, out)
	}
}

// TestLayout puts on a line what fits on it. Of the rest, single values fill the lines, and
// all else has a line for each entry.
func TestLayout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		cols int
		want string
	}{
		{`{"a": [1, 2], "b": None}`, 24, `{"a": [1, 2], "b": None}`},
		{`{"a": [1, 2], "b": None}`, 23, "{\n  \"a\": [1, 2],\n  \"b\": None\n}"},
		{`{"a": [1, 2], "b": None}`, 0, `{"a": [1, 2], "b": None}`},
		{`{"a": [1, 2], "b": {"c": [True], "d": ({},)}}`, 20, "{\n  \"a\": [1, 2],\n  \"b\": {\n    \"c\": [True],\n    \"d\": ({},)\n  }\n}"},
		{`list(range(95, 105))`, 20, "[95, 96, 97, 98, 99,\n 100, 101, 102, 103,\n 104]"},
		{`{"k": tuple(range(95, 101))}`, 20, "{\n  \"k\": (95, 96, 97,\n        98, 99, 100)\n}"},
		{`set(["aaaaaa", "bbbbbb"])`, 20, "set([\"aaaaaa\",\n     \"bbbbbb\"])"},
		{`({"a": 1, "b": 2},)`, 10, "(\n  {\n    \"a\": 1,\n    \"b\": 2\n  },\n)"},
		{`{("a", 1): 2, "日本語": "日本語"}`, 20, "{\n  (\"a\", 1): 2,\n  \"日本語\": \"日本語\"\n}"},
		{`"x" * 30`, 10, `"` + strings.Repeat("x", 30) + `"`},
		{`json.decode('{"id":7,"tags":["a","b"],"at":{"x":1.5}}')`, 30, "{\n  \"id\": 7,\n  \"tags\": [\"a\", \"b\"],\n  \"at\": {\"x\": 1.5}\n}"},
		{`call(7, {"id": 7, "tags": ["a", "b"]}, kind="echo").json`, 20, "{\n  \"id\": 7,\n  \"tags\": [\"a\", \"b\"]\n}"},
		{"x = request(1)\nworkers()[0]", 40, "{\n  id: 1,\n  kind: \"default\",\n  node: \"2@127.0.0.1\",\n  age: 1s,\n  ttl: 4s,\n  hits: 12,\n  queue: 0\n}"},
		{"x = request(1)\n{\"w\": workers()}", 80, "{\n  \"w\": [\n    {\n      id: 1,\n      kind: \"default\",\n      node: \"2@127.0.0.1\",\n      age: 1s,\n      ttl: 4s,\n      hits: 12,\n      queue: 0\n    }\n  ]\n}"},
		{"[request(1), request(2)]", 30, "[{200, 2@127.0.0.1},\n {301, 3@127.0.0.1}]"},
	} {
		v := valueOf(t, c.in)
		if got := (style{cols: c.cols}).lay(v, 0); got != c.want {
			t.Errorf("%s in %d columns:\n%s\nwant\n%s", c.in, c.cols, got, c.want)
		}
		colored := style{colored: true, cols: c.cols}.lay(v, 0)
		if got := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(colored, ""); got != c.want {
			t.Errorf("%s in %d columns and colored:\n%s\nwant\n%s", c.in, c.cols, got, c.want)
		}
	}
	out, _, _ := run(t, Config{}, "x = {'a': list(range(100)), 'b': 'c' * 100}\nx\nprint(x)")
	if lines := strings.Split(out, "\n"); len(lines) != 3 || lines[0] != lines[1] {
		t.Errorf("without a terminal:\n%s", out)
	}
}

// TestLayoutFits lays out values of many shapes in many widths: no line is wider than the
// terminal, unless one text of it is.
func TestLayoutFits(t *testing.T) {
	t.Parallel()
	v := valueOf(t, `x = [{"k%d" % i: [list(range(i)), ("a" * (i % 7), {"b": i}), set([i, i + 1])]} for i in range(30)]`+"\nx")
	for cols := 24; cols < 200; cols += 7 {
		for line := range strings.Lines((style{cols: cols}).lay(v, 0)) {
			if text.Width(strings.TrimSuffix(line, "\n")) > cols {
				t.Errorf("in %d columns: %q", cols, line)
			}
		}
	}
}

// TestLimitOfAll limits the elements of a whole value, however they are nested, and says at
// each cut how many are missing.
func TestLimitOfAll(t *testing.T) {
	t.Parallel()
	many := func(code, each string) string { return code + " for i in range(" + each + ")]" }
	for in, want := range map[string]int{
		"list(range(100))":                                                  0,
		"list(range(101))":                                                  1,
		many("[list(range(200))", "200"):                                    2,
		many("[[list(range(200)) for j in range(200)]", "200"):              3,
		many("[{j: j for j in range(30)}", "30"):                            2,
		many("[(i,)", "200"):                                                1,
		many("[[]", "200"):                                                  1,
		many("[{}", "200"):                                                  1,
		"{i: list(range(200)) for i in range(200)}":                         2,
		"{tuple(range(200)): 1, 2: 3}":                                      2,
		"set(range(200)), set(range(200))":                                  2,
		"x = request(range(200))\nw = workers()\n[[w] for i in range(200)]": 2,
		many("[connect()[0]", "99") + " + [list(range(200))]":               1,
		"w = why(1)\n[w for i in range(200)]":                               1,
		"r = request(1)\n[r for i in range(200)]":                           1,
		"time(lambda: [list(range(200)) for i in range(200)])":              2,
		"[time(lambda: list(range(200))), list(range(200)), [1]]":           2,
		"[time(lambda: list(range(200)))]":                                  1,
		"{'a': {'b': {'c': list(range(200))}}, 'd': [], 'e': [[]]}":         2,
	} {
		got := style{limit: 100}.lay(valueOf(t, in), 0)
		if cuts := len(regexp.MustCompile(`… \d+ more`).FindAllString(got, -1)); cuts != want {
			t.Errorf("%s: %d cuts, want %d:\n%.2000s", in, cuts, want, got)
		}
		if size := len(got); size > 60_000 {
			t.Errorf("%s: %d bytes", in, size)
		}
	}
	const want = "[[0, 1, 2], [0, … 2 more], … 1 more]"
	if got := (style{limit: 4}).lay(valueOf(t, "[list(range(3)) for i in range(3)]"), 0); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := (style{limit: 2}).lay(valueOf(t, "n = 1 << 500\nfor i in range(6): n *= n\nn"), 0); len(got) > maxText+30 || !strings.Contains(got, " more bytes") {
		t.Errorf("a long number is shown as %d bytes", len(got))
	}
	if got := (style{limit: 2}).lay(valueOf(t, "b'x' * 10000"), 0); !strings.HasSuffix(got, `x"… 5904 more bytes`) {
		t.Errorf("long bytes are shown as %d bytes: …%s", len(got), got[len(got)-30:])
	}
}

// TestColors has red and yellow for what needs attention only: not for False, and not for an
// id, a value or a text that happens to read so.
func TestColors(t *testing.T) {
	t.Parallel()
	const red, yellow = "\x1b[31m", "\x1b[33m"
	s := style{colored: true}
	for in, want := range map[string]string{ // the texts in red and yellow
		"False":                                   "",
		"[True, False, None, 1, 'failed']":        "",
		"{'failed': 'lost', 'degraded': False}":   "",
		"request(['failed', 'degraded', 'lost'])": "",
		"why(1)":                    "", // it says what would be degraded
		"x = request(1)\nworkers()": "",
		"configure()":               "",
		"runtime_info()":            "",
		"connect()[:3]":             "",
		"connect()":                 "connection refused connection refused",
		"configure(fail=False)\ninvalidate(['a', 'lost'])": "unreachable (unknown)",
		"nodes(detail=True)":                   "failed out of reach",
		"request([1], via='2@127.0.0.1')":      "true",
		"request(1, via='2@127.0.0.1')":        "degraded",
		"stop(13, kind='account', force=True)": "a call goes on on 2@127.0.0.1, since 1m30s; only its token 0000000000000003.0000000000000005 protects what it changes from now on",
	} {
		got := s.lay(valueOf(t, in), 0)
		var marked []string
		for _, m := range regexp.MustCompile(`\x1b\[3[13]m([^\x1b]*)`).FindAllStringSubmatch(got, -1) {
			marked = append(marked, m[1])
		}
		if strings.Join(marked, " ") != want {
			t.Errorf("%s: red or yellow %q, want %q, of\n%q", in, marked, want, got)
		}
	}
	e := node.Explanation{ID: worker.IntID(7), Owner: "2@h", State: node.StateFailed, Fallback: "1@h", Asked: "1@h"}
	if got := explain(e).styled(s); !strings.Contains(got, yellow+"(failed)") || strings.Contains(got, red) {
		t.Errorf("the owner has failed, and it looks like %q", got)
	}
}

// TestTimesAreShort shows times of workers and replies with three significant digits, and
// those of workers that live for ever by a word.
func TestTimesAreShort(t *testing.T) {
	t.Parallel()
	c := &timesCluster{}
	out, errs, _ := run(t, Config{Cluster: c}, "workers()\nworkers()[0]\nworkers()[0].ttl > 1 << 30\nr = request(1)\ni(r)")
	f := New(Config{Cluster: c}).look(t.Context())
	out += strings.Join(f.lines(80, 20, style{}), "\n")
	out = regexp.MustCompile(`1\.\d\ds`).ReplaceAllString(out, "1.23s") // some time has passed since
	for _, want := range []string{
		"4.12ms  forever ", "{id: 1, kind: \"\", node: \"\", age: 4.12ms, ttl: forever, hits: 0, queue: 0}\nTrue\n", "4.12ms  forever       0", "age         1.23s, since",
	} {
		if !strings.Contains(regexp.MustCompile(`(\S)  +`).ReplaceAllString(out, "$1  "), regexp.MustCompile(`(\S)  +`).ReplaceAllString(want, "$1  ")) {
			t.Errorf("no %q in\n%s%s", want, out, errs)
		}
	}
}

type timesCluster struct{ fakeCluster }

func (*timesCluster) Family(string) node.Family { return timesFamily{} }

func (*timesCluster) Workers(context.Context) ([]worker.Info, error) {
	return []worker.Info{{ID: worker.IntID(1), Age: 4_123_456, TTL: worker.Forever - time.Hour}}, nil
}

type timesFamily struct{ fakeFamily }

func (timesFamily) Request(context.Context, worker.ID) (worker.Reply, error) {
	return worker.Reply{Value: worker.IntValue(1), Age: 1_234_000_000, TTL: time.Hour}, nil
}

// TestValuesAtATerminal looks at a narrow terminal.
func TestValuesAtATerminal(t *testing.T) {
	t.Parallel()
	s := startSession(t, &pty.Winsize{Rows: 24, Cols: 50})
	s.prompt("1", "")
	s.send("{'name': 'x' * 30, 'tags': ['a', 'b'], 'n': 1}\r")
	s.wait(fmt.Sprintf(`\n{\n  "name": "%s",\n  "tags": \["a", "b"\],\n  "n": 1\n}\n`, strings.Repeat("x", 30)))
	s.send("[list(range(200)) for i in range(200)]\r")
	s.wait(`\n +98, 99, … 100 more\],\n  … 199 more\n\]\n`)
	s.send("x = request(range(3)); [w for w in workers() if w.id == 1]\r")
	s.wait(`\nid  node         age  ttl  hits  queue\n 1  2@127.0.0.1   1s   4s    12      0\n`)
	s.send("exit()\r")
	s.left(0)
}
