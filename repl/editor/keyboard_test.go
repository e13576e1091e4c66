package editor

import (
	"io"
	"strings"
	"testing"
)

// TestPasteInPieces has the mark of a paste's end arrive in pieces, or never. The keyboard
// stays alive.
func TestPasteInPieces(t *testing.T) {
	t.Parallel()
	s := start(t, 24, 80)
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
