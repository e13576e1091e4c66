//go:build unix

package repl

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// editWith returns the path of an editor: a program of the shell, which gets a file.
func editWith(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "editor")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+program+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestEditTyped edits a line and a block while they are typed. They come back to the
// prompt, and nothing runs before Enter.
func TestEditTyped(t *testing.T) {
	t.Parallel()
	s := startSession(t, &pty.Winsize{Rows: 40, Cols: 100}, "VISUAL=", "EDITOR="+editWith(t, `sed -i s/one/two/ "$1"; echo edited`)+" ")
	s.prompt("1", "")
	s.send("x = 'one'\x1b[D\x18\x05")
	s.wait(`1> x = 'one'\nedited\ndistproc\S+1> x = 'two'$`)
	s.send(" + '!'\r")
	s.prompt("2", "")
	s.send("if x == 'two!':\r  print(x)\relse:\r  print('one')\x18\x05")
	s.wait(`\nedited\ndistproc\S+2> if x == 'two!':⏎  print\(x\)⏎else:⏎  print\('two'\)$`)
	s.send("\r")
	s.wait(`\ntwo!\ndistproc\S+3>$`)
	s.send("\x1b[A\x18\x05") // a block of the history
	s.wait(`\nedited\ndistproc\S+3> if x == 'two!':⏎  print\(x\)⏎else:⏎  print\('two'\)$`)
	s.send("\x03")
	s.prompt("3", "")
	s.send("\x18x\x05y\x18\x18\x05") // Ctrl-X does nothing before other keys
	s.wait(`\nedited\ndistproc\S+3> xy$`)
	s.send("\x03exit()\r")
	s.left(0)
}

// TestEditCommand edits the last input, also one that failed, the input of a prompt, and a
// function.
func TestEditCommand(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("f.star", []byte("x = 1\ndef g():\n  # one\n  return 'one'\n\ny = 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSession(t, &pty.Winsize{Rows: 60, Cols: 100}, "VISUAL="+editWith(t, `sed -i s/one/two/ "$1"`), "EDITOR=false")
	s.prompt("1", "")
	s.send("edit()\r")
	s.prompt("2", "")
	s.send("nosuch('one'\r)\r") // a mistake
	s.wait(`NameError.*\n(.*\n)*distproc\S+2>$`)
	s.send("edit\r")
	s.prompt("3", `nosuch('two'⏎)`)
	s.send("\x15def f(): return 'one'\r\r")
	s.prompt("4", "")
	s.send("edit(-1)\r")
	s.prompt("5", "def f(): return 'two'")
	s.send("\r\rload('f.star')\r")
	s.prompt("7", "")
	s.send("edit(f)\r")
	s.prompt("8", "def f(): return 'two'")
	s.send("\x15edit(g)\r")
	s.prompt("9", "def g():⏎  # two⏎  return 'two'")
	s.send("\r")
	s.prompt("10", "")
	s.send("g()\r")
	s.wait(`\n"two"\n`)
	s.send("edit(3)\r")
	s.prompt("12", "def f(): return 'two'")
	s.send("\x15edit(99)\redit(request)\redit('x')\r")
	s.wait(`edit: there is no input at prompt 99 before this one, 12\n(.*\n)*.*edit: a .* has no source; edit takes the number of a prompt, or a function of yours\n`)
	s.send("\x03exit()\r")
	s.left(0)
	if _, errs, _ := run(t, Config{}, "edit()"); errs != "<stdin>:1:5: edit: there is no terminal for an editor\n" {
		t.Error(errs)
	}
}

// TestEditFails has editors that fail, or are none. The text is at the prompt as it was,
// the terminal is right, and what was edited all the same is kept.
func TestEditFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ editor, want, prompt string }{
		"missing":   {"nosuch-editor -w", `\*\* \(Error\) nosuch-editor, of the variable EDITOR, is no program that can be run`, "x = 'one'"},
		"fails":     {editWith(t, "exit 3"), `\*\* \(Error\) the editor \S+: exit status 3`, "x = 'one'"},
		"killed":    {editWith(t, "kill -9 $$"), `\*\* \(Error\) the editor \S+: (?:signal: killed|exit status 137)`, "x = 'one'"},
		"removes":   {editWith(t, `rm "$1"`), `\*\* \(Error\) open .*: no such file`, "x = 'one'"},
		"too much":  {editWith(t, `head -c 70000 /dev/zero | tr '\0' x >"$1"`), `\*\* \(Error\) a text of 68 KiB, of at most 64;\s+what\s+was\s+edited\s+is\s+in\s+(\S+),\s+which\s+load\s+runs`, "x = 'one'"},
		"then":      {editWith(t, `echo y >"$1"; exit 1`), `: exit status 1;\s+what\s+was\s+edited\s+is\s+in\s+(\S+),\s+which\s+load\s+runs`, "x = 'one'"},
		"controls":  {editWith(t, `printf 'a\033]0;x\007\r\nb\036c\n' >"$1"`), ``, "a]0;x⏎bc"},
		"arguments": {`sh -c 'echo two >"$1"' sh`, ``, "two"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tmp := t.TempDir()
			s := startSession(t, &pty.Winsize{Rows: 30, Cols: 400}, "VISUAL=", "EDITOR="+c.editor, "TMPDIR="+tmp)
			s.prompt("1", "")
			s.send("x = 'one'\x18\x05")
			s.wait(c.want + `(.*\n)*distproc\S+1> ` + regexp.QuoteMeta(c.prompt) + `$`)
			left, _ := os.ReadDir(tmp)
			if kept := regexp.MustCompile(c.want).FindStringSubmatch(s.text()); len(kept) > 1 {
				if data, err := os.ReadFile(kept[1]); err != nil || len(data) == 0 {
					t.Errorf("%s is not there: %v", kept[1], err)
				}
			} else if len(left) > 0 {
				t.Errorf("files are left: %v", left)
			}
			s.send("\x03exit()\r")
			s.left(0)
		})
	}
}

// TestEditorHasTheTerminal looks at the terminal while an editor runs, which gets Ctrl-C
// for itself. Then the shell ends: so does the editor.
func TestEditorHasTheTerminal(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal, "VISUAL=", "EDITOR="+editWith(t, `trap 'echo got; echo two >"$1"; exit 0' INT; echo begins; while :; do sleep 1; done`))
	s.prompt("1", "")
	s.send("x = 1\x18\x05")
	s.wait(`\nbegins$`)
	state, err := unix.IoctlGetTermios(int(s.tty.Fd()), getTermios)
	if err != nil || *state != s.before {
		t.Errorf("%v: the terminal is\n%+v, was\n%+v", err, *state, s.before)
	}
	s.cmd.Process.Signal(syscall.SIGUSR1) // a notice waits
	s.send("\x03")
	s.wait(`got\nnode 2@127.0.0.1 is down\ndistproc\S+1> two$`)
	s.send("!")
	s.wait(`1> two!$`) // which no Ctrl-C has dropped
	s.send("\x18\x05")
	s.wait(`\nbegins$`)
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.left(0)
}

// TestEditorAtHangup ends a shell whose terminal goes while an editor runs.
func TestEditorAtHangup(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal, "VISUAL=", "EDITOR="+editWith(t, "echo begins; exec sleep 600"))
	s.prompt("1", "")
	s.send("x = 1\x18\x05")
	s.wait(`\nbegins$`)
	s.tty.Close()
	s.master.Close()
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Fatal("the shell outlives its terminal")
	}
}

func TestEditorCommand(t *testing.T) {
	for _, c := range []struct {
		visual, editor string
		dumb           bool
		want           string
	}{
		{"cat -v", "tac", false, "cat -v"}, {"cat", "tac", true, "tac"}, {" ", "tac", false, "tac"},
		{"'my editor' -w", "", false, "'my editor' -w"}, {"", "nosuch", false, "!nosuch, of the variable EDITOR, is no program that can be run"},
	} {
		t.Setenv("VISUAL", c.visual)
		t.Setenv("EDITOR", c.editor)
		got, err := editorCommand(c.dumb)
		if err != nil {
			got = "!" + err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", "")
	t.Setenv("PATH", t.TempDir())
	if _, err := editorCommand(false); err == nil || !strings.Contains(fmt.Sprint(err), "set VISUAL or EDITOR") {
		t.Error(err)
	}
}
