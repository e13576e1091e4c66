//go:build unix

package repl

import (
	"strings"
	"testing"
)

// TestNamesOfCommands assigns to names of commands and modules, which del and reset bring
// back.
func TestNamesOfCommands(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"5\nv, n = 1, 2\ndel(v)\nv(1)", "5\n5"},
		{"node = 5\nnode\ndel(node)\nnode", "5\n\"1@127.0.0.1\""},
		{"def h(): pass\n\ndel('h')\nh('nodes')", "nodes(detail)\n"},
		{"json = 1\ntime = 2\ndel(json, time)\njson.encode([1])", `"[1]"`},
		{"load = 1\nload\nx = load + 1\ndel(load, x)\nload", "1\n"}, {"load('nosuch')", "!<stdin>:1:5: load: nosuch: no such file or directory"},
		{"len = 5\ndel(len)\nlen([1])", "1"},
		{"x = 1\n\nif x:\n  del(x)\nx", "!<stdin>:5:1: undefined: x"},
		{"xyz = 1\ndel(xyt)", "!<stdin>:2:4: del: there is no variable xyt (did you mean xyz?)"},
		{"del(v)", "!<stdin>:1:4: del: there is no variable v"},
		{"del()", "!<stdin>:1:4: del: takes names of variables, such as del(x) or del(\"x\")"},
		{"print(del(1))", "!<stdin>:1:10: del: an int is no name; in an expression say del(\"x\")"},
		{"1\nx = 1\nh = 2\nreset()\nv(1)\nh('nodes')\nx", "!<stdin>:7:1: undefined: x"},
		{"1\nreset()\nprint(v(1))", "1\nNone"},
		{"x = 1; del(x)\nx", "!<stdin>:2:1: undefined: x"},
		{"x = 1; del(y)", "!<stdin>:1:11: del: there is no variable y"},
		{"len = 1; del(len)\nlen([])", "0"},
		{"x = 1\nx = 2; del(x)\nx", "!<stdin>:3:1: undefined: x"},
		{"def f(): return 1\n\ng = f\ndel(f)\ng()", "1"},
		{"x = 1\ndel x", "!<stdin>:2:6: Starlark has no statement del; use del(\"x\")"},
		{"x = 1\nif x:\n  del x, y # both\n", "!<stdin>:3:8: Starlark has no statement del; use del(\"x\", \"y\")"},
		{"x = {1: 2}\ndel x[1]", "!<stdin>:2:6: Starlark has no statement del; use x.pop(1)"},
		{"model x", "!<stdin>:1:8: invalid syntax"},
		{"v = 1\nv(1)", "!<stdin>:2:2: invalid call of non-function (int); v is your variable here, and del(\"v\") brings the command back"},
		{"request = 1; request(1)", "!<stdin>:1:21: invalid call of non-function (int); request is your variable here, and del(\"request\") brings the command back"},
		{"load = 1\nload('x')", "!<stdin>:2:5: invalid call of non-function (int); load is your variable here, and del(\"load\") brings the command back"},
		{"json = 1\njson.encode(1)", "!<stdin>:2:5: int has no .encode field or method; json is your variable here, and del(\"json\") brings the module back"},
		{"x = 1\nx(1)", "!<stdin>:2:2: invalid call of non-function (int)"},
		{"def f(v): return v(1)\n\nf(1)", "!<stdin>:1:19: invalid call of non-function (int)\n  called at <stdin>:3:2"},
	} {
		out, errs, _ := run(t, Config{}, test.in)
		if want, bad := strings.CutPrefix(test.want, "!"); bad {
			if strings.TrimSpace(errs) != want {
				t.Errorf("%q: error %q, want %q", test.in, errs, want)
			}
		} else if !strings.HasPrefix(out, test.want) || errs != "" {
			t.Errorf("%q:\n%s%s\nwant\n%s", test.in, out, errs, test.want)
		}
	}
}

// TestHiddenCommand warns at a terminal, once, that a command is hidden.
func TestHiddenCommand(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("v, n = 1, 2\r")
	s.wait(`\n\(v is your variable now; del\("v"\) brings the command back\)\n`)
	s.prompt("2", "")
	s.send("v = 3\r")
	s.wait(`v = 3\ndistproc\S+3>$`)
	s.send("del(v); v(-1)\r")
	s.prompt("4", "")
}

// TestHelpOfFunctions describes functions of a program.
func TestHelpOfFunctions(t *testing.T) {
	t.Parallel()
	def := "def f(a, b=2, *c, d, e='x', **g):\n  \"\"\"Adds.\n\n    More,\n      and more.\n  \"\"\"\n  return a\n\ndef g(a, *, b): return 1\n\n"
	for _, test := range []struct{ in, want string }{
		{"h(f)", "f(a, b=2, *c, d, e=\"x\", **g)\n  Adds.\n\n  More,\n    and more.\n  defined at <stdin>:1\n"},
		{"h(g)", "g(a, *, b)\n  it says nothing of itself; a string at its beginning would\n  defined at <stdin>:9\n"},
		{"i(f)", "function  f(a, b=2, *c, d, e=\"x\", **g)\ndefined   at <stdin>:1\nsays      Adds.\n"},
		{"h(lambda *x: 1)", "lambda(*x)\n"},
	} {
		if out, errs, _ := run(t, Config{}, def+test.in); !strings.Contains(out, test.want) {
			t.Errorf("%s:\n%s%s\nwant\n%s", test.in, out, errs, test.want)
		}
	}
}
