//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/voters"
)

// voterTest is a cluster of voters, each a process with a data directory.
type voterTest struct {
	t     *testing.T
	dir   string
	names []string
	nodes map[string]*process
}

func newVoterTest(t *testing.T) *voterTest {
	host := testHost()
	v := &voterTest{t: t, dir: t.TempDir(), nodes: map[string]*process{}}
	for _, n := range []string{"1", "2", "3"} {
		v.names = append(v.names, n+"@"+host)
	}
	return v
}

func (v *voterTest) start(names ...string) {
	v.t.Helper()
	for _, name := range names {
		all := strings.Join(v.names, ",")
		v.nodes[name] = startNode(v.t, name, "--join", all, "--voters", all, "--data-dir", filepath.Join(v.dir, name), "--timing", "local")
	}
}

func (v *voterTest) kill(names ...string) {
	for _, name := range names {
		_ = v.nodes[name].cmd.Process.Kill()
		_ = v.nodes[name].cmd.Wait()
	}
}

// run runs distproc voters, and returns what it prints and its exit status.
func (v *voterTest) run(args ...string) (out string, status int) {
	v.t.Helper()
	cmd := exec.Command("distproc", append([]string{"voters"}, args...)...)
	cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+v.dir)
	text, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(text), exit.ExitCode()
	} else if err != nil {
		v.t.Fatal(err)
	}
	return string(text), 0
}

func (v *voterTest) want(status int, want string, args ...string) {
	v.t.Helper()
	if out, got := v.run(args...); got != status || !strings.Contains(out, want) {
		v.t.Errorf("voters %s: status %d, %s\nwant %d, %s", strings.Join(args, " "), got, out, status, want)
	}
}

// await asks a node until what it says of the voters has the wanted words. On a busy machine
// the voters may be without a leader for a moment.
func (v *voterTest) await(status int, want, at string, args ...string) {
	v.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(processPoll) {
		out, got := v.run(append(args, "--attach", at)...)
		if got == status && strings.Contains(out, want) {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("status %d, %s\nwant %d, %s", got, out, status, want)
		}
	}
}

// TestVoters replaces a voter that has lost its disk, and makes one the only one when the others
// are gone.
func TestVoters(t *testing.T) {
	t.Parallel()
	v := newVoterTest(t)
	one, two, three := v.names[0], v.names[1], v.names[2]
	v.start(v.names...)
	v.await(0, "3 of 3 answer, and 2 are needed", one)

	v.kill(three)
	if err := os.RemoveAll(filepath.Join(v.dir, three)); err != nil {
		t.Fatal(err)
	}
	v.start(three)
	v.await(0, "its data directory is new; remove it and add it again", two)
	v.want(1, "is a voter with another data directory", "add", three, "--attach", two)
	v.want(0, three+" is no voter any more\n", "remove", three, "--attach", two)
	v.want(0, "2 voters tolerate no more losses than 1: add or remove one", "--attach", three)
	v.want(0, three+" is a voter now\n", "add", three, "--attach", three)
	v.want(1, three+" is a voter already", "add", three, "--attach", one)
	v.await(0, "3 of 3 answer", three, "list")
	var r voters.Report
	for deadline := time.Now().Add(patience); ; time.Sleep(processPoll) {
		out, _ := v.run("--json", "--attach", two)
		if r = (voters.Report{}); json.Unmarshal([]byte(out), &r) == nil && len(r.Voters) == 3 && r.Quorum() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s", out)
		}
	}

	data := []string{"recover", "--name", two, "--data-dir", filepath.Join(v.dir, two)}
	v.want(1, "a process uses it; stop the node first", data...)
	v.kill(one, three)
	v.await(1, "1 of 3 answers, and 2 are needed\nbring the others back; if their disks are lost: distproc voters recover --help\n", two)
	v.want(1, "no voter leads: 1 of 3 answers", "remove", one, "--attach", two, "--timeout", "3s")
	v.kill(two)
	v.want(1, "nothing was changed; pass --yes-the-others-are-gone", data...)
	v.want(1, "it belongs to "+two, "recover", "--name", one, "--data-dir", filepath.Join(v.dir, two))
	v.want(0, two+" is the only voter.", append(data, "--yes-the-others-are-gone")...)
	v.want(1, "there is nothing to recover", append(data, "--yes-the-others-are-gone")...)
	v.start(two)
	v.await(0, "1 of 1 answers, and 1 is needed", two)
	v.start(one, three) // which must not be
	v.await(0, "its data directory is of before the voters were recovered", three)
	for _, name := range []string{one, three} {
		log, deadline := v.nodes[name].log, time.Now().Add(patience)
		for log.count("the voters were recovered without this one") == 0 && time.Now().Before(deadline) {
			time.Sleep(processPoll) // others may know it before
		}
		if log.count("the voters were recovered without this one") != 1 {
			t.Errorf("%s says: %s", name, log)
		}
	}
	v.want(1, "add it then", "add", one, "--attach", two)
}

// TestVotersUsage gives distproc voters command lines that make no sense.
func TestVotersUsage(t *testing.T) {
	t.Parallel()
	v := newVoterTest(t)
	for _, test := range []struct {
		args   string
		status int
		want   string
	}{
		{"", 1, "no node of yours runs on this machine; pass --attach NAME@HOST"},
		{"ad 1@a", 2, `no command "ad" of distproc voters; did you mean add?`},
		{"xyz", 2, "see distproc voters --help"},
		{"add", 2, "takes the NAME@HOST of one node, not 0"},
		{"add 1 --attach 1@127.0.0.1", 2, "no @"},
		{"add 1@a 2@a", 2, "not 2"},
		{"add 1@a --attach nonsense", 2, "nonsense"},
		{"list x", 2, "takes no argument"},
		{"add 1@a --attach 1@127.0.0.1 --timeout -1s", 2, "--timeout"},
		{"recover", 2, "pass --name NAME@HOST"},
		{"recover --name x", 2, "no @"},
		{"recover --name 1@a --data-dir /nowhere", 1, "data directory /nowhere: no voter has used it"},
		{"recover --name 1@a", 1, "no voter has used it"},
	} {
		v.want(test.status, test.want, strings.Fields(test.args)...)
	}
	n := startNode(t, v.names[0])
	v.want(1, "the node was started without voters", "--attach", v.names[0])
	v.want(1, "ask one that was started with --voters", "add", v.names[0], "--attach", v.names[0])
	_ = n
	startNode(t, v.names[1], "--voters", v.names[1], "--data-dir", t.TempDir(), "--join", v.names[0], "--timing", "local")
	v.await(0, "1 of 1 answers", v.names[1])
	v.want(1, v.names[0]+" was started without --voters. Start it with --join, and with its own name among its --voters", "add", v.names[0], "--attach", v.names[1])
	v.want(1, v.names[2]+" does not answer: unreachable: no member of the cluster. Start it with", "add", v.names[2], "--attach", v.names[1])
	for _, args := range []string{"add", "remove", "list", "recover"} { // names of files are no names of nodes
		out, err := exec.Command("distproc", "__complete", "voters", args, "").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "ShellCompDirectiveNoFileComp") {
			t.Errorf("completion of voters %s: %s, %v", args, out, err)
		}
	}
}

// TestVotersGiveUp asks a node that accepts a connection and says nothing: --timeout bounds
// that, too.
func TestVotersGiveUp(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	v := voterFlags{attach: l.Addr().String(), timeout: time.Millisecond}
	v.cookieFile = filepath.Join(t.TempDir(), "cookie")
	if err := os.WriteFile(v.cookieFile, []byte(strings.Repeat("c", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, _, _, err := v.client(t.Context()); err == nil {
		t.Error("attached to a node that says nothing")
	}
	if took := time.Since(began); took > 2500*time.Millisecond { // an attempt may take 3 s
		t.Errorf("it gave up after %v", took)
	}
}

// TestHostileVoters prints a report with texts that do harm in a terminal.
func TestHostileVoters(t *testing.T) {
	t.Parallel()
	const hostile = "x\x1b]0;title\x07\u202ey"
	var out strings.Builder
	err := printVoters(&out, &voters.Report{Leader: hostile, Count: 1, Voters: []voters.Voter{{Name: hostile, Problem: hostile, Given: []string{hostile}}}})
	if err != nil || strings.ContainsAny(out.String(), "\x1b\x07\u202e") || !strings.Contains(out.String(), "x?]0;title??y leads") {
		t.Errorf("%v %q", err, out.String())
	}
}
