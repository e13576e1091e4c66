//go:build unix

package editor

import (
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestPasteInPieces has the mark of a paste's end arrive in pieces, or never. The keyboard
// stays alive.
func TestPasteInPieces(t *testing.T) {
	t.Parallel()
	s := start(t, 24, 80)
	s.wait(`1>$`)
	s.inPieces("\x1b[20", "0~one\x1b[20", "1~")
	s.at(`^1> one$`)
	s.send("\x1b[D!\r") // Left: not pasted
	s.wait(`got "on!e"\n2>$`)
	s.send(pasteBegin + "a\ttwo\x1b[20")
	s.at(`^2> a    two$`)
	s.send("\x03\x03") // the first one ends the paste
	s.wait(`2> a    two\[20\^C\ninterrupted .*\n3> \^C\ninterrupted .*\n4>$`)
	s.leave()
}

// TestCharactersInPieces has characters and keys arrive in pieces.
func TestCharactersInPieces(t *testing.T) {
	t.Parallel()
	s := start(t, 24, 80)
	s.wait(`1>$`)
	s.inPieces("\xe6", "\x97", "\xa5\xe6\x9c", "\xac\x1b[", "1;", "5D!", "\r")
	s.wait(`1> !日本\ngot "!日本"`)
	s.send("a\xe6\rb\r") // the rest never comes
	s.wait("got \"a\ufffd\"")
	s.wait(`got "b"`)
	s.leave()
}

// TestAnswers has answers of the terminal arrive that nobody waits for. None is typed text.
func TestAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, 24, 80)
	s.wait(`1>$`)
	s.inPieces("a", "\x1b]11;rgb:ffff/", "ffff/ffff\x1b", "\\b", "\x1bP1+r54", "4e\x1b\\c", "\x1b[?62;", "22cd", "\x1b[M", " 1", "2e", "\x1b_Gi=1;OK", "\x1b\\f", "\x1b[24;80Rg", "\x1b[<0;1;", "1Mh\x1b[Ii\x1b]0;ti", "tle\aj")
	s.at(`^1> abcdefghij$`)
	s.send("\r")
	s.wait(`got "abcdefghij"`)
	s.send("\x1b]" + strings.Repeat("never ends", 100_000) + "\x03") // Ctrl-C is the way out
	s.wait(`2> \^C\n`)
	s.send("\x1bPnever ends\rok\r") // and so is Enter
	s.wait(`got ""\n4> ok\ngot "ok"`)
	s.leave()
}

// TestMarkOfBlocks types and pastes the picture that a block shows for its line ends, and
// the character that stands for them.
func TestMarkOfBlocks(t *testing.T) {
	t.Parallel()
	s := start(t, 24, 80)
	s.send("# a ⏎b\r" + pasteBegin + "# c ⏎\x1ed" + pasteEnd + "\r\x1e# e\x1e\r")
	s.wait(`got "# a ⏎b"\n2> .*\ngot "# c ⏎d"\n3> .*\ngot "# e"\n4>$`)
	s.send("\x1b[A\x1b[A\x1b[A")
	s.at(`^4> # a ⏎b$`)
	s.send("\r")
	s.wait(`4> # a ⏎b\ngot "# a ⏎b"\n5>$`)
	s.leave()
}

// TestInterruptBehindMuch types Ctrl-C behind more than a terminal holds.
func TestInterruptBehindMuch(t *testing.T) {
	t.Parallel()
	for name, typed := range map[string]string{
		"little":   "dropped\r",
		"much":     strings.Repeat("dropped\r", 20_000),
		"too much": strings.Repeat("dropped\r", maxAhead/4),
		"a paste":  pasteBegin + strings.Repeat("dropped\r", 20_000) + pasteEnd,
		"a rest":   pasteBegin + strings.Repeat("dropped\r", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, 24, 80)
			s.send("busy\r")
			s.wait(`got "busy"$`)
			io.WriteString(s.keys, typed+"\x03") // until it is read
			s.wait(`stopped\n2>$`)
			s.send("kept\r")
			s.wait(`got "kept"`)
			if got := s.written(); strings.Contains(got, "dropped\"") {
				t.Errorf("a line is left that was typed before Ctrl-C:\n%s", got)
			}
			s.leave()
		})
	}
	// All at once, so that the Ctrl-C is read before the program is busy.
	s := start(t, 24, 80)
	s.wait(`1>$`)
	s.send("busy\rdropped\r\x03kept\r")
	s.wait(`got "kept"`)
	if got := s.written(); strings.Contains(got, "dropped\"") {
		t.Errorf("a line is left that was typed before Ctrl-C:\n%s", got)
	}
	s.leave()
}

// TestTooMuchAhead types more than is kept while the program is busy.
func TestTooMuchAhead(t *testing.T) {
	t.Parallel()
	s := start(t, 24, 80)
	s.send("busy\r")
	s.wait(`got "busy"$`)
	line := strings.Repeat("x", 1000) + "\r"
	io.WriteString(s.keys, strings.Repeat(line, maxAhead/500))
	s.wait(`more than 1 MiB was typed ahead`)
	s.send("\x03")
	s.wait(`stopped\n`)
	s.leave()
}

// TestSearchOverWide searches on a line whose wide characters do not fit the rows, and gives
// up. The line is there as before.
func TestSearchOverWide(t *testing.T) {
	t.Parallel()
	s := start(t, 24, 20)
	s.wait(`1>$`)
	line := strings.Repeat("日本語", 8)
	s.send(line)
	want := s.wait(`日本語$`).text()
	for range 3 {
		s.send("\x12zzz")
		s.wait("^\\(failed reverse-i-se\narch\\)`zzz':$")
		s.send("\x07")
		if got := s.wait(`日本語$`); got.text() != want || got.before() == "" {
			t.Fatalf("the search leaves\n%s\nof\n%s", got.text(), want)
		}
	}
	s.send("\x01!\r")
	s.wait(`got "!日本`)
	s.leave()
}

// TestMoveByCharacters moves the cursor and removes text by what a user sees as characters
// and words.
func TestMoveByCharacters(t *testing.T) {
	t.Parallel()
	const family, flag, heart = "👨‍👩‍👧", "🇩🇪", "❤️"
	for keys, want := range map[string]string{
		family + flag + heart + "|\x1b[D\x1b[D\x1b[D\x1b[D!": "!" + family + flag + heart + "|",
		family + flag + heart + "\x7f\x7f!":                  family + "!",
		family + flag + "\x01\x1b[C!":                        family + "!" + flag,
		family + flag + "\x01\x04!":                          "!" + flag,
		"e\u0301a\x01\x1b[3~!":                               "!a",
		"日本 한국\x1b[1;5D!":                                    "日本 !한국",
		"日本 한국\x01\x1b[1;5C!":                                "日本! 한국",
		"日本 한국\x01\x1b[5C\x1b[1;3C\x1bOD!":                   "日本 한!국",
		"a.b→c\x1b\x7f\x1bb!":                                "a.!b→",
		"日本 語\x01\x0b\x19\x19":                               "日本 語日本 語",
		"日本 語\x01\x1bd\x05\x19":                              " 語日本",
		"request(\x1bb\x1bd!":                                "!(",
		"x\x1bOH!\x1b[F?\x1b[1~1\x1b[4~2":                    "1!x?2",
	} {
		s := start(t, 24, 80)
		s.wait(`1>$`)
		s.send(keys + "\r")
		s.wait(`got ".*"`)
		if _, got, _ := strings.Cut(s.screen().text(), "got "); !strings.HasPrefix(got, strconv.Quote(want)) {
			t.Errorf("%q gives %s, want %q", keys, got, want)
		}
		s.leave()
	}
}

// TestWideInMenu completes names that share a part of a character.
func TestWideInMenu(t *testing.T) {
	t.Parallel()
	s := start(t, 24, 30)
	s.wait(`1>$`)
	s.send("\t")
	s.wait(`1> 日\n +日本 +one\n +日曜 +two$`)
	s.send("\t\t\r")
	s.wait(`1> 日曜\ngot "日曜"\n2>$`)
	s.leave()
}

// TestLongLine recalls a line that is longer than the terminal.
func TestLongLine(t *testing.T) {
	t.Parallel()
	s := start(t, 5, 20)
	line := "begin " + strings.Repeat("0123456789", 20) + " end"
	s.send(line + "\r")
	s.wait(`got `)
	s.send("\x1b[A")
	s.at(` end$`)
	s.send("\x1b[H") // Home
	s.at(`^2> $`)
	s.send("\x1b[F") // End
	s.at(` end$`)
	s.send("\x1b[H\x0b")
	s.wait(`2>$`)
	s.leave()
}

// TestNotices shows many notices while text is typed. None shares a row with the prompt.
func TestNotices(t *testing.T) {
	t.Parallel()
	s := start(t, 200, 40)
	s.wait(`1>$`)
	for i := range 50 {
		s.cmd.Process.Signal(syscall.SIGUSR1)
		s.send("日")
		if i%10 == 9 {
			s.send("\r")
		}
	}
	s.wait(`6>$`)
	for line := range strings.Lines(s.screen().text()) {
		if strings.Contains(line, "notice") && line != "a notice\n" {
			t.Errorf("a notice shares the row %q", line)
		}
	}
	s.leave()
}

// TestDumbTerminal gets no sequences.
func TestDumbTerminal(t *testing.T) {
	t.Parallel()
	for _, term := range []string{"dumb", ""} {
		s := start(t, 24, 30, "TERM="+term)
		s.wait(`1>$`)
		s.send("abd\x1b[Dc\x05" + strings.Repeat("x", 40) + "\x01!\r")
		s.wait(`got "!abcdx{40}"|got "!abcdx+\nx+"`)
		s.send("\t")
		s.wait(`日本  日曜\n2> 日$`)
		s.send("\x12abc\x07")
		s.cmd.Process.Signal(syscall.SIGUSR1)
		s.wait(`a notice\n2> 日$`)
		s.send("\x03")
		s.wait(`interrupted.*\n3>$`)
		s.leave()
		if strings.ContainsRune(s.written(), 0x1b) {
			t.Errorf("TERM=%s: %q", term, s.written())
		}
	}
}
