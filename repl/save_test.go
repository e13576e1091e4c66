//go:build unix

package repl

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// TestSave writes what worked in a session, which runs again as a program.
func TestSave(t *testing.T) {
	t.Chdir(t.TempDir())
	in := "x = 1\ndef f(n):\n  # more\n\n  return n + x\n\nnode = 3\nf(1)\n_ + 10\nh = _\ndel(node)\nsave('s.star')\nif node() and h == 12:\n  print('right')\n\nsave('s.star', force=True)\n"
	out, errs, err := run(t, Config{}, in)
	if want := "2\n12\n(7 inputs in s.star; load(\"s.star\") runs what is in it)\nright\n(8 inputs in s.star; load(\"s.star\") runs what is in it)\n"; out != want || errs != "" || err != nil {
		t.Fatalf("%v %s%s, want %s", err, out, errs, want)
	}
	data, err := os.ReadFile("s.star")
	if want := "x = 1\ndef f(n):\n  # more\n\n  return n + x\nnode = 3\nf(1)\n_ + 10\nh = _\ndel(node)\nif node() and h == 12:\n  print('right')\n"; string(data) != want || err != nil {
		t.Errorf("%v\n%s\nwant\n%s", err, data, want)
	}
	if info, err := os.Stat("s.star"); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info.Mode(), err)
	}
	if out, errs, err := run(t, Config{}, "'mine'\nload('s.star')\nx, h, _\n"); out != "\"mine\"\nright\n(1, 12, \"mine\")\n" || errs != "" || err != nil {
		t.Errorf("loaded: %v %s%s", err, out, errs)
	}
	var file bytes.Buffer
	if err := New(Config{Cluster: &fakeCluster{}, Out: &file, Err: os.Stderr}).RunProgram(t.Context(), "s.star", bytes.NewReader(data)); err != nil || file.String() != "2\n12\nright\n" {
		t.Errorf("run: %v %s", err, &file)
	}
}

// TestSaveRefuses has files that save does not write, and leaves them as they are.
func TestSaveRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("old", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Symlink("old", "link")
	syscall.Mkfifo("pipe", 0o600)
	for in, want := range map[string]string{
		"x = 1\nsave('old')":              "save: old exists; force=True replaces it",
		"x = 1\nsave('link', force=True)": "save: link is not a regular file",
		"x = 1\nsave('pipe', force=True)": "save: pipe is not a regular file",
		"x = 1\nsave('/', force=True)":    "save: / is not a regular file",
		"x = 1\nsave('none/s')":           "save: none/s: no such file or directory",
		"save('new')":                     "save: nothing was typed yet that worked",
		"x = '" + strings.Repeat("x", maxSource/2) + "'\nx = '" + strings.Repeat("y", maxSource/2) + "'\nsave('new')": "save: more than 1 MiB was typed, which load could not run",
	} {
		_, errs, err := run(t, Config{}, in)
		if !strings.HasSuffix(errs, ": "+want+"\n") || err != ExitStatus(1) {
			t.Errorf("%.40q: %v %s, want %s", in, err, errs, want)
		}
	}
	if data, _ := os.ReadFile("old"); string(data) != "mine" {
		t.Errorf("the file is %q now", data)
	}
	if entries, _ := os.ReadDir("."); len(entries) != 3 {
		t.Errorf("files are left: %v", entries)
	}
}

// TestSaveAtATerminal leaves out what failed, and edit and save themselves.
func TestSaveAtATerminal(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := startSession(t, &pty.Winsize{Rows: 40, Cols: 100})
	s.prompt("1", "")
	s.send("x = 1\rnosuch\rx = = 1\r" + pasteBegin + "def f():\r\treturn 'a\tb'\r\rf()\r" + pasteEnd)
	s.wait(`\n"a\\tb"\n`)
	s.send("save('s')\r")
	s.wait(`\n\(3 inputs in s; load\("s"\) runs what is in it\)\n`)
	if data, err := os.ReadFile("s"); string(data) != "x = 1\ndef f():\n\treturn 'a\tb'\nf()\n" {
		t.Errorf("%q, %v", data, err)
	}
}
