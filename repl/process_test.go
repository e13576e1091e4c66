package repl

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Without a terminal on both sides there is no prompt and no escape sequence.
func TestNoTerminal(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DISTPROC_TEST_SHELL=1", "GORACE=atexit_sleep_ms=0")
	cmd.Stdin = strings.NewReader("connect()\nreqest(1)\n")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v, want exit status 1", err)
	}
	if bytes.ContainsAny(out, "\x1b>") || !bytes.HasPrefix(out, []byte("1@127.0.0.1  true\n")) {
		t.Errorf("%q", out)
	}
	if want := "<stdin>:2:1: undefined: reqest (did you mean request?)\n"; errs.String() != want {
		t.Errorf("%q, want %q", errs.String(), want)
	}
}

// A program whose input is a pipe ends on Ctrl-C, wherever it is.
func TestInterruptPipe(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"print('at')\nsleep(600)\n", "print('at')\n"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "DISTPROC_TEST_SHELL=1", "GORACE=atexit_sleep_ms=0")
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		io.WriteString(in, code)
		if line, _ := bufio.NewReader(out).ReadString('\n'); line != "at\n" {
			t.Errorf("%q", line)
		}
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("%q: %v, want exit status 130", code, err)
		}
	}
}
