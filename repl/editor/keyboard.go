package editor

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	prompt "github.com/c-bata/go-prompt"
)

// A keyboard passes keys to go-prompt, one in each Read, as go-prompt treats the result of
// one Read as one key. It implements [prompt.ConsoleParser]. While a statement runs, it
// reads on, so that Ctrl-C arrives however much was typed ahead.
//
// Go-prompt's Input drops keys after the one that ends it, so the keyboard returns none
// until the next Setup. Input always ends by Enter; the ending says what caused it.
type keyboard struct {
	tty      *tty
	screen   *screen
	bindings map[string]prompt.KeyBindFunc

	mu      sync.Mutex
	decoder decoder   // guarded by mu, as all below
	buf     []byte    // typed, not yet given out
	arrived time.Time // when the newest byte of buf came
	skip    bool      // what comes is dropped, until nothing has come for quiet
	lastCR  bool      // the last key was a carriage return
	prefix  bool      // the last key was Ctrl-X
	lines   []string  // further lines of a block from the history
	touched bool      // a key other than Ctrl-C was pressed since begin
	indent  bool      // the line has begun with spaces that nobody typed
	hold    bool      // Input gets no keys until the next Setup, or the end of a search
	ending  ending    // what ends, or ended, this Input
	asked   ending    // what somebody else wants to end it with
	queue   [][]byte  // keys of our own, given before what is typed
}

type ending uint8

const (
	entered ending = iota
	interrupted
	edits     // Ctrl-X Ctrl-E: an editor is to have the line
	leaving   // Ctrl-D on an empty line, or the terminal has gone
	cancelled // the context ended
)

const (
	maxAhead = 1 << 20 // bytes that may be typed ahead
	fewAhead = 512     // bytes typed ahead that are left to the next program
	quiet    = 100 * time.Millisecond
	tooFar   = "more than 1 MiB was typed ahead; what came after the last whole line of it is dropped"
)

// ownKey returns the key for go-prompt that stands for one of the bindings. No text has its
// first byte.
func ownKey(key string) []byte { return append([]byte{0xff}, key...) }

var (
	keyInterrupt = ownKey("\x03")
	keyEnter     = []byte{'\r'}
	keyErase     = []byte{0x15} // Ctrl-U, which drops what is before the cursor
)

var errNoKey = errors.New("no key")

// Setup begins an Input.
func (k *keyboard) Setup() error {
	k.mu.Lock()
	k.hold, k.ending = false, entered
	k.mu.Unlock()
	return k.tty.set(editing)
}

// TearDown ends an Input. A Ctrl-C that was typed behind the end of the line is for what
// runs next.
func (k *keyboard) TearDown() error {
	err := k.tty.set(running)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.takeLocked()
	if k.dropToInterruptLocked() {
		k.asked = max(k.asked, interrupted)
	}
	return err
}

// GetWinSize returns a size that go-prompt never finds too small. The screen knows the real
// one.
func (k *keyboard) GetWinSize() *prompt.WinSize { return &prompt.WinSize{Row: 1 << 15, Col: 1 << 15} }

// Read returns the next key, or an error if none arrives for a moment.
func (k *keyboard) Read() ([]byte, error) {
	k.screen.update()
	for {
		key, wait := k.nextForInput()
		switch {
		case key != nil:
			return key, nil
		case wait == 0:
			return nil, errNoKey
		case !k.fill(wait):
			return nil, errNoKey
		}
	}
}

// nextForInput returns the next key for go-prompt. If there is none, it returns how long to
// wait for more; 0: Input must not get a key now.
func (k *keyboard) nextForInput() (key []byte, wait time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		if k.hold {
			return nil, 0
		}
		if len(k.queue) == 0 && k.asked != entered {
			k.endLocked(k.asked)
			k.asked = entered
		}
		if len(k.queue) > 0 {
			key, k.queue = k.queue[0], k.queue[1:]
			k.hold = bytes.Equal(key, keyEnter)
			return key, 0
		}
		had := k.decoder.pasting
		raw, wait := k.cutLocked()
		if wait > 0 {
			return nil, wait
		}
		if k.decoder.pasting && !had && k.indent && !k.touched {
			return keyErase, 0 // a paste has spaces of its own
		}
		if key = k.obeyLocked(raw); key != nil {
			return key, 0
		}
	}
}

// cutLocked removes a key from buf. If there is none, it returns how long to wait.
func (k *keyboard) cutLocked() (key string, wait time.Duration) {
	idle := time.Since(k.arrived)
	key, n := k.decoder.next(k.buf, idle)
	if n == 0 {
		if len(k.buf) > 0 && idle < escapeIdle {
			return "", escapeIdle - idle
		}
		return "", 50 * time.Millisecond
	}
	k.buf = k.buf[n:]
	return key, 0
}

// obeyLocked obeys a typed key if it is for the keyboard, or else returns it as it is for
// go-prompt.
func (k *keyboard) obeyLocked(raw string) []byte {
	if raw == "" {
		return nil
	}
	wasCR, prefixed := k.lastCR, k.prefix
	k.lastCR, k.prefix = raw == "\r", raw == "\x18"
	k.touched = k.touched || raw != "\x03"
	switch raw {
	case "\n":
		if wasCR {
			return nil
		}
		fallthrough
	case "\r":
		k.hold = true
		return keyEnter
	case "\x03":
		k.dropPasteLocked()
		k.endLocked(interrupted)
		return nil
	case "\x05":
		if prefixed {
			k.endLocked(edits)
			return nil
		}
	case "\x12":
		k.hold = true // the search reads the keys
	case "\x1a":
		k.mu.Unlock()
		k.tty.suspend()
		k.screen.resumed()
		k.mu.Lock()
		return nil
	}
	if k.bindings[raw] != nil {
		return ownKey(raw)
	}
	if raw[0] >= ' ' && raw[0] != 0x7f || prompt.GetKey([]byte(raw)) != prompt.NotDefined {
		return []byte(raw)
	}
	return nil // go-prompt would insert it as text
}

// endLocked queues the keys that end Input.
func (k *keyboard) endLocked(e ending) {
	k.ending = e
	if e == interrupted {
		k.queue = append(k.queue, keyInterrupt)
	}
	k.queue = append(k.queue, keyEnter)
}

// dropPasteLocked drops the rest of a marked paste, after a Ctrl-C in it: up to its end, or
// until nothing more comes.
func (k *keyboard) dropPasteLocked() {
	if !k.decoder.pasting {
		return
	}
	k.decoder.leavePaste()
	after, ok := afterPaste(k.buf)
	k.buf, k.skip = after, !ok
}

// afterPaste returns what follows the mark of a paste's end, or the next Ctrl-C. It reports
// whether there is one.
func afterPaste(buf []byte) (after []byte, ok bool) {
	if i := bytes.IndexByte(buf, 0x03); i >= 0 && !bytes.Contains(buf[:i], []byte(pasteEnd)) {
		return buf[i:], true
	}
	_, after, ok = bytes.Cut(buf, []byte(pasteEnd))
	return after, ok
}

// release lets Input get keys again after a search.
func (k *keyboard) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hold = false
}

// next returns a key as it was typed, outside of Input, or "" if none arrives for a
// moment. It reports whether another goroutine has asked to stop.
func (k *keyboard) next() (key string, stop bool) {
	k.mu.Lock()
	stop = k.asked != entered
	key, wait := k.cutLocked()
	if key == "\x03" {
		k.dropPasteLocked()
	}
	k.mu.Unlock()
	if key == "" && !stop && wait > 0 {
		k.fill(wait)
	}
	return key, stop
}

// unread makes a key of next the next one.
func (k *keyboard) unread(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.buf = append([]byte(key), k.buf...)
}

// ask ends the running Input, or else the next one.
func (k *keyboard) ask(e ending) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = max(k.asked, e)
}

// takeInterrupt reports whether an interrupt waits for the next Input, and forgets it.
func (k *keyboard) takeInterrupt() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asked != interrupted {
		return false
	}
	k.asked = entered
	return true
}

// ended returns what ended the last Input, and whether a key was pressed in it.
func (k *keyboard) ended() (e ending, touched bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ending, k.touched
}

// forget drops the text that was typed ahead.
func (k *keyboard) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.buf, k.lines, k.skip = nil, nil, false
	k.dropPasteLocked()
}

// fill waits for typed bytes and reads them. It reports whether some came.
func (k *keyboard) fill(wait time.Duration) bool {
	k.tty.wait(wait)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.takeLocked() > 0
}

// pressed waits for a key, and drops it. It reports whether one was pressed or the terminal
// has gone.
func (k *keyboard) pressed(wait time.Duration) bool {
	k.tty.wait(wait)
	k.mu.Lock()
	defer k.mu.Unlock()
	typed, eof := k.tty.read(nil)
	return len(typed) > 0 || eof
}

// takeLocked reads the typed bytes that wait, and returns their number.
func (k *keyboard) takeLocked() int {
	if len(k.buf) >= maxAhead {
		return 0
	}
	had := len(k.buf)
	buf, eof := k.tty.read(k.buf)
	if eof {
		k.asked = max(k.asked, leaving)
	}
	n := len(buf) - had
	if n == 0 {
		return 0
	}
	now := time.Now()
	if k.skip && now.Sub(k.arrived) < quiet {
		after, ok := afterPaste(buf[had:])
		buf, k.skip = append(buf[:had], after...), !ok
	} else {
		k.skip = false
	}
	k.buf, k.arrived = buf, now
	return n
}

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
