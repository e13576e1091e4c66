//go:build unix

package repl

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/creack/pty"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// hostile is a text that does harm in a terminal: it has a sequence, one of one byte, a
// line of its own, and it changes the direction of what follows.
const hostile = "x\x1b]0;title\x07\u009b31m\n\r\u202e\u2066\u2028\x00y"

// hostileCluster has hostile texts wherever another node may choose them.
type hostileCluster struct{ fakeCluster }

func (*hostileCluster) Self() string { return hostile }
func (*hostileCluster) Connect(context.Context, ...string) []node.Connection {
	return []node.Connection{{Name: hostile}, {Name: hostile, Err: errors.New(hostile)}}
}
func (*hostileCluster) Owner(context.Context, worker.ID) (string, error) { return hostile, nil }
func (*hostileCluster) Members(context.Context) ([]node.Member, error) {
	return []node.Member{{Name: hostile, Addr: hostile}, {Name: "ab" + hostile}}, nil
}
func (*hostileCluster) Nodes(context.Context) ([]node.NodeInfo, error) {
	m := node.Member{Name: hostile, Addr: hostile}
	return []node.NodeInfo{
		{Member: m, Version: hostile, Differs: []string{hostile}, Quorum: &worker.Quorum{Why: hostile}},
		{Member: m, Problem: hostile},
	}, nil
}
func (*hostileCluster) Workers(context.Context) ([]worker.Info, error) {
	return []worker.Info{{Kind: hostile, ID: hostileID(), Node: hostile}}, nil
}
func (*hostileCluster) Family(string) node.Family { return hostileFamily{} }

func hostileID() worker.ID {
	id, err := worker.ParseID(hostile)
	if err != nil {
		panic(err)
	}
	return id
}

type hostileFamily struct{ node.Family }

func (hostileFamily) Request(_ context.Context, id worker.ID) (worker.Reply, error) {
	if id == worker.IntID(0) {
		return worker.Reply{}, errors.New(hostile)
	}
	return worker.Reply{Value: worker.MediaValue(hostile, hostile), Node: hostile, Via: hostile}, nil
}
func (hostileFamily) Invalidate(context.Context, worker.ID) (bool, error) {
	return false, errors.New(hostile)
}
func (hostileFamily) ForceStop(context.Context, worker.ID) ([]worker.Stopped, error) {
	return []worker.Stopped{{Node: hostile}, {Node: hostile, Runs: 1}}, nil
}
func (hostileFamily) Why(_ context.Context, id worker.ID) (node.Explanation, error) {
	e := node.Explanation{ID: id, Kind: hostile, Owner: hostile, Rule: hostile, Fallback: hostile, Via: hostile, Asked: hostile}
	if id == worker.IntID(1) {
		e.Custody = &worker.Custody{Node: hostile, Acting: hostile, Occupied: hostile, Waits: hostile, Quorum: worker.Quorum{Epoch: 1, Why: hostile}, Holders: []worker.Holder{{Member: hostile}}}
	}
	return e, nil
}

// escapes are the sequences by which the editor draws.
var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// harmful reports whether a text has a character that it should not, line ends aside.
func harmful(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028')
	})
}

// TestHostileTexts shows what other nodes send in every way that the shell has.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"connect", "nodes", "nodes(detail=True)", "node", "workers", "runtime_info", "owner(7)", "request(7)", "request([0, 7])",
		"request(0)", "invalidate([1])", "invalidate(1)", "stop(1, force=True)", "why(0)", "why(1)", "why(1).holders", "[why(1)]", "i(request(7))", "i(7)",
		"i(node())", "i(workers())", "print(request(7), request([0, 7]), why(1), workers(), nodes(detail=True), connect())", "str(request(7))", "[workers()[0]]",
		"{request(7): [why(0)]}", "h(workers())", "fail(node())", "ping(node())", "request(1, via=node())", "load(node())", "read(node())", "x = {node(): 1}[owner(1) + '1']",
		"[n.why for n in nodes(detail=True)]", "configure(color=node())", "every(0.001, workers, 1)", "getattr(1, node())", "time(workers)", "save(node())",
	} {
		for _, echo := range []bool{false, true} {
			out, errs, _ := run(t, Config{Cluster: &hostileCluster{}, Echo: echo}, in)
			if harmful(out + errs) {
				t.Errorf("%s:\n%q\n%q", in, out, errs)
			}
		}
	}
	sh := New(Config{Cluster: &hostileCluster{}})
	f := sh.look(t.Context())
	f.err = errors.New(hostile)
	if lines := f.lines(200, 50, style{}); len(lines) < 6 || harmful(strings.Join(lines, "\n")) {
		t.Errorf("top: %q", lines)
	}
}

// TestHostileNames shows names of nodes in the prompt and in notices. Completion offers none
// that it would have to change.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	for _, term := range []string{"xterm", "dumb"} {
		s := startSession(t, &pty.Winsize{Rows: 24, Cols: 200}, "DISTPROC_TEST_SHELL=hostile", "TERM="+term, "NO_COLOR=1")
		s.wait(`distproc\(x.*y\)1>$`)
		s.send("node()\r")
		s.wait(`\)2>$`)
		s.send("ping(\"a\t\t")
		s.wait(`ping\("a$`)
		s.send("\x03exit()\r")
		s.wait(`left: `)
		<-s.done
		written := strings.ReplaceAll(s.written(), "\r", "")
		if term == "xterm" {
			written = escapes.ReplaceAllString(written, "")
		}
		if harmful(written) || strings.Contains(s.written(), "\x1b]") {
			t.Errorf("%q", s.written())
		}
	}
}
