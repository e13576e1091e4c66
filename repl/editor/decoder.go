package editor

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

// A decoder cuts what a terminal sends into keys. It follows the grammar of ECMA-48, so
// that an answer of the terminal that nobody waits for is dropped as a whole.
//
// Bytes may come in any pieces. A sequence that has begun waits for its rest without a
// time-out, and so does a character. Three things end that wait: a control character, such
// as Ctrl-C or Enter, is always a key; a control string is given up after stringIdle; and
// an escape character alone is the key Escape after escapeIdle.
type decoder struct {
	pasting  bool // within a marked paste, where only text and line ends are keys
	dropping drop // the rest of a sequence that is no key
}

// A drop says what ends a sequence that is dropped. The decoder keeps none of it.
type drop uint8

const (
	dropNothing drop = iota
	dropString       // OSC, DCS, APC, PM or SOS: to BEL or ST
	dropCSI          // to a byte from @ to ~
)

const (
	escapeIdle  = 40 * time.Millisecond
	stringIdle  = time.Second
	maxSequence = 64 // bytes of a CSI sequence that can be a key
)

const (
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
	tabSpaces  = "    "   // how a tab is shown that is text
	pastedTab  = "\x16\t" // a tab that is text, as a key; no key is decoded so otherwise
)

// next returns the first key in buf, and the number of bytes that it took: a run of text,
// a control character or an escape sequence. An empty key is to be ignored. It takes no
// bytes if the key goes on in bytes that have yet to arrive. The last byte arrived idle
// ago.
func (d *decoder) next(buf []byte, idle time.Duration) (key string, n int) {
	if d.dropping == dropString && idle >= stringIdle {
		d.dropping = dropNothing
	}
	if d.dropping != dropNothing {
		if n = d.drop(buf); n > 0 || d.dropping != dropNothing {
			return "", n
		}
	}
	switch {
	case len(buf) == 0:
		return "", 0
	case buf[0] == 0x1b && d.pasting:
		return d.pasted(buf)
	case buf[0] == 0x1b:
		return d.escape(buf, idle)
	case buf[0] == '\t' && d.pasting:
		return pastedTab, 1
	case isControl(rune(buf[0])):
		if d.pasting && !bytes.ContainsRune([]byte("\r\n\x03"), rune(buf[0])) {
			return "", 1
		}
		return string(buf[:1]), 1
	}
	for n < len(buf) && !isControl(rune(buf[n])) {
		if !utf8.FullRune(buf[n:]) {
			break // the rest of a character is still to come
		}
		_, size := utf8.DecodeRune(buf[n:])
		n += size
	}
	return strings.ToValidUTF8(string(buf[:n]), string(utf8.RuneError)), n
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// pasted handles an escape character within a paste. Only the marks of pastes are
// sequences there.
func (d *decoder) pasted(buf []byte) (key string, n int) {
	for _, mark := range []string{pasteEnd, pasteBegin} {
		if bytes.HasPrefix(buf, []byte(mark)) {
			d.pasting = mark == pasteBegin
			return "", len(mark)
		}
		if len(buf) < len(mark) && strings.HasPrefix(mark, string(buf)) {
			return "", 0
		}
	}
	return "", 1 // what follows is text
}

// escape handles an escape character outside of pastes.
func (d *decoder) escape(buf []byte, idle time.Duration) (key string, n int) {
	if len(buf) == 1 {
		if idle < escapeIdle {
			return "", 0
		}
		return "\x1b", 1
	}
	switch c := buf[1]; {
	case c == '[':
		key, n = d.csi(buf)
	case c == 'O':
		n = ss3(buf)
		key = string(buf[:n])
	case bytes.IndexByte([]byte("]P_^X"), c) >= 0:
		d.dropping = dropString
		return "", 2
	case isControl(rune(c)) && c != 0x7f && c != '\b':
		return "\x1b", 1
	case utf8.FullRune(buf[1:]): // Alt and a character
		_, size := utf8.DecodeRune(buf[1:])
		n = 1 + size
		key = string(buf[:n])
	}
	if key == pasteBegin {
		d.pasting = true
		return "", n
	}
	return key, n
}

// csi cuts ESC [, parameters, and a byte from @ to ~.
func (d *decoder) csi(buf []byte) (key string, n int) {
	for i := 2; i < len(buf); i++ {
		switch c := buf[i]; {
		case isControl(rune(c)) || c >= utf8.RuneSelf:
			return "", i // cut short: what follows is another key
		case i == 2 && c == '[': // a function key of the Linux console: one byte follows
			if len(buf) == 3 {
				return "", 0
			}
			if isControl(rune(buf[3])) {
				return "", 3
			}
			return string(buf[:4]), 4
		case i == 2 && c == 'M':
			return "", mouse(buf)
		case c >= '@':
			return string(buf[:i+1]), i + 1
		case i >= maxSequence:
			d.dropping = dropCSI
			return "", i
		}
	}
	return "", 0
}

// mouse returns the length of ESC [ M with the three bytes that say which button was
// pressed and where, or 0 if it is incomplete.
func mouse(buf []byte) int {
	for i := 3; i < 6; i++ {
		switch {
		case i == len(buf):
			return 0
		case isControl(rune(buf[i])):
			return i
		}
	}
	return 6
}

// ss3 returns the length of ESC O with a byte, before which parameters may stand, or 0 if
// it is incomplete.
func ss3(buf []byte) int {
	for i := 2; i < len(buf); i++ {
		switch c := buf[i]; {
		case isControl(rune(c)) || c >= utf8.RuneSelf || i >= maxSequence:
			return i
		case c != ';' && (c < '0' || c > '9'):
			return i + 1
		}
	}
	return 0
}

// drop returns how many bytes at the start of buf belong to the sequence that is dropped.
func (d *decoder) drop(buf []byte) int {
	for i, c := range buf {
		switch {
		case d.dropping == dropString && c == '\a', d.dropping == dropCSI && c >= '@' && c < 0x7f:
			d.dropping = dropNothing
			return i + 1
		case d.dropping == dropString && c == 0x1b && i+1 == len(buf):
			return i // the rest of ST may come, or another key
		case d.dropping == dropString && c == 0x1b && buf[i+1] == '\\':
			d.dropping = dropNothing
			return i + 2
		case isControl(rune(c)), d.dropping == dropCSI && c >= utf8.RuneSelf:
			d.dropping = dropNothing
			return i
		}
	}
	return len(buf)
}

// leavePaste ends a marked paste, although its end was not seen.
func (d *decoder) leavePaste() { d.pasting, d.dropping = false, dropNothing }
