//go:build unix

package repl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// runParts runs a program of several parts and returns what it wrote.
func runParts(t *testing.T, cfg Config, parts ...string) (out, errs string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	cfg.Cluster, cfg.Out, cfg.Err = &fakeCluster{request: cfg.Cluster.(*fakeCluster).request}, &o, &e
	var list []Source
	for i, text := range parts {
		list = append(list, Source{"part" + string(rune('1'+i)), strings.NewReader(text)})
	}
	err = New(cfg).RunSources(t.Context(), list...)
	return o.String(), e.String(), err
}

// TestParts runs parts that share variables. All are parsed before the first runs, and
// errors name the part.
func TestParts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		parts     []string
		out, errs string
		err       error
	}{
		{[]string{"x = 1", "x += 1", "print(x)"}, "2\n", "", nil},
		{[]string{"def f(): return g()", "def g(): return 7", "f()"}, "7\n", "", nil},
		{[]string{"print(1)", "\nprint(y)", "print(2)"}, "1\n", "part2:2:7: undefined: y\n", ExitStatus(1)},
		{[]string{"print(1)", "x = ("}, "", "part2:2:1: got end of file, want primary expression\n", ExitStatus(1)},
		{[]string{"print(1)", "exit(4)", "print(2)"}, "1\n", "", ExitStatus(4)},
		{[]string{"1", "_ + 1", "", "_ + 1"}, "1\n2\n3\n", "", nil},
		{[]string{"x = 1\ndel(x)\nx = 2\nnode = 3\ndel(node)\nprint(x, node())\nreset()", "x"}, "2 1@127.0.0.1\n", "part2:1:1: undefined: x\n", ExitStatus(1)},
	} {
		out, errs, err := runParts(t, Config{Cluster: &fakeCluster{}}, test.parts...)
		if out != test.out || errs != test.errs || err != test.err {
			t.Errorf("%q: %v\n%s%s\nwant %v\n%s%s", test.parts, err, out, errs, test.err, test.out, test.errs)
		}
	}
	out, _, _ := runParts(t, Config{Cluster: &fakeCluster{}, Echo: true}, "x = 1\nx", "x\ndel(x)\n2")
	if want := "distproc(1@127.0.0.1)1> x = 1\ndistproc(1@127.0.0.1)2> x\n1\ndistproc(1@127.0.0.1)3> x\n1\ndistproc(1@127.0.0.1)4> del(x)\ndistproc(1@127.0.0.1)5> 2\n2\n"; out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
}

// TestArguments has the arguments of a program, and none.
func TestArguments(t *testing.T) {
	t.Parallel()
	out, errs, err := runParts(t, Config{Cluster: &fakeCluster{}, Args: []string{"a b", "--c"}}, "args\nargs = 1\ndel('args')\nprint(args[1], type(args[0]))")
	if want := "[\"a b\", \"--c\"]\n--c string\n"; out != want || errs != "" || err != nil {
		t.Errorf("%v %s%s, want %s", err, out, errs, want)
	}
	out, _, _ = run(t, Config{}, "args\nh()")
	if !strings.HasPrefix(out, "[]\n") || !strings.Contains(out, "args has the arguments of the program") {
		t.Errorf("%s", out)
	}
}

// TestFailedRows has the exit status tell of rows that failed, unless the program says
// otherwise.
func TestFailedRows(t *testing.T) {
	t.Parallel()
	const told = "part1: 2 of 5 ids failed; configure(fail=False) lets the program exit with 0\n"
	odd := func(_ context.Context, id worker.ID) (worker.Reply, error) {
		if strings.ContainsAny(id.String(), "13") {
			return worker.Reply{}, node.ErrUnreachable
		}
		return worker.Reply{Value: worker.IntValue(1), Node: "1@h"}, nil
	}
	for in, want := range map[string]struct {
		errs string
		err  error
	}{
		"x = request(range(5))":                              {told, ExitStatus(1)},
		"x = refresh(range(5))\ny = request([2, 4])":         {told, ExitStatus(1)},
		"x = request([2, 4])":                                {"", nil},
		"configure(fail=False)\nx = request(range(5))":       {"", nil},
		"x = request(range(5))\nexit(0)":                     {"", nil},
		"x = request(range(5))\nexit(7)":                     {"", ExitStatus(7)},
		"x = request(range(5))\nnosuch":                      {"part1:2:1: undefined: nosuch\n", ExitStatus(1)},
		"x = invalidate([1, 'lost'])":                        {"part1: 1 of 2 ids failed; configure(fail=False) lets the program exit with 0\n", ExitStatus(1)},
		"x = [c for c in connect('9@h', '2@h') if not c.ok]": {"", nil},
	} {
		_, errs, err := runParts(t, Config{Cluster: &fakeCluster{request: odd}}, in)
		if errs != want.errs || err != want.err {
			t.Errorf("%q: %v, %s\nwant %v, %s", in, err, errs, want.err, want.errs)
		}
	}
	_, errs, err := run(t, Config{Cluster: &fakeCluster{request: odd}}, "x = request(range(5))")
	if errs != strings.Replace(told, "part1", "<stdin>", 1) || err != ExitStatus(1) {
		t.Errorf("%v, %s", err, errs)
	}
}

// A fullDisk takes so many bytes.
type fullDisk int

func (f *fullDisk) Write(p []byte) (int, error) {
	if len(p) > int(*f) {
		return 0, syscall.ENOSPC
	}
	*f -= fullDisk(len(p))
	return len(p), nil
}

// TestLostOutput fills the disk: a program ends at once, with status 1, whatever it does.
func TestLostOutput(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"while True: print('x')", "for i in range(1 << 20):\n  print('x' * 1000)", "print('x' * 101)", "print('x' * 101); exit(3)",
		"'x' * 101", "def f(): print('x' * 101)\nf()\nprint('on')", "every(0.001, lambda: 'x')", "h()",
	} {
		for name, start := range map[string]func(Config) error{
			"FILE": func(cfg Config) error { return New(cfg).RunProgram(t.Context(), "p", strings.NewReader(in+"\n")) },
			"pipe": func(cfg Config) error {
				cfg.In = strings.NewReader(in + "\n\n")
				return New(cfg).Run(t.Context())
			},
		} {
			disk := fullDisk(100)
			var errs bytes.Buffer
			err := start(Config{Cluster: &fakeCluster{}, Out: &disk, Err: &errs})
			if want := "some of the output is lost: no space left on device\n"; err != ExitStatus(1) || errs.String() != want {
				t.Errorf("%s %q: %v, %q, want %q", name, in, err, errs.String(), want)
			}
		}
	}
}

// TestReadAndEnv has what a program gets from its machine.
func TestReadAndEnv(t *testing.T) {
	t.Setenv("DISTPROC_TEST_ENV", "yes")
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("f", []byte("two\nlines"), 0o644); err != nil {
		t.Fatal(err)
	}
	large, err := os.Create("large")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(large.Truncate(maxRead+1), large.Close(), syscall.Mkfifo("pipe", 0o600)); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"env('DISTPROC_TEST_ENV')":     `"yes"`,
		"env('DISTPROC_TEST_NONE')":    "",
		"env('DISTPROC_TEST_NONE', 3)": "3",
		"env('')":                      "",
		"read('f')":                    `"two\nlines"`,
		"read(file='f').splitlines()":  `["two", "lines"]`,
		"read('none')":                 "!read: none: no such file or directory",
		"read('pipe')":                 "!read: pipe is not a regular file",
		"read('/')":                    "!read: / is not a regular file",
		"read('/dev/zero')":            "!read: /dev/zero is not a regular file",
		"read('large')":                "!read: large is larger than 16777216 bytes; is it the right file?",
		"read(1)":                      "!read: for parameter file: got int, want string",
		"read('-')":                    `"input"`,
		"[read('-'), read('-')]":       `["input", ""]`,
		"load('pipe')":                 "!load: pipe: no regular file",
		"read('" + filepath.Join(dir, "f'") + ")": `"two\nlines"`,
	} {
		var out, errs bytes.Buffer
		sh := New(Config{Cluster: &fakeCluster{}, In: strings.NewReader("input"), Out: &out, Err: &errs})
		_ = sh.RunProgram(t.Context(), "p", strings.NewReader(in))
		got := strings.TrimSpace(out.String())
		if _, msg, found := strings.Cut(errs.String(), ": "); found {
			got = "!" + strings.TrimSpace(msg)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	var errs bytes.Buffer
	sh := New(Config{Cluster: &fakeCluster{}, In: strings.NewReader(strings.Repeat("x", maxRead+1)), Out: io.Discard, Err: &errs})
	if err := sh.RunProgram(t.Context(), "p", strings.NewReader("len(read('-'))")); err != ExitStatus(1) || !strings.Contains(errs.String(), "more than 16 MiB") {
		t.Errorf("%v, %s", err, errs.String())
	}
	if _, errs, _ := run(t, Config{}, "read('-')"); !strings.Contains(errs, "the program itself comes from the standard input") {
		t.Error(errs)
	}
}

// TestReadInputEnds has a program that waits for its input end with its context.
func TestReadInputEnds(t *testing.T) {
	t.Parallel()
	in, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	sh := New(Config{Cluster: &fakeCluster{}, In: in, Out: io.Discard, Err: io.Discard})
	done := make(chan error, 1)
	go func() { done <- sh.RunProgram(ctx, "p", strings.NewReader("read('-')")) }()
	io.WriteString(w, "x") // returns when it has been read
	cause := errors.New("enough")
	cancel(cause)
	if err := <-done; err != cause {
		t.Errorf("%v, want the cause", err)
	}
}
