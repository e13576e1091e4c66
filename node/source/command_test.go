//go:build unix

package source

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"
	"time"
)

func ExampleCommand() {
	run, err := Command(`sh -c 'echo one; echo "two $1"' sh 'a b'`)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(run(context.Background()))
	// Output:
	// one
	// two a b <nil>
}

func TestCommand(t *testing.T) {
	t.Setenv("DISTPROC_COOKIE", "a-secret-72")
	for line, want := range map[string]string{
		"env":                         "TestCommand",
		"sh -c 'echo no >&2; exit 3'": "sh: exit status 3: no",
		"sh -c 'cat /dev/zero'":       "killed: it printed more than",
		"sh -c 'trap \"\" TERM; sleep 60 & wait'": "killed: context deadline exceeded",
	} {
		t.Setenv("COMMAND", "TestCommand")
		run, err := Command(line)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		out, err := run(ctx)
		cancel()
		if got := fmt.Sprint(out, err); !strings.Contains(got, want) || strings.Contains(got, "a-secret-72") {
			t.Errorf("%s: %.200s, want %q", line, got, want)
		}
		if line != "env" && err == nil {
			t.Errorf("%s succeeds", line)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	run, err := Command("true")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run(over); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, line := range []string{"", "''", "no-such-program-72", "echo {id}", "echo 'a", "echo \x00"} {
		if run, err := Command(line); err == nil {
			t.Errorf("%q is a command: %v", line, run != nil)
		}
	}
}
