package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadmeUses pastes the example of the two uses into a shell, as a reader does.
func TestReadmeUses(t *testing.T) {
	for _, program := range []string{"sh", "curl", "xargs"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the example of the README needs %s: %v", program, err)
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "\n## Two uses\n")
	script, rest, _ := strings.Cut(after(text, "```sh\n"), "```")
	want, _, _ := strings.Cut(after(rest, "```\n"), "```")
	if script == "" || want == "" {
		t.Fatal("README.md has no such example")
	}
	host := testHost() // as 127.0.0.1 may have nodes already
	dir := t.TempDir()
	binary, err := exec.LookPath("distproc")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(dir, "distproc")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", strings.ReplaceAll(script, "127.0.0.1", host)+"\njobs -p > jobs; kill $(cat jobs); wait")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // nodes that go on
	out, err := cmd.Output()
	if got := string(out); err != nil || got != want {
		logs, _ := exec.Command("sh", "-c", "tail "+dir+"/*/*.log").CombinedOutput()
		t.Errorf("it prints\n%s%v; README says\n%s\n%s", got, err, want, logs)
	}
}

func after(text, mark string) string {
	_, rest, found := strings.Cut(text, mark)
	if !found {
		panic(fmt.Sprintf("no %q", mark))
	}
	return rest
}
