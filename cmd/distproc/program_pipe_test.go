//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestProgramFromPipe runs a program from a pipe, and ends a shell that waits for one.
func TestProgramFromPipe(t *testing.T) {
	t.Parallel()
	host := testHost()
	startNode(t, "1@"+host)
	for name, c := range map[string]struct {
		written bool // a program opens the pipe to write to it
		program string
		signal  os.Signal // if the program is never written
	}{
		"a program":              {true, "print(6 * 7)", nil},
		"SIGTERM":                {true, "", syscall.SIGTERM},
		"SIGINT":                 {true, "", os.Interrupt},
		"SIGTERM, and no writer": {false, "", syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pipe := filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("distproc", "repl", "--attach", "1@"+host, pipe)
			cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+t.TempDir())
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			if c.written {
				w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the shell to open it
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				if c.program != "" {
					w.WriteString(c.program)
					w.Close()
				}
			}
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			if c.signal != nil {
				select {
				case err := <-done:
					t.Fatalf("it ends by itself: %v", err)
				case <-time.After(300 * time.Millisecond): // so that it reads most likely
					cmd.Process.Signal(c.signal)
				}
			}
			select {
			case err := <-done:
				if c.signal == nil && err != nil {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Fatal("it still waits")
			}
		})
	}
}
