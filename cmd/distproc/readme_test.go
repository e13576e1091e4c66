//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
)

// documents are the README files of the repository, each beside the code that it is
// about.
var documents = []string{
	"README.md", "repl/README.md", "cmd/distproc/README.md", "node/README.md", "node/gateway/README.md",
	"node/internal/quorum/model/README.md",
}

// notRun are the commands of the documents that no test here runs, by their beginning,
// with the reason.
var notRun = map[string]string{
	"git clone ":               "needs the network",
	"./demo.sh":                "a step of .ci/run, with the tests",
	"go test ./node/gossip ":   "measures for minutes",
	"go test ./node/internal/": "searches for minutes",
	"bash .ci/bench/members\n": "measures for minutes",
}

// TestReadme runs the scripts, sessions and programs of each document, from its beginning
// to its end, and compares their output.
func TestReadme(t *testing.T) {
	t.Parallel()
	for _, document := range documents {
		t.Run(document, func(t *testing.T) {
			t.Parallel()
			r := newReader(t, document)
			blocks := blocksOf(t, document)
			for i, b := range blocks {
				var output *block // of a script or a program: the text that follows it
				if i+1 < len(blocks) && blocks[i+1].language == "" {
					output = blocks[i+1]
				}
				switch b.language {
				case "console":
					r.session(b)
				case "sh":
					r.script(b, output)
				case "go":
					r.program(b, output)
				case "toml":
					r.kinds(b)
				case "":
					if i == 0 || blocks[i-1].language != "sh" && blocks[i-1].language != "go" {
						t.Errorf("%s: output of nothing; a session is a console block", b)
					}
				default:
					t.Errorf("%s: blocks of %s are not tested; use console, sh, go or toml", b, b.language)
				}
			}
		})
	}
}

// A block is the text between two fences of a document.
type block struct {
	document string
	line     int
	language string
	text     string
}

func (b *block) String() string { return fmt.Sprintf("%s:%d", b.document, b.line) }

func readDocument(t *testing.T, document string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../..", document))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// blocksOf returns the blocks of a document, without the indentation of those in lists.
func blocksOf(t *testing.T, document string) (blocks []*block) {
	t.Helper()
	var open *block
	indent := ""
	for i, line := range strings.Split(readDocument(t, document), "\n") {
		rest, fence := strings.CutPrefix(strings.TrimLeft(line, " "), "```")
		switch {
		case fence && open == nil:
			indent = line[:len(line)-len(rest)-3]
			open = &block{document: document, line: i + 1, language: rest}
		case fence:
			blocks = append(blocks, open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		}
	}
	return blocks
}

// A reader goes through a document in a folder of its own, with a loopback address of its own in
// place of each address of the document: nodes may run on those.
type reader struct {
	t        *testing.T
	dir      string
	there    *strings.Replacer // from addresses of the document to those of the test
	back     *strings.Replacer
	sessions int
}

func newReader(t *testing.T, document string) *reader {
	text := readDocument(t, document)
	for _, program := range []string{"sh", "curl", "xargs"} {
		if _, err := exec.LookPath(program); err != nil && strings.Contains(text, program+" ") {
			t.Skipf("%s needs %s: %v", document, program, err)
		}
	}
	r := &reader{t: t, dir: t.TempDir()}
	var there, back []string
	for _, host := range []string{"127.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		own := testHost()
		there, back = append(there, host, own), append(back, own, host)
	}
	r.there, r.back = strings.NewReplacer(there...), strings.NewReplacer(back...)
	binary, err := exec.LookPath("distproc")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(r.dir, "distproc")); err != nil {
		t.Fatal(err)
	}
	return r
}

// command returns a shell that runs a command line in the reader's folder, in a process group of
// its own, which ends with the test.
func (r *reader) command(line string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = r.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "DISTPROC_") || strings.HasPrefix(v, "XDG_")
	}), "HOME="+r.dir, "TMPDIR="+r.dir, fmt.Sprintf("XDG_STATE_HOME=%s/state%d", r.dir, r.sessions))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second
	r.t.Cleanup(func() {
		cancel()
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what goes on in the background
		}
	})
	return cmd
}

// fewer replaces numbers of calls in a script, and in its output, because each call takes
// several processes.
var fewer = strings.NewReplacer("seq 90 ", "seq 9 ", "     90 200\n", "      9 200\n", "seq 100 ", "seq 10 ", "\n500\n", "\n50\n")

// script pastes a script into a shell, and ends what it leaves in the background. Without
// -long its calls are fewer.
func (r *reader) script(b, output *block) {
	for begin, why := range notRun {
		if strings.HasPrefix(b.text, begin) {
			r.t.Logf("%s: not run: %s", b, why)
			return
		}
	}
	r.sessions++
	text, want := b.text, ""
	if output != nil {
		want = output.text
	}
	if !*long {
		text, want = fewer.Replace(text), fewer.Replace(want)
	}
	cmd := r.command(r.there.Replace(text) + "\njobs -p > jobs; [ ! -s jobs ] || kill $(cat jobs); wait")
	out, err := cmd.Output()
	if got := r.back.Replace(string(out)); err != nil || got != want {
		logs, _ := exec.Command("sh", "-c", "tail "+r.dir+"/*.log "+r.dir+"/*/*.log").CombinedOutput()
		r.t.Errorf("%s: %v: it prints\n%s\nwant\n%s\n%s", b, err, got, want, logs)
	}
}

// program runs a Go program in this module, with the build cache of the test.
func (r *reader) program(b, output *block) {
	if !*long {
		r.t.Logf("%s: not run, because it takes seconds to build; -long runs it", b)
		return
	}
	file := filepath.Join(r.dir, "main.go")
	if err := os.WriteFile(file, []byte(r.there.Replace(b.text)), 0o600); err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(r.t.Context(), "go", "run", file)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if got := r.back.Replace(string(out)); err != nil || output == nil || got != output.text {
		r.t.Errorf("%s: %v: it prints\n%s", b, err, got)
	}
}

var fileName = regexp.MustCompile(`^# (\S+\.toml)\n`)

// kinds has a node read a file of kinds, and keeps it for the sessions that follow if it begins
// with a comment that names it.
func (r *reader) kinds(b *block) {
	if _, err := parseKinds([]byte(b.text), b.String(), "1@127.0.0.1"); err != nil {
		r.t.Fatal(err)
	}
	if name := fileName.FindStringSubmatch(b.text); name != nil {
		if err := os.WriteFile(filepath.Join(r.dir, name[1]), []byte(b.text), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
}

// named returns the value of a flag in a command line, or "".
func named(flag, line string) string {
	_, rest, _ := strings.Cut(line, " "+flag+" ")
	value, _, _ := strings.Cut(rest, " ")
	return value
}

// nodeOf returns the address of the node that a command line starts, and of its gateway.
func nodeOf(t *testing.T, line string) (addrs []string) {
	a, err := placement.ParseAddr(named("--name", line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	addrs = append(addrs, a.HostPort())
	if web := named("--http", line); web != "" {
		addrs = append(addrs, web)
	}
	return addrs
}
