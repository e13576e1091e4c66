//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An operator runs commands as a user types them, with folders of its own.
type operator struct {
	t     *testing.T
	env   []string
	state string // the folder where its nodes can be found
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	state := t.TempDir()
	env := append(os.Environ(), "HOME="+t.TempDir(), "XDG_STATE_HOME="+state, "DISTPROC_COOKIE=the cookie of the tests", "DISTPROC_ATTACH=")
	return &operator{t, env, filepath.Join(state, "distproc")}
}

// node runs a node for the operator until the test ends, and waits until commands find it.
func (o *operator) node(name string, args ...string) *process {
	o.t.Helper()
	p := startWith(o.t, o.env, append([]string{"node", "--name", name}, args...)...)
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if slices.ContainsFunc(localNodes(o.state), func(n localNode) bool { return n.name == name }) {
			return p
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("nobody finds %s:\n%s", name, p.log)
		}
	}
}

// command returns a command line. Words are separated by spaces.
func (o *operator) command(line string) *exec.Cmd {
	cmd := exec.Command("distproc", strings.Split(line, " ")...)
	cmd.Env = o.env
	return cmd
}

// run runs a command line, and returns what it prints and its exit status.
func (o *operator) run(line, input string) (out, errs string, status int) {
	o.t.Helper()
	cmd := o.command(line)
	cmd.Stdin = strings.NewReader(input)
	var text strings.Builder
	cmd.Stderr = &text
	printed, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok || ok && exit.ExitCode() < 0 {
		o.t.Fatalf("%s: %v", line, err)
	}
	return string(printed), text.String(), cmd.ProcessState.ExitCode()
}

const oneShotKinds = `
[kind.echo]
source = "exec:cat"
serial = true
ttl = "1m"
[kind.slow]
source = "exec:sleep 9"
serial = true
timeout = "20s"
[kind.raw]
source = "exec:printf '\\001\\377'"
[kind.named]
source = "exec:echo is {id}"
ttl = "forever"
[kind.broken]
source = "exec:sh -c 'echo not here >&2; exit 1'"
`

// TestOneShots runs each command against a node that it finds by itself.
func TestOneShots(t *testing.T) {
	t.Parallel()
	o, host := newOperator(t), testHost()
	if out, errs, status := o.run("status", ""); status != 1 || out != "" ||
		errs != "distproc: no node of yours runs on this machine; pass --attach NAME@HOST, or set DISTPROC_ATTACH\n" {
		t.Errorf("without a node: %d\n%s%s", status, out, errs)
	}
	kinds := filepath.Join(t.TempDir(), "kinds.toml")
	if err := os.WriteFile(kinds, []byte(oneShotKinds), 0o600); err != nil {
		t.Fatal(err)
	}
	name := "1@" + host
	o.node(name, "--config", kinds)
	for _, c := range []struct {
		line, input string
		out, errs   string // patterns of all that is printed
		status      int
	}{
		{line: "get a --kind named", out: `id  value  node\s+cached  degraded\na   is a   N  false   false\n`},
		{line: "get 7 a --kind named", out: `id  value  node\s+cached  degraded\n7   is 7   N  false   false\na   is a   N  true    false\n`},
		{line: "get 7 --kind named --json", out: `{"id":7,"value":"is 7","node":"N","cached":true,"degraded":false,"error":null,"stale":false,"via":null,"age":[\d.]+,"ttl":[\d.e+]+,"token":null}\n`},
		{line: "get 7 a --kind named --json", out: `\[{"id":7,.*},{"id":"a",.*}\]\n`},
		{line: `get "7" --kind named --json`, out: `{"id":"\\"7\\"",.*}\n`}, // with the quotes, which are text as any other
		{line: "get 07 --kind named --json", out: `{"id":"07",.*}\n`},
		{line: "get 7 --kind raw --raw", out: "\x01\xff"},
		{line: "get --kind named -- -7 -x", out: `id  .*\n-7  is -7 .*\n-x  is -x .*\n`},
		{line: "get --kind named -x", errs: `distproc: unknown shorthand flag: 'x' in -x; see distproc get --help; an id or a message that begins with - stands after --\n`, status: 2},
		{line: "get $(id) --kind named --raw", out: `is \$\(id\)`},
		{line: "get 7 --kind named --refresh", out: `id .*\n 7  is 7   N  false   false\n`},
		{line: "get 7 --kind broken", errs: `distproc: get\(7\): N: source failed: sh: exit status 1: not here \(ran\)\n`, status: 1},
		{line: "get 7 8 --kind broken", out: `id  error\n 7  N: source failed.*\n 8  .*\n`, errs: `distproc: get: 2 of 2 ids failed\n`, status: 1},
		{line: "get 7 8 --kind broken --json", out: `\[{"id":7,"value":null,.*"error":"N: source failed.*\]\n`, errs: `distproc: get: 2 of 2 ids failed\n`, status: 1},
		{line: "get 7 --kind none", errs: `distproc: get\(7\): N: unknown kind: "none" \(not run\)\n`, status: 1},
		{line: "get", errs: `distproc: distproc get: say the ID, or several\n`, status: 2},
		{line: "get 7 8 --raw", errs: `distproc: distproc get: --raw is for one id.*\n`, status: 2},
		{line: "get 7 --raw --json", errs: `distproc: pass --json or --raw, not both\n`, status: 2},
		{line: "get 7 --timeout 0s", errs: `distproc: --timeout 0s: it takes some time\n`, status: 2},
		{line: "get 7 --color pink", errs: `distproc: --color: "pink": say auto, always or never\n`, status: 2},
		{line: "get 7 --attach nowhere", errs: `distproc: --attach: node name "nowhere".*\n`, status: 2},
		{line: "get 7 --attach 9@H", errs: `distproc: unreachable: H:4379: connection refused\n`, status: 1},
		{line: "get 7 --kind named --attach N --color always", out: `id .*\n 7 .*\x1b\[36mN\x1b.*\n`},
		{line: "call echo 7 hello", out: `{"hello", N}\n`},
		{line: "call echo 7", out: `{"", N}\n`},
		{line: "call echo 7 - --raw", input: "two\nlines\n", out: "two\nlines"},
		{line: "call echo 7 hello --json", out: `{"value":"hello","node":"N","cached":false,.*}\n`},
		{line: "call echo 7 -", input: strings.Repeat("x", 1<<20+1), errs: `distproc: the message from the standard input: a message is at most 1048576 bytes\n`, status: 1},
		{line: "call echo 7 one two", errs: `distproc: distproc call: say .*, in quotes if it has spaces; not 4 words\n`, status: 2},
		{line: "call echo", errs: `distproc: distproc call: .*\n`, status: 2},
		{line: "call slow 7 x --timeout 300ms", errs: `distproc: call\(7\): N: deadline exceeded \(unknown\)\n`, status: 3},
		{line: "call named 7 x", errs: `distproc: call\(7\): N: bad request: .* \(not run\)\n`, status: 1},
		{line: "call none 7 x", errs: `distproc: call\(7\): N: unknown kind: .* \(not run\)\n`, status: 1},
		{line: "invalidate 7 b --kind named", out: `id  invalidated\n7   true\nb   false\n`},
		{line: "invalidate a --kind named --json", out: `{"id":"a","invalidated":true,"error":null}\n`},
		{line: "why 7 --kind named", out: `id +7, of kind named, .*\nowner +N \(alive\)\n(.*\n)+`},
		{line: "why 7 --json", out: `{"id":7,"kind":"default","owner":"N","rule":"7 mod 1 = 0",.*}\n`},
		{line: "why 7 8", errs: `distproc: distproc why: say one ID, not 2\n`, status: 2},
		{line: "status", out: `status  all is well\nasked   N\n\nname .*  version\nN  alive .*\n`},
		{line: "status --self --json", out: `{"ok":true,"attention":\[\],"node":"N","leader":null,"lease":null,"versions":\[".*"\],"nodes":\[{"name":"N","state":"alive","since":[\d.]+,.*}\]}\n`},
		{line: "events --text stopped", out: `no events\n`},
		{line: "events --json --last 0", out: `\[\]\n`},
		{line: "events --last -1", errs: `distproc: --last -1: say how many events, from 0 up\n`, status: 2},
		{line: "events --since -1s", errs: `distproc: --since -1s: .*\n`, status: 2},
		{line: "events --node 9@H", errs: `distproc: events\(\): .*unreachable.*\n`, status: 1},
		{line: "__complete get 7 --kind ", out: `broken\ndefault\necho\nnamed\nraw\nslow\n:36\n`, errs: `.*\n`},
		{line: "__complete call e", out: `echo\n:36\n`, errs: `.*\n`},
		{line: "__complete call echo ", out: `07\n7\n:36\n`, errs: `.*\n`}, // not the ids -7 and $(id), nor "7" with quotes
		{line: "__complete call echo 7 ", out: `:36\n`, errs: `.*\n`},
		{line: "__complete why 0", out: `07\n:36\n`, errs: `.*\n`},
		{line: "__complete events --node ", out: `N\n:36\n`, errs: `.*\n`},
		{line: "__complete events --attach ", out: `N\n:36\n`, errs: `.*\n`},
		{line: "__complete get --attach 9@H ", out: `:36\n`, errs: `.*\n`},
		{line: "top", errs: `distproc: top: there is no terminal to watch at; .*\n`, status: 1},
	} {
		inTest := strings.NewReplacer("N", name, "H", host)
		pattern := func(s string) *regexp.Regexp {
			s = strings.NewReplacer("N", regexp.QuoteMeta(name), "H", regexp.QuoteMeta(host)).Replace(s)
			return regexp.MustCompile("^(?:" + s + ")$")
		}
		out, errs, status := o.run(inTest.Replace(c.line), c.input)
		if strings.HasPrefix(c.out, "\x01") && out == c.out { // no text
			continue
		}
		if !pattern(c.out).MatchString(out) || !pattern(c.errs).MatchString(errs) || status != c.status {
			t.Errorf("%s: status %d, want %d\n%q\n%q", c.line, status, c.status, out, errs)
		}
	}
}

// TestWhichNode has several nodes, of which one dies without a word.
func TestWhichNode(t *testing.T) {
	t.Parallel()
	o, host := newOperator(t), testHost()
	one, two := "1@"+host, "2@"+host
	p := o.node(one)
	o.node(two, "--join", one)
	await := func(line, want string, status int) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(processPoll) {
			out, errs, got := o.run(line, "")
			if got == status && strings.Contains(out+errs, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: status %d\n%s%s", line, got, out, errs)
			}
		}
	}
	await("status", "2 nodes of yours run on this machine; pass --attach with one of "+one+", "+two, 2)
	await("status --attach "+two, "all is well", 0)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await("status", "attention  "+one+" has failed", 1)
	await("status --self", "all is well", 0) // as for a container, which nobody should restart
	o.env = append(o.env, "DISTPROC_ATTACH="+one)
	await("status --self", "connection refused", 1)
	o.env = append(o.env, "DISTPROC_ATTACH="+two)
	await("status --self", "all is well", 0)
}

// TestUnjoined has a node that waits for the one to join: it is not ready, and says so.
func TestUnjoined(t *testing.T) {
	t.Parallel()
	o, host := newOperator(t), testHost()
	o.node("2@"+host, "--join", "1@"+host)
	for deadline := time.Now().Add(patience); ; time.Sleep(processPoll) {
		out, errs, status := o.run("status --self", "")
		want := "attention  2@" + host + " is not ready: it has not joined the cluster of 1@" + host + " yet\n"
		if strings.HasPrefix(out, want) && errs == "" && status == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("status %d\n%s%s", status, out, errs)
		}
	}
}

// TestLocalNodes looks at files that no node has locked.
func TestLocalNodes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a[*?")
	withdraw, err := announce(dir, "1@[::1]", "[::1]:4371")
	if err != nil {
		t.Fatal(err)
	}
	left, err := announce(dir, "2@127.0.0.1", "127.0.0.1:4372")
	if err != nil {
		t.Fatal(err)
	}
	left()
	for path, text := range map[string]string{"3@a:1/running": "a:1\n", "4@a:1/members": "", "5@a:1/running/x": "", "x/running": "a:1\n"} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "6@a:1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "6@a:1", runningFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if list := localNodes(dir); fmt.Sprint(list) != "[{1@[::1] [::1]:4371}]" {
		t.Errorf("%v", list)
	}
	if _, err := announce(dir, "1@[::1]", "[::1]:4371"); err == nil {
		t.Error("two nodes have one file")
	}
	withdraw()
	if list := localNodes(dir); len(list) > 0 {
		t.Errorf("%v", list)
	}
	if withdraw, err = announce(dir, "1@[::1]", "[::1]:1"); err != nil {
		t.Fatal(err)
	}
	defer withdraw()
	if list := localNodes(dir); fmt.Sprint(list) != "[{1@[::1] [::1]:1}]" {
		t.Errorf("after a longer address: %v", list)
	}
	all := filepath.Join(dir, "all")
	for name, addr := range map[string]string{"1@h": "0.0.0.0:4371", "2@h": "[::]:4372", "3@h": "localhost:4373"} {
		withdraw, err := announce(all, name, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer withdraw()
	}
	if list := localNodes(all); fmt.Sprint(list) != "[{1@h 127.0.0.1:4371} {2@h [::1]:4372} {3@h localhost:4373}]" {
		t.Errorf("%v", list)
	}
	if list := localNodes(filepath.Join(dir, "none")); len(list) > 0 {
		t.Errorf("%v", list)
	}
}

// TestFollowedEvents follows the events of a node that is killed and started again, until
// Ctrl-C and until nobody reads them.
func TestFollowedEvents(t *testing.T) {
	t.Parallel()
	o, host := newOperator(t), testHost()
	name := "1@" + host
	p := o.node(name)
	cmd := o.command("events -f --json --attach " + name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs lockedText
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	read := func(want string) {
		t.Helper()
		for lines.Scan() {
			var e struct{ Time, Event, Node string }
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Time == "" {
				t.Fatalf("%s: %v", lines.Text(), err)
			}
			if strings.HasPrefix(e.Event, want) {
				return
			}
		}
		t.Fatalf("it ends before %s: %v\n%s", want, lines.Err(), &errs)
	}
	second := o.node("2@"+host, "--join", name)
	read("node up")
	p.cmd.Process.Kill()
	p.cmd.Wait()
	second.cmd.Process.Kill() // or the client would go to it
	second.cmd.Wait()
	read("events cannot be asked for, and are asked for again")
	o.node(name)
	read("the node has started anew; its last events before that may be missing")
	o.node("3@"+host, "--join", name)
	read("node up")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v\n%s", err, &errs)
	}

	cmd = o.command("events -f --attach " + name)
	if out, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "  ") {
		t.Errorf("%q, %v", line, err)
	}
	out.Close()
	err = cmd.Wait() // although nothing happens that it could write
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGPIPE {
		t.Errorf("without a reader: %v", err)
	}
}

// TestEventsOfTheProgram has an HTTP request be refused, and a file of kinds be wrong: both
// are events of the node.
func TestEventsOfTheProgram(t *testing.T) {
	t.Parallel()
	o, host := newOperator(t), testHost()
	dir := t.TempDir()
	kinds, token := filepath.Join(dir, "kinds.toml"), filepath.Join(dir, "token")
	for path, text := range map[string]string{kinds: oneShotKinds, token: "a-token-of-20-bytes.\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := o.node("1@"+host, "--config", kinds, "--http", host+":8080", "--http-token-file", token)
	res, err := http.Get("http://" + host + ":8080/v1/nodes")
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatal(res, err)
	}
	res.Body.Close()
	if err := os.WriteFile(kinds, []byte("[kind"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"request refused Unauthorized, from=", "the kinds and settings stay as they are"} {
		for deadline := time.Now().Add(patience); ; time.Sleep(processPoll) {
			out, errs, status := o.run("events", "")
			if strings.Contains(strings.Join(strings.Fields(out), " "), want) && status == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("no event %s: %d\n%s%s", want, status, out, errs)
			}
		}
	}
}
