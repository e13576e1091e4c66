package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

func TestStatements(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"request(1)  # comment", "{200, 2@127.0.0.1}"},
		{"x = request(1)", ""},
		{"x = request(1)\nx", "{200, 2@127.0.0.1}"},
		{"[request(i) for i in range(1, 5)]", "[{200, 2@127.0.0.1}, {301, 3@127.0.0.1}, {102, 1@127.0.0.1}, {203, 2@127.0.0.1}]"},
		{"v, n = request(1)\nprint(v + 1, n)", "201 2@127.0.0.1"},
		{"DistributedProcess.request(4)", "{200, 2@127.0.0.1}"},
		{`request("4") == request(4)`, "True"},
		{"request(0) == request(1)", "False"},
		{"len(set([request(1), request(1), request(2)]))", "2"},
		{"r = request(1)\n(r.value, r.node, r.cached, r.degraded, r.age, r.ttl)", `(200, "2@127.0.0.1", False, False, 1.0, 4.0)`},
		{"request(2)\nrequest(2).cached", "{300, 3@127.0.0.1}\nTrue"},
		{"nodes()", `["1@127.0.0.1", "2@127.0.0.1", "3@127.0.0.1"]`},
		{"Node.list() == nodes() and Node.self() == node()", "True"},
		{"node", `"1@127.0.0.1"`},
		{"owner(-1)", `"3@127.0.0.1"`},
		{`connect("2@h", "9@h")`, "2@h  true\n9@h  false  connection refused"},
		{"[c.name for c in DistributedProcess.connect() if not c.ok]", `["4@127.0.0.1", "5@127.0.0.1"]`},
		{"name, ok, why = connect()[3]\n(ok, why)", `(False, "connection refused")`},
		{"workers()", "no live workers"},
		{"x = request(7)\nworkers()", "id  node         age  ttl  hits  queue\n 7  2@127.0.0.1   1s   4s    12      0"},
		{"x = request(1000)\nworkers()", "  id  node         age  ttl  hits  queue\n1000  2@127.0.0.1   1s   4s    12      0\n… and 4000 more workers, which are not listed; nodes(detail=True) counts all"},
		{"x = request(1 << 200)\n[w.id for w in workers()][0] == 1 << 200", "True"},
		{"sleep(0)\nsleep(0.001)", ""},
		{"None", ""},
		{"#iex:break\n1 # it breaks nothing", "1"},
		{"1; 2", "1\n2"},
		{"_ = 1\n3\n_ + 1", "3\n4"},
		{"x = 1\nif x:\n  x = 2\nx", "2"},
		{"def f(n):\n  # a comment\n  return n if n < 2 else f(n-1) + f(n-2)\nf(10)", "55"},
		{"def f(): return g()\ndef g(): return 1\nf()", "1"},
		{"n = 0\ndef f(): return n\nn += 5\nf()", "5"},
		{"i = 0\nwhile i < 2:\n  i += 1\n\nprint(i)", "2"},
		{"if True:\n  print(1)\nelse:\n  print(2)\n# end", "1"},
		{"x = '''a\n# b\n\nc'''\nx", `"a\n# b\n\nc"`},
		{"def f():\n  x = 1\n\n  # more\n\n  return x\n\n\nf()", "1"},
		{"def f():\n\n  return 1\nf()", "1"},
		{"if 0:\n  print(1)\n\nelse:\n\n  print(2)\n3", "2\n3"},
		{"x = '''a\n\n\nb'''\nx", `"a\n\n\nb"`},
		{"\ufeff1\n\n\ufeff2", "1\n2"},
		{"f(\n  1,\n)", "!<stdin>:1:1: undefined: f"},
		{"x = [\n  1, # one\n\n  2]\nx", "[1, 2]"},
		{"set([1])", "set([1])"},
		{"json.encode({'a': 1})", `"{\"a\":1}"`},
		{"math.floor(1.5)", "1"},
		{"x = 1\r\nx\r\n", "1"},
	} {
		out, errs, _ := run(t, Config{}, test.in)
		if want, bad := strings.CutPrefix(test.want, "!"); bad {
			if strings.TrimSpace(errs) != want {
				t.Errorf("%q: error %q, want %q", test.in, errs, want)
			}
		} else if strings.TrimSpace(out) != strings.TrimSpace(want) || errs != "" {
			t.Errorf("%q:\n%s%s\nwant\n%s", test.in, out, errs, want)
		}
	}
}

// Every error is one line that names the place, and one for each call that led there. It
// stops the program and makes the status 1.
func TestErrors(t *testing.T) {
	const idError = "an id is an integer or a string of at most 256 bytes"
	for _, test := range []struct{ in, want string }{
		{"\n\nreqest(1)", "<stdin>:3:1: undefined: reqest (did you mean request?)"},
		{"total = 1\nprint(totl)", "<stdin>:2:7: undefined: totl (did you mean total?)"},
		{"def f():\n  return reqest(1)\n\nf()", "<stdin>:2:10: undefined: reqest (did you mean request?)\n  called at <stdin>:4:2"},
		{"import os", `<stdin>:1:1: Starlark has no import; load("file") runs a file, and json, math and time are there`},
		{"print(2 is 3)", "<stdin>:1:11: Starlark has no is; == compares"},
		{"def f():\n  yield 1\n\n", "<stdin>:2:3: Starlark has no yield"},
		{"Node.lst()", "<stdin>:1:5: module has no .lst field or method (did you mean .list?)"},
		{"request(1).valeu", "<stdin>:1:11: reply has no .valeu field or method (did you mean .value?)"},
		{"request(1.5)", "<stdin>:1:8: request: a float: " + idError},
		{"request(None)", "<stdin>:1:8: request: None: " + idError},
		{"request(True)", "<stdin>:1:8: request: a bool: " + idError},
		{"owner([1])", "<stdin>:1:6: owner: a list: " + idError},
		{"request('x' * 257)", "<stdin>:1:8: request: 257 bytes: " + idError},
		{"x = 1 << 500\nrequest(x * x)", "<stdin>:2:8: request: 302 bytes: " + idError},
		{"request()", "<stdin>:1:8: request: missing argument for id"},
		{"connect(2)", `<stdin>:1:8: connect: an int is no name; a name is a string such as "2@127.0.0.1"`},
		{"sleep(-1)", "<stdin>:1:6: sleep: -1; seconds are a number from 0 up, such as 0.5"},
		{"sleep(1e300)", "<stdin>:1:6: sleep: 1e+300; seconds are a number from 0 up, such as 0.5"},
		{"exit(256)", "<stdin>:1:5: exit: 256; a status is a number from 0 to 255"},
		{"print((1)\nprint(2)", "<stdin>:2:6: got identifier, want ','"},
		{"f(", "<stdin>:2:1: the input ends within a bracket, string or block"},
		{"x = $", "<stdin>:1:5: unexpected input character '$'"},
		{"x = 1\ndef f():\n\nreturn 1", "<stdin>:4:7: got return, want indent"},
		{"  x = 1", "<stdin>:1:3: unexpected indentation (a block ends at a line that is not indented)"},
		{"a\x00b", "<stdin>:1:2: a NUL byte"},
		{"ä\xffb", "<stdin>:1:2: not UTF-8"},
		{strings.Repeat("x", maxSource+1), "<stdin>:1:1: a line of more than 1 MiB"},
		{"range(1 << 40)", "<stdin>:1:6: range: 1099511627776 numbers, of at most 10000000; use while"},
		{"'a' * (1 << 31)", "<stdin>:1:5: excessive repeat (1 * 2147483648 elements, of at most 268435456)"},
		{"'ab' * (1 << 30)", "<stdin>:1:6: excessive repeat (2 * 1073741824 elements, of at most 268435456)"},
		{"def f(): return f()\nf()", "<stdin>:1:17: Starlark stack overflow\n  called at <stdin>:2:2" + strings.Repeat("\n  called at <stdin>:1:18 in f", 4) +
			"\n  … 99990 more calls" + strings.Repeat("\n  called at <stdin>:1:18 in f", 5)},
		{"load('x', 'y')", `<stdin>:1:5: load: takes a file only, such as "tools.star"; all its variables stay`},
		{"h('conect')", `<stdin>:1:2: h: "conect" is no command (did you mean connect?)`},
	} {
		out, errs, err := run(t, Config{}, test.in+"\nprint('went on')\n")
		if errs != test.want+"\n" || out != "" || err != ExitStatus(1) {
			t.Errorf("%.60q: %v\n%swant\n%s", test.in, err, errs+out, test.want)
		}
	}
}

func TestRequestErrorsTellTheOutcome(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{node.ErrOverloaded, node.ErrWorker, errors.New("broken\x1b[31m")} {
		c := &fakeCluster{request: func(context.Context, worker.ID) (worker.Reply, error) { return worker.Reply{}, cause }}
		_, errs, err := run(t, Config{Cluster: c}, "request('a')")
		outcome := "(" + node.OutcomeOf(cause).String() + ")"
		if !strings.HasPrefix(errs, `<stdin>:1:8: request("a"): `) || !strings.HasSuffix(errs, " "+outcome+"\n") ||
			strings.Count(errs, outcome) != 1 || strings.Contains(errs, "\x1b") || err != ExitStatus(1) {
			t.Errorf("%v: %q, want the outcome %s once", err, errs, outcome)
		}
	}
}

func TestDegradedReply(t *testing.T) {
	t.Parallel()
	c := &fakeCluster{request: func(context.Context, worker.ID) (worker.Reply, error) {
		return worker.Reply{Value: worker.BytesValue("x\x1by"), Node: "1@127.0.0.1", Degraded: true}, nil
	}}
	out, _, _ := run(t, Config{Cluster: c}, "request(1)\nrequest(1).degraded")
	if want := "{\"x\\x1by\", 1@127.0.0.1, degraded}\nTrue\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

// A panic in a command is an error of the program, and no trace is shown.
func TestPanicInCommand(t *testing.T) {
	t.Parallel()
	c := &fakeCluster{request: func(context.Context, worker.ID) (worker.Reply, error) { panic("lost") }}
	_, errs, err := run(t, Config{Cluster: c}, "request(1)")
	if want := "<stdin>:1:8: request: internal error: lost\n"; errs != want || err != ExitStatus(1) {
		t.Errorf("%v, %q, want %q", err, errs, want)
	}
}

func TestExit(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]error{
		"exit": nil, "exit()": nil, "exit(0)": nil, "exit(3)": ExitStatus(3),
		"def f(): exit(4)\nf()": ExitStatus(4), "": nil,
	} {
		out, errs, err := run(t, Config{}, in+"\nprint('went on')")
		if err != want || errs != "" || in != "" && out != "" {
			t.Errorf("%q: %v, want %v; %s%s", in, err, want, out, errs)
		}
	}
}

func TestProgram(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, out, err string }{
		{"'''What it does.'''\nif True:\n  print(1)\nprint(2)\nrequest(1)", "1\n2\n{200, 2@127.0.0.1}\n", ""},
		{"def f(): return g()\ndef g():\n\n  # comment\n  return x\nx = 3\nf()", "3\n", ""},
		{"print(1)\nreqest(1)\n", "", "p.star:2:1: undefined: reqest (did you mean request?)\n"},
		{"print(1)\n1//0\nprint(2)", "1\n", "p.star:2:2: floored division by zero\n"},
		{"\ufeffprint(1)\r\nprint(2)", "1\n2\n", ""},
		{"print(1)\nx = (", "", "p.star:3:1: got end of file, want primary expression\n"},
		{"", "", ""},
		{"'text'", "\"text\"\n", ""},
		{"x = 1\n  x = 2", "", "p.star:2:3: unexpected indentation (a block ends at a line that is not indented)\n"},
		{"x = 1\ndel x", "", "p.star:2:6: Starlark has no statement del; use del(\"x\")\n"},
	} {
		var out, errs bytes.Buffer
		sh := New(Config{Cluster: &fakeCluster{}, Out: &out, Err: &errs})
		err := sh.RunProgram(t.Context(), "p.star", strings.NewReader(test.in))
		if out.String() != test.out || errs.String() != test.err || (err != nil) != (test.err != "") {
			t.Errorf("%q: %v\n%s%s\nwant\n%s%s", test.in, err, &out, &errs, test.out, test.err)
		}
	}
}

// With Echo, a pipe and a file both read as a session.
func TestEcho(t *testing.T) {
	t.Parallel()
	const in = "# start\n\nx = request(1)  # one\nx\nfor i in range(2):\n  print(i)\n\nx.node\n"
	const want = `distproc(1@127.0.0.1)1> # start
distproc(1@127.0.0.1)1> x = request(1)  # one
distproc(1@127.0.0.1)2> x
{200, 2@127.0.0.1}
distproc(1@127.0.0.1)3> for i in range(2):
........(1@127.0.0.1)3>   print(i)
0
1
distproc(1@127.0.0.1)4> x.node
"2@127.0.0.1"
`
	out, _, _ := run(t, Config{Echo: true}, in)
	if got := strings.Replace(out, "........(1@127.0.0.1)3> \n", "", 1); got != want {
		t.Errorf("pipe:\n%s\nwant\n%s", out, want)
	}
	var file bytes.Buffer
	sh := New(Config{Cluster: &fakeCluster{}, Out: &file, Echo: true})
	if err := sh.RunProgram(t.Context(), "f", strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	got := strings.Replace(file.String(), "# start\n........(1@127.0.0.1)1> \n........", "# start\ndistproc", 1)
	if got != want {
		t.Errorf("file:\n%s\nwant\n%s", file.String(), want)
	}
}

// An evaluation ends soon after its context, whether it computes or waits.
func TestCancel(t *testing.T) {
	t.Parallel()
	waiting := &fakeCluster{request: func(ctx context.Context, _ worker.ID) (worker.Reply, error) {
		<-ctx.Done()
		return worker.Reply{}, ctx.Err()
	}}
	for _, code := range []string{"sleep(3600)", "while True: pass", "request(1)"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
		sh := New(Config{Cluster: waiting, Out: new(bytes.Buffer), Err: new(bytes.Buffer)})
		done := make(chan error, 1)
		go func() { done <- sh.RunProgram(ctx, "-e", strings.NewReader(code)) }()
		select {
		case err := <-done:
			if err != cause {
				t.Errorf("%s: %v, want the cause", code, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s still runs", code)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var out, errs bytes.Buffer
	sh := New(Config{Cluster: &fakeCluster{}, Out: &out, Err: &errs,
		In: strings.NewReader("x = []\nwhile True: x.append('a' * (1 << 20) + str(len(x)))\n")})
	sh.maxGrowth = 64 << 20
	err := sh.Run(t.Context())
	if want := "stopped: the program took more than 64 MiB of memory\n"; err != ExitStatus(1) || !strings.HasSuffix(errs.String(), want) {
		t.Errorf("%v: %q, want %q", err, errs.String(), want)
	}
}

// Values deeper than the stack, or longer than memory, are cut when they are shown: of
// what is wide, 1 MiB is left.
func TestShowIsBounded(t *testing.T) {
	const part = 16
	shrinkStack(t, part)
	deep := starlark.Value(starlark.Tuple{})
	for range 5_000_000 / part {
		deep = starlark.Tuple{deep}
	}
	wide := starlark.Value(starlark.NewList(nil))
	for range 100 {
		wide = starlark.NewList([]starlark.Value{wide, wide})
	}
	sh := New(Config{Cluster: &fakeCluster{}})
	for _, c := range []struct {
		what            string
		v               starlark.Value
		atLeast, atMost int
		mark            string
	}{{"deep", deep, 1, 1 << 10, "[...]"}, {"wide", wide, 1 << 20, 1<<20 + 1<<10, "…"}} {
		if s := sh.display(c.v); len(s) < c.atLeast || len(s) > c.atMost || !strings.Contains(s, c.mark) {
			t.Errorf("%s: %d bytes, want %d to %d with a mark of a cut", c.what, len(s), c.atLeast, c.atMost)
		}
	}
}

// The longest chains that a program may have do not overflow the stack. Those of the test
// are shorter, and so is its stack.
func TestLongExpressions(t *testing.T) {
	const part = 16
	shrinkStack(t, part)
	for _, chain := range []string{"1" + strings.Repeat("+1", maxSource/2-1), "1" + strings.Repeat(".a", maxSource/2-1),
		"1" + strings.Repeat("()", maxSource/2-1), strings.Repeat("not ", maxSource/4-1) + "1", strings.Repeat("[", maxSource-1)} {
		if _, errs, err := run(t, Config{}, "x = lambda: "+chain[:len(chain)/part-12]+"1\n"); err != nil && !strings.HasPrefix(errs, "<stdin>:") {
			t.Errorf("%.20q: %v %.200q", chain, err, errs)
		}
	}
	_, errs, _ := run(t, Config{}, strings.Repeat("(\n", maxSource))
	if want := "<stdin>:1:1: a statement of more than 1 MiB\n"; errs != want && !strings.Contains(errs, "nesting") {
		t.Errorf("got %.200q", errs)
	}
}

func TestHelpShowsEveryCommand(t *testing.T) {
	t.Parallel()
	out, _, _ := run(t, Config{}, "h")
	for _, c := range commands() {
		if line := fmt.Sprintf("%-20s  %s\n", c.usage, c.help); !strings.Contains(out, line) {
			t.Errorf("h() does not show %q, with its help in the column of the others", line)
		}
		for _, name := range append(c.aliases, c.name()) {
			if out, errs, _ := run(t, Config{}, "h("+name+")"); !strings.Contains(out, c.example) {
				t.Errorf("h(%s): %s%s", name, out, errs)
			}
		}
	}
}
