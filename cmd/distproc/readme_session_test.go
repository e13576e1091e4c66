//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

var promptLine = regexp.MustCompile(`^distproc\(\S+\)\d+> (.*)$`)

// session runs the commands of a block: lines that begin with "$ ". Nodes run until the
// end of the block. A shell reads the lines after its prompts. The output of each command
// is compared, except for what differs each time.
func (r *reader) session(b *block) {
	r.sessions++
	var nodes []*exec.Cmd
	var names []string
	joins := false
	commands := strings.Split("\n"+strings.TrimSuffix(b.text, "\n"), "\n$ ")
	if commands[0] != "" {
		r.t.Errorf("%s: it does not begin with a command", b)
	}
	for _, c := range commands[1:] {
		line, want, _ := strings.Cut(c, "\n")
		line = r.there.Replace(strings.TrimSuffix(strings.TrimSpace(line), "&"))
		if strings.HasPrefix(line, "distproc node ") {
			if want != "" {
				r.t.Errorf("%s: what a node prints is not compared: %s", b, want)
			}
			nodes = append(nodes, r.node(line))
			names = append(names, named("--name", line))
			joins = joins || named("--join", line) != ""
			continue
		}
		if joins && !r.awaitCluster(names) {
			return
		}
		joins = false
		r.foreground(b, line, want, names)
	}
	if joins {
		r.awaitCluster(names)
	}
	for _, n := range nodes {
		_ = n.Process.Signal(syscall.SIGTERM)
	}
	for _, n := range nodes {
		if err := n.Wait(); err != nil {
			r.t.Errorf("%s: %v: %v\n%s", b, n.Args, err, n.Stderr)
		}
	}
}

// node starts a node and waits until it listens.
func (r *reader) node(line string) *exec.Cmd {
	cmd := r.command("exec " + line)
	cmd.Stderr = new(bytes.Buffer)
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	for _, addr := range nodeOf(r.t, line) {
		if !r.await(line+" to listen", func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
			}
			return err == nil
		}) {
			r.t.Fatal(cmd.Stderr)
		}
	}
	return cmd
}

// awaitCluster waits until nodes are members of one cluster, and all of them know it. A
// shell on each node looks many times, as each shell is a process.
func (r *reader) awaitCluster(names []string) bool {
	for _, name := range names {
		look := fmt.Sprintf(`for _ in range(100):
  if len(nodes()) == %d: break
  sleep(0.05)
print(len(nodes()))`, len(names))
		if !r.await(name+" to join", func() bool {
			out, _ := r.command("exec ./distproc repl --attach " + name + " -e '" + look + "'").Output()
			return string(out) == fmt.Sprintln(len(names))
		}) {
			return false
		}
	}
	return true
}

// await waits for a condition.
func (r *reader) await(what string, done func() bool) bool {
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(processPoll) {
		if time.Now().After(deadline) {
			r.t.Errorf("it waited in vain for %s", what)
			return false
		}
	}
	return true
}

// A typist types the lines of a session. Like a person, it takes so long for the line
// after a connect or a start that all nodes know of each other by then.
type typist struct {
	lines []string
	waits bool
	await func()
}

func (t *typist) Read(p []byte) (n int, err error) {
	if t.waits {
		t.await()
	}
	if len(t.lines) == 0 {
		return 0, io.EOF
	}
	line := t.lines[0] + "\n" // shorter than any p
	t.lines, t.waits = t.lines[1:], strings.HasPrefix(line, "connect(")
	return copy(p, line), nil
}

// foreground runs a command to its end, beside nodes, and compares what it prints.
func (r *reader) foreground(b *block, line, want string, nodes []string) {
	in := &typist{waits: named("--join", line) != "" && named("--name", line) != ""}
	in.await = func() { r.awaitCluster(append(slices.Clip(nodes), named("--name", line))) }
	for l := range strings.SplitSeq(want, "\n") {
		if prompt := promptLine.FindStringSubmatch(l); prompt != nil {
			in.lines = append(in.lines, r.there.Replace(prompt[1]))
		}
	}
	if len(in.lines) > 0 {
		line += " --echo" // shows prompts and lines, as a terminal does
	}
	line = strings.Replace(line, "--duration 5s", "--duration 500ms", 1)
	cmd := r.command("PATH=.:$PATH; " + line)
	cmd.Stdin = in
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	got := r.back.Replace(string(out))
	if err != nil || masked(line, got) != masked(line, want) {
		r.t.Errorf("%s: %s: %v\n%s\nit prints\n%s\nwant\n%s\nor, without what differs,\n%s\nfor\n%s",
			b, line, err, errs.String(), got, want, masked(line, got), masked(line, want))
	}
}

// differs lists what differs each time, and the sign that replaces it in a comparison.
var differs = []struct {
	pattern *regexp.Regexp
	sign    string
}{
	{regexp.MustCompile(`\b(\d+(\.\d+)?(µs|ms|s|m|h))+\b`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "CLOCK"},
	{regexp.MustCompile(`_ms":\d+`), `_ms":N`},
	{regexp.MustCompile(`\{\d+, `), "{N, "},       // values of the source random
	{regexp.MustCompile(`"value":\d+`), "N"},      //
	{regexp.MustCompile(`\d+(\.\d+)?/s`), "RATE"}, // of requests
	{regexp.MustCompile(`seed \d+`), "seed N"},
	{regexp.MustCompile(`"(age|ttl)":[\d.]+`), `"TIME"`},
	{regexp.MustCompile(`devel (HEX )?go\S+`), "VERSION"},
	{regexp.MustCompile(`\b[0-9a-f]{10,16}\b`), "HEX"},
	{regexp.MustCompile(` +`), " "},
}

// ofBench matches what also differs in the output of bench: all numbers, and the picture
// after them.
var ofBench = regexp.MustCompile(`(?s)\n\n.*| [\d.]+`)

func masked(line, text string) string {
	for _, d := range differs {
		text = d.pattern.ReplaceAllString(text, d.sign)
	}
	if strings.HasPrefix(line, "distproc bench ") {
		text = ofBench.ReplaceAllString(text, " N")
	}
	return strings.TrimSpace(text)
}
