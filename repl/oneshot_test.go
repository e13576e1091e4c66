//go:build unix

package repl

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// runCommand runs a command, and returns what it writes.
func runCommand(t *testing.T, cluster Cluster, c Command) (string, error) {
	t.Helper()
	var out strings.Builder
	err := New(Config{Cluster: cluster, Out: &out}).RunCommand(t.Context(), c)
	return out.String(), err
}

func TestRunCommand(t *testing.T) {
	t.Parallel()
	cluster := func() *fakeCluster { return &fakeCluster{} }
	for _, c := range []struct {
		command   Command
		out, errs string
	}{
		{Command{Name: "request", As: "get", Args: map[string]any{"id": []string{"7"}}}, "id  value  node         cached  degraded\n 7    200  2@127.0.0.1  false   false\n", ""},
		{Command{Name: "request", Args: map[string]any{"id": "7"}}, "{200, 2@127.0.0.1}\n", ""},
		{Command{Name: "request", Args: map[string]any{"id": "7"}, Format: FormatRaw}, "200", ""},
		{Command{Name: "request", Args: map[string]any{"id": []string{"7"}}, Format: FormatRaw}, "200", ""},
		{Command{Name: "request", Args: map[string]any{"id": []string{"7", "8"}}, Format: FormatRaw}, "", "request: only the value of one reply can be written as it is"},
		{Command{Name: "call", Args: map[string]any{"id": "7", "message": "3", "kind": "none"}}, "", "call(7): bad request: workers of kind"},
		{Command{Name: "call", Args: map[string]any{"id": "7", "kind": "panic"}}, "", "call: internal error: lost"},
		{Command{Name: "call", Args: map[string]any{"id": "7", "kind": "hang"}, Timeout: time.Millisecond}, "", "call(7): context deadline exceeded (unknown)"},
		{Command{Name: "invalidate", Args: map[string]any{"id": []string{"lost"}}}, "", "invalidate(\"lost\"): unreachable (unknown)"},
		{Command{Name: "invalidate", Args: map[string]any{"id": []string{"lost", "7"}}}, "id    invalidated  error\nlost               unreachable (unknown)\n7     false\n", "invalidate: 1 of 2 ids failed"},
		{Command{Name: "invalidate", Args: map[string]any{"id": []string{"7"}}, Format: FormatJSON}, `{"id":7,"invalidated":false,"error":null}` + "\n", ""},
		{Command{Name: "invalidate", Args: map[string]any{"id": []string{strings.Repeat("x", 300)}}}, "", "invalidate: the id at index 0: "},
		{Command{Name: "owner", Args: map[string]any{"id": "7"}, Format: FormatJSON}, "\"2@127.0.0.1\"\n", ""},
		{Command{Name: "node", Args: map[string]any{"more": true}}, "", "node: unexpected keyword argument \"more\""},
		{Command{Name: "node", Args: map[string]any{"more": 1.5}}, "", "node: more: a float64 is no argument of a command"},
		{Command{Name: "nodes", Args: map[string]any{"detail": 1}}, "", "nodes: for parameter \"detail\": got int, want bool"},
		{Command{Name: "sleep", Args: map[string]any{"seconds": time.Millisecond}}, "", ""},
		{Command{Name: "launch"}, "", `the shell has no command "launch"`},
		{Command{Name: "top"}, "", "top: there is no terminal to watch at"},
	} {
		out, err := runCommand(t, cluster(), c.command)
		switch {
		case out != c.out, c.errs == "" && err != nil, c.errs != "" && (err == nil || !strings.HasPrefix(err.Error(), c.errs)):
			t.Errorf("%+v: %v\n%s\nwant %s\n%s", c.command, err, out, c.errs, c.out)
		}
	}
}

// TestMayHaveRun tells calls that may have run from all other errors.
func TestMayHaveRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind string
		want bool
	}{{"hang", true}, {"echo", false}, {"none", false}, {"panic", false}, {"account", false}} {
		_, err := runCommand(t, &fakeCluster{}, Command{Name: "call", Args: map[string]any{"id": "7", "message": "x", "kind": c.kind}, Timeout: time.Millisecond})
		if got := MayHaveRun(err); got != c.want {
			t.Errorf("%s: %v: %v", c.kind, err, got)
		}
	}
	if _, err := runCommand(t, &fakeCluster{}, Command{Name: "call", Args: map[string]any{"id": ""}}); err == nil || MayHaveRun(err) {
		t.Errorf("a bad id: %v", err)
	}
}

// TestCommandThatEnds has the context of a command end, and its output be lost.
func TestCommandThatEnds(t *testing.T) {
	t.Parallel()
	why := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	var out strings.Builder
	err := New(Config{Cluster: &fakeCluster{}, Out: &out}).RunCommand(ctx, Command{Name: "call", Args: map[string]any{"id": "7", "kind": "hang"}})
	if !errors.Is(err, why) || !MayHaveRun(err) {
		t.Errorf("%v", err)
	}
	err = New(Config{Cluster: &fakeCluster{}, Out: new(fullDisk)}).RunCommand(t.Context(), Command{Name: "node"})
	if !errors.Is(err, errLost) {
		t.Errorf("a full disk: %v", err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	out, err := runCommand(t, &fakeCluster{}, Command{Name: "status"})
	if err != ExitStatus(1) || !strings.HasPrefix(out, "attention  4@127.0.0.1 has failed 0s ago\nasked      1@127.0.0.1\n\nname ") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = runCommand(t, &fakeCluster{}, Command{Name: "status", Args: map[string]any{"own": true}, Format: FormatJSON})
	if err != nil || !strings.HasPrefix(out, `{"ok":true,"attention":[],"node":"1@127.0.0.1","leader":null,"lease":null,"versions":["test go1.26"],"nodes":[{"name":"1@127.0.0.1","state":"alive",`) {
		t.Errorf("%v\n%s", err, out)
	}
	well := node.NodeInfo{Member: node.Member{Name: "1@h"}, Version: "v1"}
	for _, c := range []struct {
		change func(*node.NodeInfo)
		want   []string // begins of lines
	}{
		{func(*node.NodeInfo) {}, []string{"status  all is well", "asked   1@h"}},
		{func(n *node.NodeInfo) { n.State, n.Since, n.Kept = node.StateFailed, 3*time.Second, time.Minute }, []string{"attention  1@h has failed 3s ago; its ids wait for another 1m0s for its return"}},
		{func(n *node.NodeInfo) { n.State, n.Since, n.Kept = node.StateFailed, 3*time.Second, worker.Forever }, []string{"attention  1@h has failed 3s ago\n"}},
		{func(n *node.NodeInfo) { n.State, n.Since = node.StateStuck, time.Second }, []string{"attention  1@h is stuck since 1s: it answers pings but no calls"}},
		{func(n *node.NodeInfo) { n.Problem = "out of\nreach" }, []string{"attention  1@h does not answer: out of reach"}},
		{func(n *node.NodeInfo) { n.Unready = "it was \u202edisconnected" }, []string{"attention  1@h is not ready: it was ?disconnected"}},
		{func(n *node.NodeInfo) { n.Stuck = 2 }, []string{"attention  1@h has 2 runs of sources that do not end"}},
		{func(n *node.NodeInfo) { n.Differs = []string{"a", "b"} }, []string{"attention  1@h has other kinds than the node asked, which should be the same: a, b"}},
		{func(n *node.NodeInfo) { n.Quorum = &worker.Quorum{Voters: []string{"2@h"}, Why: "no answer"} }, []string{"attention  1@h has no quorum of strict kinds: no answer", "leader     none that is seen here, of the voters 2@h"}},
		{func(n *node.NodeInfo) {
			n.Quorum = &worker.Quorum{Voters: []string{"1@h"}, Quorum: true, Leads: true, Lease: 2 * time.Second}
		}, []string{"leader  1@h, of the voters 1@h"}},
		{func(n *node.NodeInfo) { n.Name, n.Version = "2@h", "v2" }, []string{"versions  2: v1; v2"}},
	} {
		changed := well
		c.change(&changed)
		infos := []node.NodeInfo{changed}
		if changed.Name != well.Name {
			infos = []node.NodeInfo{well, changed}
		}
		a := statusOf("1@h", infos)
		text := "\n" + a.String() + "\n"
		for _, want := range c.want {
			if !strings.Contains(text, "\n"+want) {
				t.Errorf("%s has no line %q", text, want)
			}
		}
		if warned := strings.Contains(text, "attention "); a.bad != warned || a.bad == strings.Contains(text, "all is well") {
			t.Errorf("bad is %v for\n%s", a.bad, text)
		}
	}
	if a := statusOf("1@h", nil); !a.bad {
		t.Error("a node that is no member is well")
	}
}

// TestFollow follows events: some are missed, the node cannot be asked, and it starts anew.
func TestFollow(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	event := func(seq uint64, what string) []observe.Event {
		return []observe.Event{{Seq: seq, Time: at, Level: "warn", What: what, Node: "2@h", Why: "EOF"}}
	}
	ctx, stop := context.WithCancelCause(t.Context())
	c := &script{stop: stop, pages: []func() (observe.Events, error){
		func() (observe.Events, error) {
			return observe.Events{Node: "1@h", Run: 7, Last: 1, List: event(1, "node up")}, nil
		},
		func() (observe.Events, error) {
			return observe.Events{Run: 7, Last: 9, Missed: 4, List: event(6, "node down")}, nil
		},
		func() (observe.Events, error) {
			return observe.Events{Run: 7, Last: 9, List: event(9, "node left")}, nil
		},
		func() (observe.Events, error) {
			return observe.Events{}, wire.Errorf(wire.Unreachable, wire.NotRun, "x\ny")
		},
		func() (observe.Events, error) {
			return observe.Events{}, wire.Errorf(wire.Unreachable, wire.NotRun, "x\ny")
		},
		func() (observe.Events, error) { return observe.Events{Run: 7, Last: 9}, nil },
		func() (observe.Events, error) { return observe.Events{Run: 8, Last: 1, List: event(1, "again")}, nil },
	}}
	var out strings.Builder
	err := New(Config{Cluster: c, Out: &out}).RunCommand(ctx, Command{Name: "events", Args: map[string]any{"follow": true, "last": 1}})
	const want = `01-02 03:04:05  node up           2@h, EOF
CLOCK  events missed     1@h, they came faster than they were asked for, missed=4
01-02 03:04:05  node down         2@h, EOF
01-02 03:04:05  node left         2@h, EOF
CLOCK  events cannot be asked for, and are asked for again  1@h, unreachable: x y
CLOCK  events can be asked for again  1@h
CLOCK  the node has started anew; its last events before that may be missing  1@h
01-02 03:04:05  again             2@h, EOF
`
	if !errors.Is(err, errScript) || clocks(out.String()) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out.String(), want)
	}
	asked := fmt.Sprint(c.asked)
	if want := "[{ 1-0 0} {1@h 7-1 0} {1@h 7-6 0} {1@h 7-9 0} {1@h 7-9 0} {1@h 7-9 0} {1@h 7-9 0} {1@h 8-1 0}]"; asked != want {
		t.Errorf("it asks\n%s\nwant\n%s", asked, want)
	}
}

// clocks replaces times of this day.
func clocks(s string) string {
	return regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d`).ReplaceAllString(s, "CLOCK")
}

// A script is a cluster whose events come in pages, after which its caller is stopped.
type script struct {
	fakeCluster
	stop  context.CancelCauseFunc
	pages []func() (observe.Events, error)
	asked []observe.EventQuery
}

var errScript = errors.New("the script is at its end")

func (c *script) Events(ctx context.Context, q observe.EventQuery) (observe.Events, error) {
	c.asked = append(c.asked, q)
	if len(c.pages) == 0 {
		c.stop(errScript)
		return observe.Events{}, ctx.Err()
	}
	page := c.pages[0]
	c.pages = c.pages[1:]
	return page()
}

// TestCommandsAtATerminal has commands fit a terminal and be colored there, and top draw on
// it.
func TestCommandsAtATerminal(t *testing.T) {
	t.Parallel()
	s := startSession(t, &pty.Winsize{Rows: 24, Cols: 40}, "DISTPROC_TEST_COMMAND=status")
	s.wait(`^attention  4@127.0.0.1 has failed 0s ago\nasked      1@127.0.0.1\n\nname         state   uptime  ids    rate\n`)
	if err := <-s.done; err == nil || err.Error() != "exit status 1" {
		t.Errorf("%v", err)
	}
	if !strings.Contains(s.written(), "\x1b[33m") {
		t.Errorf("no color: %q", s.written())
	}
	s = startSession(t, &pty.Winsize{Rows: 24, Cols: 60}, "DISTPROC_TEST_COMMAND=top")
	s.wait(`^distproc top  4 nodes`)
	s.send("q")
	if err := <-s.done; err != nil {
		t.Errorf("%v", err)
	}
}

// TestFollowAtATerminal ends events that are followed by a key and by Ctrl-C. At a narrow
// terminal all that is said of an event goes on below.
func TestFollowAtATerminal(t *testing.T) {
	t.Parallel()
	for cols, want := range map[uint16]string{
		40: `\n01-02 \S+  node down  4@127.0.0.1,\n {16}EOF\n*$`,
		80: `\n01-02 \S+  node down         4@127.0.0.1, EOF\n*$`,
	} {
		s := startSession(t, &pty.Winsize{Rows: 24, Cols: cols})
		s.prompt("1", "")
		s.send("events(last=1, follow=True)\r")
		s.wait(want)
		s.send("q")
		s.prompt("2", "")
		s.send("events(last=1, follow=True)\r")
		s.wait(want)
		s.send("\x03")
		s.prompt("3", "") // Ctrl-C is a key, too
		s.send("exit()\r")
		s.left(0)
	}
}
