//go:build unix

package source

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

func TestExecHostileIDs(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, id := range []string{
		"7", "-7", "a b", "$(touch x);a|b&", "`touch x`", "; touch x", "a\ntouch x\n", "> x", "-n", "--help", "", " ",
		`'"\`, "*", "{id}", "%s", "~", "$HOME", "é", "\xff\x01\r", strings.Repeat("x", 256),
	} {
		want := strings.Join([]string{id, "<" + id + ">", id + id, "end"}, "\n")
		checkValue(t, "exec:printf '%s\n' {id} '<{id}>' \"{id}{id}\" end", id, want)
		checkValue(t, `exec:sh -c 'printf "%s|" "$DISTPROC_ID" "$1" $#' sh {id}`, id, id+"|"+id+"|1|")
	}
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("files appeared: %v, %v", files, err)
	}
	checkFails(t, "exec:touch x", "a\x00b", "touch: not run", "NUL")
	if _, err := os.Stat("x"); err == nil {
		t.Error("a program ran for an id with a NUL byte")
	}
}

func TestExecEnvironment(t *testing.T) {
	t.Setenv("DISTPROC_COOKIE", "a-secret-72")
	t.Setenv("DISTPROC_ID", "stale-72")
	t.Setenv("SOURCE_TEST", "kept")
	v, err := load(t, "exec:env", "a b")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(v.String(), "\n")
	for _, want := range []string{"DISTPROC_ID=a b", "DISTPROC_KIND=price", "DISTPROC_NODE=2@127.0.0.1", "SOURCE_TEST=kept"} {
		if !slices.Contains(lines, want) {
			t.Error("the environment lacks", want)
		}
	}
	for _, bad := range []string{"a-secret-72", "DISTPROC_COOKIE=", "stale-72"} {
		if strings.Contains(v.String(), bad) {
			t.Error("the environment has", bad)
		}
	}
	checkValue(t, "exec:cat", "7", "") // its input is empty
}

func TestExecNewline(t *testing.T) {
	t.Parallel()
	for printed, want := range map[string]string{
		``: "", `a`: "a", `a\n`: "a", `a\r\n`: "a", `\n`: "", `\r\n`: "",
		`a\n\n`: "a\n", `a\r\n\r\n`: "a\r\n", `a\r`: "a\r", `\na`: "\na", ` a `: " a ", `\000\377\n`: "\x00\xff",
	} {
		checkValue(t, "exec:printf '"+printed+"'", "7", want)
	}
}

func TestExecLimit(t *testing.T) {
	t.Parallel()
	const most = "head -c 1048576 /dev/zero"
	want := strings.Repeat("\x00", wire.MaxValue)
	checkValue(t, "exec:"+most, "7", want)
	checkValue(t, "exec:sh -c '"+most+"; echo'", "7", want)
	checkValue(t, `exec:sh -c '`+most+`; printf "\r\n"'`, "7", want)
	checkFails(t, "exec:head -c 1048577 /dev/zero", "7", "head: killed: it printed more than the 1048576 bytes")
	checkFails(t, `exec:sh -c '`+most+`; printf "a\n"'`, "7", "printed more than")
	checkFails(t, `exec:sh -c '`+most+`; printf "\n\n"'`, "7", "printed more than")

	// It is killed at once, or this would take a minute.
	checkFails(t, `exec:sh -c 'trap "" PIPE TERM; yes & yes >&2 & sleep 60; exit 0'`, "7", "printed more than")
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	calls := 0
	o := &output{full: func() { calls++ }}
	n, err := io.Copy(o, io.LimitReader(zeros{}, 64<<20))
	if err == nil || calls != 1 || n > 2<<20 || o.buf.Cap() > 4<<20 || !o.tooLong() {
		t.Errorf("%d bytes read, %v, %d calls, room for %d bytes", n, err, calls, o.buf.Cap())
	}
	h := &head{}
	if n, err := io.Copy(h, io.LimitReader(zeros{}, 64<<20)); err != nil || n != 64<<20 || cap(h.data) > 2*maxHead {
		t.Errorf("%d bytes read, %v, room for %d bytes", n, err, cap(h.data))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestExecFailures(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		`exit 3`: "sh: exit status 3",
		`echo out; echo bad >&2; echo more >&2; false`:  "sh: exit status 1: bad",
		`printf "\n \033[1mb\351d\a\r\n" >&2; exit 255`: "sh: exit status 255: [1mb\uFFFDd",
		`kill -KILL $$`: "sh: signal: killed",
		`head -c 9000000 /dev/zero | tr "\0" x >&2; exit 1`: "sh: exit status 1: " + strings.Repeat("x", 256) + "…",
	} {
		_, err := load(t, "exec:sh -c '"+script+"'", "7")
		var exit *exec.ExitError
		if err == nil || err.Error() != want || !errors.As(err, &exit) {
			t.Errorf("%s: error %q, want %q", script, err, want)
		}
	}
	checkValue(t, `exec:sh -c 'head -c 9000000 /dev/zero >&2; echo fine'`, "7", "fine")
}

func TestExecProgramGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("exec:"+path, testEnv); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Error("a program that cannot run:", err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	source := mustParse(t, "exec:"+path)
	t.Setenv("PATH", filepath.Dir(path)+":"+os.Getenv("PATH"))
	byName := mustParse(t, "exec:program")
	if v, err := byName(t.Context(), mustID(t, "7")); err != nil || v.String() != "here" {
		t.Error(v, err)
	}
	os.Remove(path)
	if _, err := source(t.Context(), mustID(t, "7")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error("a program that is gone:", err)
	}
	if _, err := byName(t.Context(), mustID(t, "7")); err == nil || !strings.Contains(err.Error(), "install it") {
		t.Error("a program that is gone from PATH:", err)
	}
}

func TestExecEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // in which it is started
	defer cancel()
	source := mustParse(t, "exec:sleep 60")
	for _, want := range []string{"sleep: killed: context deadline exceeded", "sleep: not started: context deadline exceeded"} {
		if _, err := source(ctx, mustID(t, "7")); !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
	}
}

func TestExecOutcome(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"gone": "#!/bin/sh\n", "private": "#!/bin/sh\n", "shebang": "#!/no/such/interpreter\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	gone := newTestNode(t, "exec:"+dir+"/gone", time.Minute)
	private := newTestNode(t, "exec:"+dir+"/private", time.Minute)
	os.Remove(dir + "/gone")
	os.Chmod(dir+"/private", 0)
	gone.checkOutcome("7", worker.OutcomeNotRun, "no such file")
	private.checkOutcome("7", worker.OutcomeNotRun, "make it executable")
	for _, c := range []struct {
		spec, id string
		timeout  time.Duration
		want     worker.Outcome
		text     string
	}{
		{"exec:" + dir + "/shebang", "7", time.Minute, worker.OutcomeNotRun, "no such file"},
		{"exec:echo {id}", "a\x00b", time.Minute, worker.OutcomeNotRun, "NUL"},
		{"exec:false", "7", time.Minute, worker.OutcomeRan, "exit status 1"},
		{"exec:yes", "7", time.Minute, worker.OutcomeRan, "printed more"},
		{"exec:sleep 60", "7", 2 * time.Second, worker.OutcomeRan, "the source took too long"},
		{"exec:sleep 60", "7", time.Nanosecond, worker.OutcomeNotRun, "the source did not begin in time"}, // its time is over before
	} {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			newTestNode(t, c.spec, c.timeout).checkOutcome(c.id, c.want, c.text)
		})
	}
}

// A program for which the process lacks files has not begun.
func TestExecOutOfFiles(t *testing.T) {
	source := newTestNode(t, "exec:true", time.Minute)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	tight := limit
	tight.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &tight); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	source.checkOutcome("7", worker.OutcomeNotRun, "raise the limits")
}

// Runs of all kinds leave no zombies and no open files.
func TestExecLeavesNothing(t *testing.T) {
	before := openFiles(t)
	for range 3 {
		checkValue(t, "exec:echo a", "7", "a")
		checkFails(t, "exec:false", "7", "exit status 1")
		checkFails(t, "exec:yes", "7", "printed more than")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		mustParse(t, "exec:sleep 60")(ctx, mustID(t, "7"))
		cancel()
	}
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d open files, before %d", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
