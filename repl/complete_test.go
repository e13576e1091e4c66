package repl

import (
	"strings"
	"testing"

	"github.com/distproc/distproc/node"
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
		"call(":                     "id= message= kind= timeout=",
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

// FuzzPlace checks that no line breaks completion, and that the other name of load leaves
// columns as they are.
func FuzzPlace(f *testing.F) {
	f.Add(`request(1, via="2@`)
	f.Add(`load("a", '''b`)
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
