package editor

import (
	"bytes"
	"errors"
	"sync"
	"time"

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
