package editor

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

// The keyboard keeps the text that the user types while a statement runs, and the lines of a
// paste or of a block from the history that follow the one that runs. This file makes lines
// of them, without go-prompt.

// readAhead reads what is typed while a statement runs, if it is more than a little: what
// stays in the terminal is for the next program, should the statement leave the shell. It
// reports whether the statement must be stopped, and returns a notice for the user.
func (k *keyboard) readAhead() (stop bool, notice string) {
	if !k.tty.is(running) {
		return false, ""
	}
	gone := k.tty.gone()
	for rests := 0; gone || k.tty.waiting() >= fewAhead || rests > 0; {
		if !gone && k.tty.waiting() < fewAhead { // a terminal passes a long text on in parts
			time.Sleep(time.Millisecond)
			rests--
			continue
		}
		rests = 5
		k.mu.Lock()
		if len(k.buf) >= maxAhead {
			notice = tooFar
			k.cutLinesLocked()
		}
		n := k.takeLocked()
		stop = k.dropToInterruptLocked() || stop
		gone = k.asked == leaving
		k.mu.Unlock()
		if n == 0 || stop {
			break
		}
	}
	return stop || gone, notice
}

// dropToInterruptLocked drops what was typed up to the last Ctrl-C, and reports whether
// there was one.
func (k *keyboard) dropToInterruptLocked() bool {
	i := bytes.LastIndexByte(k.buf, 0x03)
	if i < 0 {
		return false
	}
	k.decoder = decoder{pasting: k.pastingLocked(i)}
	k.buf, k.lines = k.buf[i+1:], nil
	k.dropPasteLocked()
	return true
}

// cutLinesLocked keeps the whole lines of buf, and drops what comes until nothing more
// does.
func (k *keyboard) cutLinesLocked() {
	end := bytes.LastIndexAny(k.buf[:maxAhead-len(pasteEnd)-1], "\r\n") + 1
	pasting := k.pastingLocked(end)
	k.buf, k.skip = k.buf[:end], true
	if pasting {
		k.buf = append(k.buf, pasteEnd...)
	}
}

// pastingLocked reports whether buf[:i] ends within a marked paste.
func (k *keyboard) pastingLocked(i int) bool {
	begin, end := bytes.LastIndex(k.buf[:i], []byte(pasteBegin)), bytes.LastIndex(k.buf[:i], []byte(pasteEnd))
	return begin > end || begin == end && k.decoder.pasting
}

// begin starts a line. It returns the next line of a block from the history, if one is
// left.
func (k *keyboard) begin() (line string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.touched, k.indent = false, false
	if len(k.lines) == 0 {
		return "", false
	}
	line, k.lines = k.lines[0], k.lines[1:]
	return line, true
}

// pasted reports whether more lines follow of the marked paste, or of the block from the
// history, that the last line is of.
func (k *keyboard) pasted() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.lines) > 0 || k.decoder.pasting && !bytes.HasPrefix(k.buf, []byte(pasteEnd))
}

// dropPaste drops these lines.
func (k *keyboard) dropPaste() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = nil
	k.dropPasteLocked()
}

// indents returns the spaces with which the line begins: none if it comes from a paste, or
// its first keys have been typed.
func (k *keyboard) indents(indent string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.decoder.pasting || len(k.buf) > 0 {
		return ""
	}
	k.indent = indent != ""
	return indent
}

// continues keeps the further lines of a block for later lines.
func (k *keyboard) continues(lines []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = lines
}

// wholeLine returns a line that was typed ahead or pasted, if it is complete and has no
// keys to obey. It avoids the 20 ms that go-prompt needs for each line.
func (k *keyboard) wholeLine() (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.takeLocked(); k.asked != entered || k.decoder.dropping != dropNothing {
		return "", false
	}
	if k.lastCR && bytes.HasPrefix(k.buf, []byte("\n")) {
		k.buf = k.buf[1:]
	}
	end := bytes.IndexAny(k.buf, "\r\n")
	if end < 0 {
		return "", false
	}
	line := k.buf[:end]
	isKey := func(r rune) bool { return isControl(r) && r != '\t' || r == utf8.RuneError }
	if bytes.ContainsFunc(line, isKey) || !k.decoder.pasting && bytes.IndexByte(bytes.TrimLeft(line, " \t"), '\t') >= 0 {
		return "", false
	}
	k.lastCR = k.buf[end] == '\r'
	k.buf = k.buf[end+1:]
	if !k.decoder.pasting { // tabs can only be at its beginning: the key, which indents
		return strings.ReplaceAll(string(line), "\t", tabSpaces), true
	}
	return string(line), true
}
