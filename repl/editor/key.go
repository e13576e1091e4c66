package editor

import (
	"bytes"
	"strings"
	"unicode/utf8"

	prompt "github.com/c-bata/go-prompt"
)

// maxEscape is the maximum length of an escape sequence in bytes. Longer ones are not
// keys.
const maxEscape = 64

// cutKey returns the first key in buf in the form for go-prompt, and the number of bytes
// that it took. A nil key is dropped. It takes no bytes if the key may continue in bytes
// that have yet to arrive. If final is set, none will, and it always takes some. Within a
// marked paste, only text and line ends are keys.
func cutKey(buf []byte, pasting, final bool) (key []byte, n int) {
	if len(buf) == 0 {
		return nil, 0
	}
	switch c := buf[0]; {
	case c == 0x1b:
		if n = escapeLen(buf); n == 0 && final {
			n = min(len(buf), maxEscape)
		}
		if pasting && n > 1 && string(buf[:n]) != pasteEnd {
			return nil, 1 // what follows the escape is pasted text
		}
		if pasting || !known(buf[:n]) {
			return nil, n
		}
		return buf[:n], n
	case pasting && c == '\t':
		return []byte(tabSpaces), 1
	case c < ' ' || c == 0x7f:
		if pasting {
			return nil, 1
		}
		return buf[:1], 1
	}
	for n < len(buf) && buf[n] >= ' ' && buf[n] != 0x7f {
		if !utf8.FullRune(buf[n:]) && !final && bytes.IndexFunc(buf[n:], isControl) < 0 {
			break // the rest of a character is still to come
		}
		_, size := utf8.DecodeRune(buf[n:])
		n += size
	}
	if n == 0 {
		return nil, 0
	}
	return []byte(strings.ToValidUTF8(string(buf[:n]), "\ufffd")), n
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// escapeLen returns the length of the escape sequence at the start of buf, or 0 if it is
// incomplete.
func escapeLen(buf []byte) int {
	if len(buf) < 2 {
		return 0
	}
	switch buf[1] {
	case 0x1b:
		return 1
	case 'O': // SS3: one byte follows
		if len(buf) < 3 {
			return 0
		}
		return 3
	case '[': // CSI: parameters, then a byte from @ to ~
		for i := 2; i < min(len(buf), maxEscape); i++ {
			switch c := buf[i]; {
			case i == 2 && c == '[': // the Linux console's function keys
			case c >= '@' && c <= '~':
				return i + 1
			case c < ' ' || c > '~':
				return i // cut short by something else
			}
		}
		if len(buf) >= maxEscape {
			return maxEscape
		}
		return 0
	}
	_, size := utf8.DecodeRune(buf[1:])
	return 1 + size // Alt and a character
}

// known reports whether go-prompt or the keyboard obeys a sequence. Go-prompt would
// insert others as text.
func known(key []byte) bool {
	switch string(key) {
	case "\x1bb", "\x1bf", "\x1bd", "\x1b\x7f":
		return true
	}
	return prompt.GetKey(key) != prompt.NotDefined
}

// altKeys are the keys that readline has and go-prompt lacks, except those of a killer.
var altKeys = []prompt.ASCIICodeBind{
	{ASCIICode: []byte("\x1bb"), Fn: prompt.GoLeftWord},
	{ASCIICode: []byte("\x1bf"), Fn: prompt.GoRightWord},
}
