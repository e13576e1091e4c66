//go:build unix

package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"x = [request(i) for i in (1, 2, 'a')]\nrequest([1, 2, 'a', 1])", "id value node cached degraded\n" +
			"1 200 2@127.0.0.1 true false\n2 301 3@127.0.0.1 true false\na 202 2@127.0.0.1 true false\n1 200 2@127.0.0.1 true false"},
		{"len(request(range(1, 100)))", "99"},
		{"[r.node for r in request((1, 2))]", `["2@127.0.0.1", "3@127.0.0.1"]`},
		{"request(set([1]))[0].id, request({2: 3})[0].id", "(1, 2)"},
		{"request([])", "no ids"},
		{`request(1, via="2@127.0.0.1")`, "{200, 2@127.0.0.1, degraded}"},
		{`request([1], via="3@127.0.0.1")[0].degraded`, "True"},
		{`request([1], via="9@h")`, "id  error\n 1  unreachable (unknown)\n!<stdin>: 1 of 1 id failed; configure(fail=False) lets the program exit with 0"},
		{"request(1)\nrefresh(1).cached\n[r.cached for r in refresh([1])]", "{200, 2@127.0.0.1}\nFalse\n[False]"},
		{"x = request(1)\nstop(1), stop(1)", "(True, False)"},
		{"x = request(1)\ninvalidate(1), invalidate(1), invalidate(1, kind=\"price\")", "(True, False, False)"},
		{"x = request([1, 2])\n[(w.id, w.stopped) for w in stop([1, 5])], [w.invalidated for w in invalidate(range(1, 4))]", "([(1, True), (5, False)], [False, True, False])"},
		{"[(w.id, w.invalidated, w.error) for w in invalidate([1, \"lost\"])]", "[(1, False, None), (\"lost\", None, \"unreachable (unknown)\")]\n!<stdin>: 1 of 2 ids failed; configure(fail=False) lets the program exit with 0"},
		{"why(1)", `id       1, of kind default, whose workers live for 5s
owner    2@127.0.0.1 (alive)
why          1 mod 3 = 1: index 1 in the sorted list of 3 members (view abc)
worker       none; a request would start one on 2@127.0.0.1
if it fails  1@127.0.0.1 takes over when all members know it; until then each node answers its own requests, marked degraded`},
		{"x = request(3)\nprint(why(3))", `id       3, of kind default, whose workers live for 5s
owner    1@127.0.0.1 (alive)
why          3 mod 3 = 0: index 0 in the sorted list of 3 members (view abc)
worker       running on 1@127.0.0.1 for 1s, expires in 4s; 12 calls answered from its value, 1 call waits
if it fails  2@127.0.0.1 takes over when all members know it; until then each node answers its own requests, marked degraded`},
		{"x = request(1)\nw = why(1)\n[getattr(w, a) for a in dir(w)]", `[None, 1.0, False, "2@127.0.0.1", 2748, "1@127.0.0.1", 12, None, 1, 1, "default", None, True, False, 3, None, "2@127.0.0.1", 1, None, "1 mod 3 = 1", None, False, "alive", None, None, 4.0, None, None, None, None]`},
		{"nodes(detail=True)", `name         state    rtt   ids   rate   uptime  incarnation  why
1@127.0.0.1  alive    0s     0   0.0/s  1m41s   a0
2@127.0.0.1  alive   100µs  10  10.0/s  1m41s   a1
3@127.0.0.1  alive   200µs  20  20.0/s  1m41s   a2
4@127.0.0.1  failed                             a3           out of reach`},
		{"[n.name for n in nodes(detail=True) if n.why]", `["4@127.0.0.1"]`},
		{`ping("2@127.0.0.1")` + "\nping('2@127.0.0.1').seconds < 1", "184µs\nTrue"},
		{`disconnect("2@127.0.0.1")`, "True"},
		{"runtime_info", `node     1@127.0.0.1 at 127.0.0.1:4371
version  test go1.26
up       1m41s
workers  0 live, 0 requests answered since the start
memory   3.0 MiB of heap, 17 goroutines
values   1.5 MiB of at most 64.0 MiB, 3 workers evicted
cluster  4 members, 3 of them alive`},
		{"runtime_info().goroutines", "17"},
		{"1\n'two'\nv(1), v(-1), v(2)\nv", "1\n\"two\"\n(1, \"two\", \"two\")\n(1, \"two\", \"two\")"},
		{"x = 1\nv(1)\nv() == None, v(-2)", "\n"[1:] + "(True, None)"},
		{"def f(a): return a * 2\ntook, value = time(f, 21)\nvalue, took < time.minute, time.hour.seconds", "(42, True, 3600.0)"},
		{"time(lambda: 1)[1], time.parse_duration('1s').seconds", "(1, 1.0)"},
		{"every(0.001, lambda: 7, 3)\nevery(n=1)", "7\n7\n7\n!<stdin>:2:6: every: missing argument for seconds"},
		{"n = []\nevery(0.001, lambda: n.append(1), n=2)\nlen(n)", "2"},
		{"clear()\nclear", ""},
		{"configure(), 1", `({color: "auto", timeout: 0s, limit: 0, history: 100, save_history: True, fail: True}, 1)`},
		{"configure(limit=3, history=7)\nconfigure", "color         auto\ntimeout       that of the node, 5s\nlimit         3 elements of a list, rows of a table\nhistory       v() knows the last 7\nsave_history  lines that are typed are kept in a file\nfail          a program exits with 1 if a row of a table has failed"},
		{"configure(limit=2)\nlist(range(5))\n{1: 2, 3: 4, 5: 6}\n'a' * 5000 == v(0)", "[0, 1, … 3 more]\n{1: 2, 3: 4, … 1 more}\n!<stdin>:4:16: v: there is no prompt 0 before this one, 4"},
		{"x = [request(1), request(2)]\nconfigure(limit=1)\nrequest([1, 2])\nprint(_)", "id  value  node         cached  degraded\n 1    200  2@127.0.0.1  true    false\n… 1 more row; print shows all\n" +
			"id  value  node         cached  degraded\n 1    200  2@127.0.0.1  true    false\n 2    301  3@127.0.0.1  true    false"},
		{"configure(limit=1)\n'a' * 5000", `"` + strings.Repeat("a", 4096) + `"… 904 more bytes`},
		{"configure(history=1)\n1\n2\nv(2)", "1\n2\n!<stdin>:4:2: v: prompt 2 is forgotten; configure(history=4) would keep as many"},
		{"configure(color='always')\nrequest(1)", "{\x1b[35m200\x1b[0m, \x1b[36m2@127.0.0.1\x1b[0m}"},
		{"configure(color=True)\nconfigure(color=False)\nrequest(1)", "{200, 2@127.0.0.1}"},
	} {
		out, errs, _ := run(t, Config{}, test.in)
		if got := out + strings.Replace(errs, "<stdin>", "!<stdin>", 1); strings.TrimSpace(spaces(got)) != strings.TrimSpace(spaces(test.want)) {
			t.Errorf("%q:\n%s\nwant\n%s", test.in, got, test.want)
		}
	}
}

func TestTablesAlign(t *testing.T) {
	t.Parallel()
	out, _, _ := run(t, Config{}, "nodes(detail=True)\nx = [request(1), request(100)]\nrequest([1, 100])")
	const want = `name         state     rtt  ids    rate  uptime  incarnation  why
1@127.0.0.1  alive      0s    0   0.0/s   1m41s  a0
2@127.0.0.1  alive   100µs   10  10.0/s   1m41s  a1
3@127.0.0.1  alive   200µs   20  20.0/s   1m41s  a2
4@127.0.0.1  failed                              a3           out of reach
 id  value  node         cached  degraded
  1    200  2@127.0.0.1  true    false
100    201  2@127.0.0.1  true    false
`
	if out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
}

func TestCommandErrors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"request([1, 1.5])":         "request: the id at index 1: a float: an id is an integer or a string of at most 256 bytes",
		"request(request(1))":       "request: a reply: an id is an integer or a string of at most 256 bytes",
		"request(range(200000))":    "request: more than 100000 ids at once",
		"request(1, via=2)":         `request: an int is no name; a name is a string such as "2@127.0.0.1"`,
		`request(1, via="9@h")`:     "request(1): unreachable (unknown)",
		`request(1, vai="2@h")`:     `request: unexpected keyword argument "vai"`,
		`ping("9@h")`:               `ping("9@h"): unreachable (unknown)`,
		`disconnect("9@h")`:         `disconnect("9@h"): 9@h is no member: unreachable (unknown)`,
		"alone()":                   "alone(): bad request: 1@127.0.0.1 is not apart from a cluster; disconnect it first (not run)",
		"why([1])":                  "why: a list: an id is an integer or a string of at most 256 bytes",
		"v(7)":                      "v: there is no prompt 7 before this one, 1",
		"time()":                    "time: missing argument for f, such as in time(request, 1)",
		"time(lambda: reqest(1))":   "undefined: reqest (did you mean request?)",
		"every(0, node)":            "every: 0; seconds are a number above 0, such as 0.5",
		"every('1', node)":          `every: "1"; seconds are a number from 0 up, such as 0.5`,
		"every(1, node, -1)":        "every: n is -1; it is a number of calls",
		"configure(limit=-1)":       "configure: limit: -1; it is a number of elements, and 0 shows all",
		"configure(timeout='x')":    `configure: timeout: "x"; seconds are a number such as 0.5, and 0 leaves it to the node`,
		"configure(color='red')":    `configure: color: "red": say auto, always or never`,
		"configure(history=0)":      "configure: history: 0; it is a number of prompts from 1 up",
		"configure(fail=1)":         "configure: fail: say True or False",
		"configure(save_history=2)": "configure: save_history: say True or False",
		"load('nosuch.star')":       "load: nosuch.star: no such file or directory",
		"load('/')":                 "load: /: no regular file",
	} {
		_, errs, err := run(t, Config{}, in+"\nprint('went on')\n")
		if _, got, _ := strings.Cut(errs, ": "); got != want+"\n" || err != ExitStatus(1) {
			t.Errorf("%s: %v\n%swant\n%s", in, err, got, want)
		}
	}
}

// A request of many ids asks them at the same time, but not without bound, and keeps
// their order.
func TestRequestManyAtOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var running, most int
	enough := make(chan struct{}) // are asked at once, or have waited for that in vain
	reached := sync.OnceFunc(func() { close(enough) })
	c := &fakeCluster{request: func(ctx context.Context, id worker.ID) (worker.Reply, error) {
		mu.Lock()
		running++
		most = max(most, running)
		if running == 100 {
			reached()
		}
		mu.Unlock()
		defer func() {
			mu.Lock()
			running--
			mu.Unlock()
		}()
		select {
		case <-enough:
		case <-time.After(10 * time.Second):
			reached()
		}
		select {
		case <-time.After(20 * time.Millisecond): // in which more than may be asked at once would come
		case <-ctx.Done():
		}
		switch id.String() {
		case "7":
			return worker.Reply{}, node.ErrOverloaded
		case "8":
			panic("lost")
		}
		return worker.Reply{Value: worker.BytesValue("v" + id.String()), Node: "1@h"}, nil
	}}
	out, errs, err := run(t, Config{Cluster: c}, "configure(fail=False)\nt = request(range(2000))\nprint([r.value for r in t] == ['v%d' % i if i not in (7, 8) else None for i in range(2000)])\nprint(t[7].error)\nprint(t[8].error)\nprint(t[9].error)")
	want := "True\noverloaded (unknown)\ninternal error: lost (unknown)\nNone\n"
	if out != want || errs != "" || err != nil {
		t.Errorf("%v %s%s, want %s", err, out, errs, want)
	}
	if most < 100 || most > 1000 {
		t.Errorf("%d requests at once", most)
	}
}

func TestRequestManyEndsAtOnce(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, maxIDs)
	c := &fakeCluster{request: func(ctx context.Context, _ worker.ID) (worker.Reply, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return worker.Reply{}, ctx.Err()
	}}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	go func() { <-asked; cancel(cause) }()
	sh := New(Config{Cluster: c, Out: new(bytes.Buffer), Err: new(bytes.Buffer)})
	done := make(chan error, 1)
	go func() { done <- sh.RunProgram(ctx, "-e", strings.NewReader("request(range(10000))")) }()
	select {
	case err := <-done:
		if err != cause {
			t.Errorf("%v, want the cause", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it still runs")
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	c := &fakeCluster{request: func(ctx context.Context, _ worker.ID) (worker.Reply, error) {
		<-ctx.Done()
		return worker.Reply{}, ctx.Err()
	}}
	for in, want := range map[string]string{
		"request(1)":            "!<stdin>:2:8: request(1): context deadline exceeded (unknown)\n",
		"request([1])[0].error": "\"context deadline exceeded (unknown)\"\n!<stdin>: 1 of 1 id failed; configure(fail=False) lets the program exit with 0\n",
	} {
		out, errs, _ := run(t, Config{Cluster: c}, "configure(timeout=0.01)\n"+in)
		if got := out + strings.Replace(errs, "<", "!<", 1); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	lasting := &fakeCluster{request: func(context.Context, worker.ID) (worker.Reply, error) { // times in whole minutes
		return worker.Reply{Value: worker.IntValue(200), Node: "2@127.0.0.1", Age: time.Hour, TTL: 4 * time.Hour}, nil
	}}
	for in, want := range map[string]string{
		"r = request(1)\ni(r)": `value       {200, 2@127.0.0.1}
type        reply
node        2@127.0.0.1
from        made for this request
age         1h0m0s, since the worker started
ttl left    4h0m0s
attributes  .age .cached .degraded .json .node .stale .token .ttl .value .via
`,
		"i(7)": "value     7\ntype      int\nas an id  owned by 2@127.0.0.1\n",
		`i("2@127.0.0.1")`: `value       "2@127.0.0.1"
type        string
length      11
node        alive at , incarnation 0
attributes  .capitalize`,
		"i(request)":         "value    <built-in function request>\ntype     builtin_function_or_method\ncommand  request(id, via, kind, timeout): ask",
		"[1, 2]\ni":          "[1, 2]\nvalue       [1, 2]\ntype        list\nlength      2\n",
		"i":                  "value  None\ntype   NoneType\n",
		"i(list(range(30)))": "value       [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, … 10 more]\n",
		"i(request([1]))":    "value   [{id: 1, value: 200, node: \"2@127.0.0.1\", cached: False, degraded: False, error: None}]\ntype    replies\nlength  1\n",
		"i(lambda x: x)":     "value     <function lambda>\ntype      function\nfunction  lambda(x)\ndefined   at <stdin>:1\n",
	} {
		if out, errs, _ := run(t, Config{Cluster: lasting}, in); !strings.HasPrefix(out, want) {
			t.Errorf("%s:\n%s%s\nwant\n%s", in, out, errs, want)
		}
	}
	c := &fakeCluster{request: func(context.Context, worker.ID) (worker.Reply, error) {
		return worker.Reply{Value: worker.IntValue(1), Node: "1@h", Cached: true, Degraded: true, TTL: time.Millisecond}, nil
	}}
	out, _, _ := run(t, Config{Cluster: c}, "r = request(1)\nsleep(0.002)\ni(r)")
	for _, want := range []string{"the worker had it already", "a worker of another node answered", "none: the worker has expired"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s\nhas no %q", out, want)
		}
	}
}

func TestValuesAreForgotten(t *testing.T) {
	t.Parallel()
	sh := New(Config{Cluster: &fakeCluster{}, Out: new(bytes.Buffer), Err: os.Stderr, In: strings.NewReader(strings.Repeat("1\nx = 1\n", 500))})
	if err := sh.Run(t.Context()); err != nil || len(sh.values) != defaults.history/2 {
		t.Errorf("%v; %d values are kept", err, len(sh.values))
	}
}

func TestLoad(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"a.star":     "'''Tools.'''\nx = 7\ndef f(n):\n  return n + x\n\n1 + 1\nprint('loaded')\n",
		"b.star":     "load('a.star')\ny = f(1)\n",
		"bad.star":   "x = 1\nreqest(1)\n",
		"fails.star": "def g():\n  return 1 // 0\n\ng()\n",
		"self.star":  "load('self.star')\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for in, want := range map[string]string{
		"load('a.star')\nf(1), x, v()":                           "loaded\n(8, 7, None)\n",
		"def g(): # '''\n  load('a.star')\n\ng()\nx":             "loaded\n7\n",
		"x = load('a.star')\nx":                                  "loaded\n",
		"load('b.star'); y":                                      "loaded\n8\n",
		"[load(s) for s in ['a.star', 'a.star']][0] == None":     "loaded\nloaded\nTrue\n",
		"'load' + \"load\" # load\n'''\nload('x')\n'''\nh(load)": "\"loadload\"\n\"\\nload('x')\\n\"\nload(file)\n  run a file in this shell; its variables stay\n  for example: load(\"tools.star\")\n",
		"x = 'é' + str(load) + lod":                              "!<stdin>:1:23: undefined: lod (did you mean load?)\n",
		"\nload('bad.star')":                                     "!bad.star:2:1: undefined: reqest (did you mean request?)\n  called at <stdin>:2:5\n",
		"load('fails.star')":                                     "!fails.star:2:12: floored division by zero\n  called at <stdin>:1:5\n  called at fails.star:4:2\n",
		"load('self.star')":                                      "!self.star:1:5: load: self.star loads itself\n  called at <stdin>:1:5\n",
		"load('a.star', 'x')":                                    "!<stdin>:1:5: load: takes a file only, such as \"tools.star\"; all its variables stay\n",
		"load('a.star')\nload('bad.star')":                       "loaded\n!bad.star:2:1: undefined: reqest (did you mean request?)\n  called at <stdin>:2:5\n",
		"configure(load=1)":                                      "!<stdin>:1:10: configure: unexpected keyword argument \"load\"\n",
	} {
		out, errs, _ := run(t, Config{}, in)
		if errs != "" {
			out += "!" + errs
		}
		if out != want {
			t.Errorf("%q:\n%s\nwant\n%s", in, out, want)
		}
	}
	var out, errs bytes.Buffer
	sh := New(Config{Cluster: &fakeCluster{}, Out: &out, Err: &errs, Echo: true})
	err := sh.RunProgram(t.Context(), "p", strings.NewReader("load('a.star')\nf(2)\n"))
	if want := "distproc(1@127.0.0.1)1> load('a.star')\nloaded\ndistproc(1@127.0.0.1)2> f(2)\n9\n"; out.String() != want || err != nil {
		t.Errorf("%v\n%s%s\nwant\n%s", err, &out, &errs, want)
	}
}

func TestInit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, bad, leave := file("good", "z = 5\nz\nprint('ready')\n"), file("bad", "\nreqest(1)"), file("leave", "exit(4)")
	missing := filepath.Join(dir, "none")
	for _, test := range []struct {
		files  []string
		always bool
		out    string
		errs   string
		err    error
	}{
		{[]string{good}, false, "", "<stdin>:1:7: undefined: z\n", ExitStatus(1)}, // no terminal
		{[]string{good}, true, "ready\n5\n", "", nil},
		{[]string{bad, missing, good}, true, "ready\n5\n", bad + ":2:1: undefined: reqest (did you mean request?)\n" + missing + ": no such file or directory\n", nil},
		{[]string{leave, good}, true, "", "", ExitStatus(4)},
	} {
		out, errs, err := run(t, Config{Init: test.files, InitAlways: test.always}, "print(z)")
		if out != test.out || errs != test.errs || err != test.err {
			t.Errorf("%v: %v\n%s%s\nwant\n%s%s", test.files, err, out, errs, test.out, test.errs)
		}
	}
	sh := New(Config{})
	check := func() error {
		_, err := readSource(good, sh.checkInit)
		return err
	}
	if err := check(); err != nil {
		t.Error(err)
	}
	for _, mode := range []os.FileMode{0o602, 0o620} {
		os.Chmod(good, mode)
		want := fmt.Sprintf("%s is not run, as others can write to it (mode %#o); run: chmod go-w %[1]s", good, mode)
		if err := check(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if _, errs, err := run(t, Config{}, fmt.Sprintf("load(%q)", good)); err != ExitStatus(1) || errs != "<stdin>:1:5: load: "+want+"\n" {
			t.Errorf("load: %v, %s", err, errs)
		}
	}
	if os.Getuid() == 0 {
		os.Chmod(good, 0o600)
		os.Chown(good, 1, 1)
		if err := check(); err == nil {
			t.Error("a file runs that another user owns")
		}
	}
}

// TestForce gives ids of a strict kind up: one whose call goes on, one with an idle server, and
// one without a server.
func TestForce(t *testing.T) {
	t.Parallel()
	out, _, err := run(t, Config{}, `print(stop(13, kind="account", force=True))
print(stop(14, kind="account", force=True).stopped, stop(13, force=True).given_up)
print(stop(15, force=True))
`)
	const want = `stopped   true
given up  a call goes on on 2@127.0.0.1, since 1m30s; only its token 0000000000000003.0000000000000005 protects what it changes from now on
server    of 1@127.0.0.1 ends
True True
stopped  false: no node has a server of the id
`
	if out != want || err != nil {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
	if _, errors, _ := run(t, Config{}, `stop([1, 2], force=True)`); !strings.Contains(errors, "list") {
		t.Errorf("force for many ids: %s", errors)
	}
	if _, errors, _ := run(t, Config{}, `invalidate(1, force=True)`); !strings.Contains(errors, "force") {
		t.Errorf("invalidate with force: %s", errors)
	}
}

// TestNodesWithVoters has columns for what only nodes with voters have.
func TestNodesWithVoters(t *testing.T) {
	t.Parallel()
	c := &fakeCluster{quorum: &worker.Quorum{Lease: 1500 * time.Millisecond, Epoch: 5, Voter: true, Leads: true, Why: "no answer of 2@h"}}
	out, _, err := run(t, Config{Cluster: c}, "n = nodes(detail=True)\nprint(n)\nprint(n[0].lease, n[0].view_epoch, n[0].voter, n[0].leads, n[0].quorum, n[1].lease)\n")
	for _, want := range []string{"uptime  lease  view_epoch  voter  leads  quorum  incarnation  why\n", "1.5s           5  true   true   false   a0           no quorum: no answer of 2@h\n", "1.5 5 True True False None\n"} {
		if !strings.Contains(out, want) || err != nil {
			t.Errorf("%v, no %q in\n%s", err, want, out)
		}
	}
}

// TestNarrow has a terminal that is too narrow for a table of nodes, an error and a help text.
// They break between columns and words.
func TestNarrow(t *testing.T) {
	t.Parallel()
	row := func(name, why string) *record {
		return &record{fields: []string{"name", "state", "epoch", "why"}, values: starlark.Tuple{
			starlark.String(name), starlark.String("alive"), starlark.MakeInt(4294967304), starlark.String(why),
		}}
	}
	nodes := &table{header: []string{"name", "state", "epoch", "why"}, rows: []*record{row("1@h", "no quorum: no answer of 2@h and of 3@h"), row("2@h", "")}}
	for cols, want := range map[int]string{
		0:  "name  state       epoch  why\n1@h   alive  4294967304  no quorum: no answer of 2@h and of 3@h\n2@h   alive  4294967304",
		30: "name  state       epoch\n1@h   alive  4294967304\n2@h   alive  4294967304\nname  why\n1@h   no quorum: no answer of\n      2@h and of 3@h\n2@h",
		15: "name  state\n1@h   alive\n2@h   alive\nname       epoch\n1@h   4294967304\n2@h   4294967304\nname  why\n" +
			"1@h   no\n      quorum:\n      no answer\n      of 2@h\n      and of\n      3@h\n2@h",
	} {
		if got := nodes.styled(style{cols: cols}); got != want {
			t.Errorf("in %d columns\n%s\nwant\n%s", cols, got, want)
		}
	}
	connections := &table{rows: []*record{{fields: connectionFields, values: starlark.Tuple{
		starlark.String("1@h"), starlark.False, starlark.String("unreachable: 127.0.0.1:4371: connection refused"),
	}}}}
	if got, want := connections.styled(style{cols: 40}), "1@h  false  unreachable: 127.0.0.1:4371:\n            connection refused"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	s := startSession(t, &pty.Winsize{Rows: 40, Cols: 40})
	s.prompt("1", "")
	s.send("h()\r")
	s.wait(`\nconfigure\(color, timeout, limit,\n  history, save_history, fail\)  set\n +colours, seconds\n`)
	s.wait(`\nThe language is Starlark, which looks\nlike Python; json, math and time are\nthere\. args has the arguments of the\nprogram\.\n`)
	s.send("h(stop)\r")
	s.wait(`\n  stop the worker of an id, or of many\n  ids; true`)
	s.send("fail('the quick brown fox jumps over the dog')\r")
	s.wait(`\n\*\* \(Error\) fail: the quick brown fox\n   jumps over the dog\n`)
	s.send("exit()\r")
	s.left(0)
}

// TestWideCells has tables of texts that take more columns than code points, or fewer, and
// that take more than half of the terminal.
func TestWideCells(t *testing.T) {
	t.Parallel()
	row := func(id, value string) *record {
		return &record{fields: []string{"id", "value", "hits"}, values: starlark.Tuple{starlark.String(id), starlark.String(value), starlark.MakeInt(7)}}
	}
	ids := &table{header: []string{"id", "value", "hits"}, rows: []*record{row("日本語", "e\u0301"), row("👨‍👩‍👧🇩🇪", strings.Repeat("語", 12)), row("a", "b")}}
	for cols, want := range map[int]string{
		0: "id      value                     hits\n日本語  e\u0301                            7\n" +
			"👨‍👩‍👧🇩🇪    語語語語語語語語語語語語     7\na       b                            7",
		44: "id      value                  hits\n日本語  e\u0301                         7\n" +
			"👨‍👩‍👧🇩🇪    語語語語語語語語語語…     7\na       b                         7",
	} {
		if got := ids.styled(style{cols: cols}); got != want {
			t.Errorf("in %d columns\n%s\nwant\n%s", cols, got, want)
		}
	}
}

// TestAlone has the own node apart: nodes(detail=True) says so until alone() ends it.
func TestAlone(t *testing.T) {
	t.Parallel()
	c := &fakeCluster{apart: true}
	out, _, err := run(t, Config{Cluster: c}, "print(nodes(detail=True)[0].why)\nprint(alone(), nodes(detail=True)[0].why)\n")
	if want := "apart: serves no serial kind; see h(alone)\nTrue None\n"; out != want || err != nil {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}

// TestDurationIsRounded shows three significant digits of a time, and from a minute up no
// fractions.
func TestDurationIsRounded(t *testing.T) {
	t.Parallel()
	for in, want := range map[time.Duration]string{
		0:                               "0s",
		7:                               "7ns",
		1234:                            "1.23µs",
		12345:                           "12.3µs",
		302_417:                         "302µs",
		999_600:                         "1ms",
		1234567:                         "1.23ms",
		123456789:                       "123ms",
		1234567890:                      "1.23s",
		12345678901:                     "12.3s",
		59_960 * time.Millisecond:       "1m0s",
		101_400 * time.Millisecond:      "1m41s",
		time.Hour + 1234*time.Second:    "1h21m0s",
		61*time.Hour + time.Second:      "61h0m0s",
		1000*time.Hour + 29*time.Minute: "1000h0m0s",
	} {
		if got := duration(in).String(); got != want {
			t.Errorf("%d ns: %s, want %s", in, got, want)
		}
	}
	if got := shortly(worker.Forever - time.Hour); got != "forever" {
		t.Errorf("forever is %s", got)
	}
}
