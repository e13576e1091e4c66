//go:build unix

package repl

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/repl/editor"
)

func TestCandidates(t *testing.T) {
	t.Parallel()
	sh := New(Config{Cluster: &fakeCluster{}})
	sh.peers = &peers{cluster: sh.cluster, ctx: t.Context()}
	sh.peers.refresh()
	sh.peers.wg.Wait()
	run := func(code string) {
		if err := sh.RunProgram(t.Context(), "", strings.NewReader(code)); err != nil {
			t.Fatal(err)
		}
	}
	run("def square(side, times=1): return side\ntotal = 3\nr = request(1)\nanswer = call(7, {}, kind='echo')\nrow = request([1])[0]\n")
	for in, want := range map[string]string{
		"tot":                       "total",
		"squ":                       "square",
		"square(":                   "side= times=",
		"square(t":                  "times= time top total trace tuple type",
		"square(1, ti":              "times= time",
		"square(1, total, si":       "side=",
		"square(1 + ti":             "time",
		"square([ti":                "time",
		"(square)(ti":               "time",
		"request(1, v":              "via= v",
		"Node.list(det":             "detail=",
		"nodes(":                    "detail=",
		"configure(l":               "limit= len list load",
		"request(square(":           "side= times=",
		"request(square(1), via":    "via=",
		"every(":                    "seconds= f= n=",
		"r.":                        "age cached degraded json node stale token ttl value via",
		"answer.json.ke":            "keys",
		"row.":                      "age cached degraded error id json node stale token ttl value via",
		"call(":                     "7 1 id= message= kind= timeout=",
		"GenServer.c":               "call",
		"GenServer.call(7, m":       "message= math max min",
		"r.no":                      "node",
		"time.h":                    "hour",
		"lo":                        "load",
		"runtime":                   "runtime_info",
		`connect("`:                 "1@127.0.0.1 2@127.0.0.1 3@127.0.0.1 4@127.0.0.1",
		`connect("2@`:               "2@127.0.0.1",
		`connect("2@127.0`:          "0.0.1",
		`connect('1@127.0.0.1', '3`: "3@127.0.0.1",
		`"a\"`:                      "",
		`x = "a" + nod`:             "node nodes",
		"# tot":                     "total",
		"request(1":                 "",
		"1 + ":                      "",
		"nosuch.x":                  "",
		"nosuch(":                   "",
	} {
		c := &completion{shell: sh}
		_, list := c.candidates(in)
		var got []string
		for _, s := range list {
			got = append(got, s.Text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	sh.peers.wg.Wait()
	if got := sh.peers.list(); len(got) != 4 || got[3].State != node.StateFailed {
		t.Errorf("%v", got)
	}
}

// TestValueCandidates completes values of arguments, and attributes of operands.
func TestValueCandidates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"tools.star", ".hidden", "two words.star", "tell\"", "sub/deep.star"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "to nowhere")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "tube"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newTestCompletion(t, `
r = call(7, {"key": 1}, kind="echo")
d = {"reply": r, 2: [r]}
def f(id, node="x"): return id
n = 0
def count():
  n[0]
request([300, 301, "user:5"])
owner(-12)
why("user:4")
request(id="it's")
request(-12)
`)
	const ofReply = "age cached degraded json node stale token ttl value via"
	const nodes = "1@127.0.0.1 2@127.0.0.1 3@127.0.0.1 4@127.0.0.1"
	for in, want := range map[string]string{
		// Ids: arguments, newest first, and then those of a table that was shown.
		"owner(":               `-12 "it's" "user:4" 7 300 301 "user:5" id=`,
		"invalidate(3":         "300 301",
		"stop(30":              "300 301",
		"owner(-":              "12",
		"owner(id=-1":          "12",
		`refresh("`:            "it's user:4 user:5",
		`refresh('`:            "user:4 user:5", // it's would need an escape
		`refresh("user:`:       "4 5",
		`why("user:4`:          "4",
		"request([7, 3":        "300 301",
		`request(["`:           "it's user:4 user:5",
		`request([1], "`:       nodes,
		"request([1], 3":       "",
		"f(3":                  "300 301",
		"request(1, 3":         "",
		"request(300":          "",
		"request(timeout=3":    "",
		"request(f(30":         "300 301",
		`request([1, 2][0], "`: nodes,
		// Kinds.
		`request(1, kind="`:          "account default price",
		`request(1, kind = "`:        "account default price",
		`request(1, kind="p`:         "price",
		`request(1, kind=`:           `"account" "default" "price"`,
		`call(7, {"a": 1}, kind="ac`: "account",
		`call(7, "`:                  nodes,
		`invalidate(1, "`:            "account default price",
		`GenServer.call(7, 1, "p`:    "price",
		// Nodes, colors, and strings of which nothing is known.
		`request(1, via="2`:  "2@127.0.0.1",
		`request(1, via=`:    `"1@127.0.0.1" "2@127.0.0.1" "3@127.0.0.1" "4@127.0.0.1"`,
		`f(1, node="3`:       "3@127.0.0.1",
		`x = "4`:             "4@127.0.0.1",
		`configure(color="`:  "auto always never",
		`configure("al`:      "always",
		`request(1, nope="1`: "1@127.0.0.1",
		// Files.
		`load("DIR/`:            "DIR/sub/ DIR/tools.star DIR/two words.star",
		`load("DIR/.`:           "hidden",
		`load("DIR/sub/`:        "deep.star",
		`load("DIR/two w`:       "words.star",
		`load("DIR/nosuch/`:     "",
		`load("DIR/tube/`:       "",
		`load(file='DIR/tools`:  "tools.star",
		`load("DIR/tools.star/`: "",
		// Attributes.
		"r.":                     ofReply,
		"d['reply'].":            ofReply,
		"d[2][0].":               ofReply,
		"d[2][-1].c":             "cached",
		"d[2][1].":               "",
		"d.":                     "clear get items keys pop popitem setdefault update values",
		"(r).no":                 "node",
		"v(1).":                  "",
		"r.json.k":               "keys",
		"r.node.starts":          "startswith",
		`"a.b".up`:               "upper",
		`'#'.up`:                 "upper",
		`"x"[0:1].up`:            "upper",
		"[1, 2].app":             "append",
		`{"a": 1}.ke`:            "keys",
		"b'x'.el":                "elem_ords elems",
		"json.":                  "decode encode encode_indent indent",
		"1 + r.va":               "value",
		"request(r.va":           "value",
		"[x.va for x in d[2]].a": "",
		"not r.va":               "value",
		"x = r.va":               "value",
		"count().":               "",
		"request(1).va":          "",
		"r.nosuch.":              "",
		"r . no":                 "node nodes",
		"r[.":                    "",
		").":                     "",
		"..":                     "",
		"1.":                     "",
		"(((((.":                 "",
		strings.Repeat("(", maxPeek) + "r" + strings.Repeat(")", maxPeek) + ".": "",
	} {
		_, list := c.candidates(strings.ReplaceAll(in, "DIR", dir))
		var got []string
		for _, s := range list {
			got = append(got, s.Text)
		}
		cut := strings.LastIndexAny(dir, editor.WordSeparators) + 1
		if want := strings.ReplaceAll(want, "DIR/", ""); strings.ReplaceAll(strings.Join(got, " "), dir[cut:]+"/", "") != want {
			t.Errorf("%.80q: %q, want %q", in, got, want)
		}
	}
}

// newTestCompletion returns the completion of a shell that has run a program.
func newTestCompletion(t *testing.T, program string) *completion {
	t.Helper()
	sh := New(Config{Cluster: &fakeCluster{}, Out: io.Discard})
	sh.peers = &peers{cluster: sh.cluster, ctx: t.Context()}
	sh.peers.refresh()
	sh.peers.wg.Wait()
	t.Cleanup(sh.peers.wg.Wait)
	if err := sh.RunProgram(t.Context(), "", strings.NewReader(program)); err != nil {
		t.Fatal(err)
	}
	return &completion{shell: sh}
}

// TestCompletionOfValue completes attributes of a value that a prompt has shown. It runs
// nothing, and the ids of the session are few.
func TestCompletionOfValue(t *testing.T) {
	t.Parallel()
	c := newTestCompletion(t, "request(5)\nrequest([6])\nx = 0\n[owner(i) for i in range(1000, 1100)]\nrequest(range(2000, 2100))\n")
	for in, want := range map[string]int{
		"v(1).":    len(reply{}.AttrNames()),
		"v(-4).":   len(reply{}.AttrNames()),
		"v(2)[0].": len(reply{}.AttrNames()) + 2,
		"_[0].i":   1,
		"v(99).":   0,
		"owner(1":  maxGiven,
		"owner(2":  maxSeen,
	} {
		if _, list := c.candidates(in); len(list) != want {
			t.Errorf("%s: %v, want %d", in, list, want)
		}
	}
	_, list := c.candidates("owner(1")
	if list[0].Text != "1099" {
		t.Errorf("the first one is %s", list[0].Text)
	}
	if _, list = c.candidates("owner(2"); list[0].Text != "2000" {
		t.Errorf("the first one of a table is %s", list[0].Text)
	}
}

// FuzzPlace checks that no line breaks completion, and that the other name of load leaves
// columns as they are.
func FuzzPlace(f *testing.F) {
	f.Add(`request(1, via="2@`)
	f.Add(`load("a", '''b`)
	f.Add(`request([1, "b`)
	f.Add(`x[v(-1)["a"]].b`)
	f.Fuzz(func(t *testing.T, line string) {
		sh := New(Config{Cluster: &fakeCluster{}})
		sh.peers = &peers{cluster: sh.cluster, ctx: t.Context()}
		word, list := (&completion{shell: sh}).candidates(line)
		for _, s := range list {
			if !strings.HasPrefix(s.Text, word) || !strings.HasSuffix(line, word) {
				t.Errorf("%q: %q completes %q", line, s.Text, word)
			}
		}
		if got := new(renamer).line(line); len([]rune(got)) != len([]rune(line)) || shownName(got) != shownName(line) {
			t.Errorf("%q became %q", line, got)
		}
		sh.peers.wg.Wait()
	})
}
