//go:build unix

package repl

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

func TestSearchHistory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	entries := "print('first')\nif True:\\n  print('block')\nprint('second')\nx = 'wide it is'\n"
	if err := os.WriteFile(path, []byte(entries), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSession(t, normal, "DISTPROC_TEST_HISTORY="+path)
	s.prompt("1", "")
	s.send("half")
	s.prompt("1", "half")
	s.send("\x12") // Ctrl-R
	s.wait("^\\(reverse-i-search\\)`':$")
	s.send("print")
	s.wait("^\\(reverse-i-search\\)`print': print\\('second'\\)$")
	s.send("\x12")
	s.wait("`print': if True:⏎  print\\('block'\\)$")
	s.send("\x12\x12")
	s.wait("^\\(failed reverse-i-search\\)`print': print\\('first'\\)$")
	s.send("\x13") // Ctrl-S
	s.wait("^\\(reverse-i-search\\)`print': if True")
	s.cmd.Process.Signal(syscall.SIGUSR1)
	s.wait("^node 2@127.0.0.1 is down\n\\(reverse-i-search\\)`print': if True")
	s.send("\x07") // Ctrl-G
	s.prompt("1", "half")
	s.send(" typed\x12wide\x7f\x7f")
	s.wait("`wi': x = 'wide it is'$")
	s.send("\x1b[D\x7fn") // Left: edit what was found
	s.prompt("1", "x = 'wide it in'")
	s.send("\x15\x12block\r") // runs it
	s.wait(`\nblock\n`)
	s.prompt("2", "")
	s.send("1 + \x12zzz\x03")
	s.prompt("2", "1 +")
	s.send("1\r")
	s.prompt("3", "")
	s.send("\x12sec")
	s.wait("`sec': print")
	before := len(s.written())
	s.mu.Lock()
	s.screen.Resize(30, 6)
	s.mu.Unlock()
	pty.Setsize(s.tty, &pty.Winsize{Rows: 6, Cols: 30})
	s.waitFor(`i-search`, func() string { return s.written()[before:] }) // it draws anew
	s.send("\x12")                                                       // fails, and stays
	s.wait("failed reverse-i-search\\)`se")
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.left(0)
}

func TestSearchEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("\x12abc")
	s.wait("i-search\\)`abc'")
	s.tty.Close()
	s.master.Close()
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Fatal("the shell outlives its terminal")
	}
}

// Texts that are cut one after the other come back as one.
func TestKillAndYank(t *testing.T) {
	t.Parallel()
	for keys, want := range map[string]string{
		"one two three\x17\x17[\x19]":                        "one [two three]",
		"one two\x15(\x19\x19)":                              "(one twoone two)",
		"one two\x01\x0b\x19 and \x19":                       "one two and one two",
		"one two three\x1bb\x1bb\x1bd\x05 \x19":              "one  three two",
		"one two three\x1b\x7fX\x19":                         "one two Xthree",
		"one two three\x17\x02\x02\x02\x17 \x19":             "one  two ",
		"one two\x01\x1bf\x0b-\x19":                          "one- two",
		"one\x19":                                            "one",
		"ab\x02\x04\x19":                                     "a", // Ctrl-D cuts nothing
		"日本 語\x17\x19\x19":                                   "日 ?本 ? 語 ?語 ?",
		strings.Repeat("x", 100) + "\x15y\x19\x15" + "short": "short",
	} {
		s := startSession(t, normal)
		s.prompt("1", "")
		for _, key := range regexp.MustCompile(`\x1b?.`).FindAllString(keys, -1) { // as typed
			s.send(key)
		}
		want := strings.TrimRight(want, " ")
		if !strings.Contains(want, "?") {
			s.prompt("1", want)
		} else {
			s.wait("1> " + want + "$")
		}
		s.send("\x05\x15\x04")
		s.left(0)
	}
}
