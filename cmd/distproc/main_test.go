package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var long = flag.Bool("long", false, "run what takes long, too: the tests of several hosts, and the whole load of others")

// TestMain puts this binary into the PATH as distproc. The tests mostly wait for
// processes, so more of them run at a time than there are processors.
func TestMain(m *testing.M) {
	if f := flag.Lookup("test.parallel"); f != nil && filepath.Base(os.Args[0]) != "distproc" {
		os.Setenv("DISTPROC_COOKIE", "the cookie of the tests") // of commands within the test
		// The command line, which is parsed later, goes before.
		if err := f.Value.Set(strconv.Itoa(4 * runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	testscript.Main(m, map[string]func(){"distproc": main})
}

// amount returns how much of something a test does: less without -long.
func amount(less, whole int) int {
	if *long {
		return whole
	}
	return less
}

const (
	patience    = time.Minute            // that a test waits for what must come
	processPoll = 100 * time.Millisecond // between two looks that each take a process
)

var hosts atomic.Int32

// testHost returns a loopback address of this test's own, so that nodes can have their
// usual ports.
func testHost() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid%250, pid/250%250, hosts.Add(1))
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOST", testHost())
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("DISTPROC_COOKIE", "the cookie of the tests")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "long" {
				return false, fmt.Errorf("no condition %q; say long", cond)
			}
			return *long, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"listening": listening, "hangup": hangup, "refused": refused, "retry": retry, "status": status,
		},
	})
}

// listening waits until something listens on each address.
func listening(ts *testscript.TestScript, neg bool, addrs []string) {
	for _, addr := range addrs {
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
				break
			}
			if time.Now().After(deadline) {
				ts.Fatalf("nothing listens: %v", err)
			}
		}
	}
}

// refused runs a command line that must be refused, STATUS distproc ARGS, and checks its
// exit status. It runs within the test, because a process for each takes too long.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // what starts in spite of all ends at once
	root := rootCommand()
	root.SetArgs(args[2:])
	root.SetOut(ts.Stdout())
	if status := exitStatus(root.ExecuteContext(ctx), ts.Stderr()); strconv.Itoa(status) != args[0] {
		ts.Fatalf("exit status %d, want %s", status, args[0])
	}
}

// hangup sends SIGHUP to a command in the background.
func hangup(ts *testscript.TestScript, neg bool, args []string) {
	for _, cmd := range ts.BackgroundCmds() {
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			ts.Fatalf("hangup: %v", err)
		}
	}
}

// retry runs a command until it prints what its last argument says.
func retry(ts *testscript.TestScript, neg bool, args []string) {
	want := args[len(args)-1] + "\n"
	for deadline := time.Now().Add(patience); ; time.Sleep(processPoll) {
		cmd := exec.Command(args[0], args[1:len(args)-1]...)
		cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "DISTPROC_COOKIE="+ts.Getenv("DISTPROC_COOKIE"))
		out, err := cmd.Output()
		if string(out) == want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q, %v; want %q", out, err, want)
		}
	}
}

// status makes a request, METHOD URL, with headers, NAME VALUE, and checks the status of
// the answer.
func status(ts *testscript.TestScript, neg bool, args []string) {
	req, err := http.NewRequest(args[1], args[2], nil)
	ts.Check(err)
	for header := range slices.Chunk(args[3:], 2) {
		if header[0] == "Host" {
			req.Host = header[1]
		}
		req.Header.Set(header[0], header[1])
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		ts.Fatalf("%s %s: %s %s, want %s", args[1], args[2], got, body, args[0])
	}
}
