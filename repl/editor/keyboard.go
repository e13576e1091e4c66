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

// A keyboard passes keys to go-prompt, one in each Read: a run of text, a control
// character or an escape sequence. Go-prompt treats the result of one Read as one key, so
// a paste or fast typing would otherwise be garbled. It implements
// [prompt.ConsoleParser].
//
// Go-prompt's Input drops keys after the one that ends it, so the keyboard returns none
// until the next Setup. Input always ends by Enter; the ending says what caused it.
type keyboard struct {
	tty     *tty
	buf     []byte // typed, not yet given out; of the goroutine that runs or reads for Input
	pasting bool   // within a marked paste; as buf
	lastCR  bool   // the last key was a carriage return; as buf

	mu     sync.Mutex
	hold   hold     // guarded by mu, as all below
	ending ending   // what ends, or ended, this Input
	asked  ending   // what somebody else wants to end it with
	queue  [][]byte // keys of our own, given before what is typed
	redraw bool
	drop   bool // forget what was typed ahead
	cols   int  // at Setup
}

type hold uint8

const (
	holdNothing hold = iota
	holdSetup        // until the next Input
)

type ending uint8

const (
	entered ending = iota
	interrupted
	leaving   // Ctrl-D on an empty line, or the terminal has gone
	cancelled // the context ended
	resized   // Input has to begin again, as it takes the width only then
	searching // Ctrl-R; Input begins again with what was found
)

// Keys of our own. No text has these bytes.
var (
	keyInterrupt = ownKey('c')
	keyPause     = ownKey('r') // leave Input, and come back
	keyRestore   = ownKey('p')
	keyDelete    = ownKey('d') // Ctrl-D, which leaves if the line is empty by then
	keyEnter     = []byte{'\r'}
)

func ownKey(c byte) []byte { return []byte{0xff, c} }

const (
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
	tabSpaces  = "    " // what a tab becomes that is text, as go-prompt cannot draw one
)

var errNoKey = errors.New("no key")

func (k *keyboard) Setup() error {
	k.mu.Lock()
	k.hold, k.ending = holdNothing, entered
	_, k.cols = k.tty.size()
	k.mu.Unlock()
	return k.tty.set(editing)
}

func (k *keyboard) TearDown() error { return k.tty.set(running) }

// GetWinSize returns the width, and a height that go-prompt never finds too small.
func (k *keyboard) GetWinSize() *prompt.WinSize {
	_, cols := k.tty.size()
	return &prompt.WinSize{Row: 1 << 14, Col: uint16(cols)}
}

// Read returns the next key, or an error if none arrives for a moment.
func (k *keyboard) Read() ([]byte, error) {
	if key, err := k.ownKey(); key != nil || err != nil {
		return key, err
	}
	for {
		key, n := cutKey(k.buf, k.pasting, false)
		if n == 0 {
			wait := 50 * time.Millisecond
			if len(k.buf) > 0 {
				wait = 40 * time.Millisecond // for the rest of a key
			}
			had := len(k.buf)
			if k.fill(wait); len(k.buf) > had {
				continue
			}
			if had == 0 {
				return nil, errNoKey
			}
			key, n = cutKey(k.buf, k.pasting, true)
		}
		raw := k.buf[:n]
		k.buf = k.buf[n:]
		if key = k.typed(key, string(raw)); key != nil {
			return key, nil
		}
	}
}

// ownKey returns the next key of the keyboard's own, or an error if Input must not get a
// key now.
func (k *keyboard) ownKey() ([]byte, error) {
	_, cols := k.tty.size()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.hold != holdNothing:
		return nil, errNoKey
	case len(k.queue) > 0:
	case k.asked != entered:
		k.endLocked(k.asked)
		k.asked = entered
	case cols != k.cols:
		k.endLocked(resized)
	case k.redraw:
		k.redraw = false
		return []byte{}, nil // no key: go-prompt draws again
	default:
		return nil, nil
	}
	key := k.queue[0]
	if k.queue = k.queue[1:]; bytes.Equal(key, keyEnter) {
		k.hold = holdSetup
	}
	return key, nil
}

// endLocked queues the keys that end Input.
func (k *keyboard) endLocked(e ending) {
	k.ending = e
	switch e {
	case interrupted:
		k.queue = append(k.queue, keyInterrupt)
	case resized, searching:
		k.queue = append(k.queue, keyPause)
	}
	k.queue = append(k.queue, keyEnter)
}

// typed obeys a typed key if it is for the keyboard, or else returns it for go-prompt.
func (k *keyboard) typed(key []byte, raw string) []byte {
	wasCR := k.lastCR
	k.lastCR = raw == "\r"
	k.mu.Lock()
	defer k.mu.Unlock()
	switch raw {
	case pasteBegin:
		k.pasting = true
		return nil
	case pasteEnd:
		k.pasting = false
		return nil
	case "\n":
		if wasCR {
			return nil
		}
		fallthrough
	case "\r":
		k.hold = holdSetup
		return keyEnter
	}
	if k.pasting {
		return key // cutKey made text of it
	}
	switch raw {
	case "\x03":
		k.endLocked(interrupted)
		key, k.queue = k.queue[0], k.queue[1:]
	case "\x12":
		k.endLocked(searching)
		key, k.queue = k.queue[0], k.queue[1:]
	case "\x15", "\x17", "\x0b", "\x19":
		return ownKey(raw[0])
	case "\x04":
		return keyDelete
	case "\x1a":
		k.mu.Unlock()
		k.tty.suspend()
		k.mu.Lock()
		return []byte{}
	}
	return key
}

// next returns a key as it was typed, outside of Input, or "" if none arrives for a
// moment. It reports whether another goroutine has asked to stop.
func (k *keyboard) next() (key string, stop bool) {
	k.mu.Lock()
	stop = k.asked != entered
	k.mu.Unlock()
	if stop {
		return "", true
	}
	_, n := cutKey(k.buf, k.pasting, false)
	if n == 0 {
		had := len(k.buf)
		if k.fill(50 * time.Millisecond); len(k.buf) > had {
			return "", false
		}
		_, n = cutKey(k.buf, k.pasting, true)
	}
	key = string(k.buf[:n])
	if k.buf = k.buf[n:]; key == pasteBegin || key == pasteEnd {
		k.pasting = key == pasteBegin
		return "", false
	}
	return key, false
}

// unread makes a key of next the next one.
func (k *keyboard) unread(key string) { k.buf = append([]byte(key), k.buf...) }

// ask ends the running Input, or else the next one.
func (k *keyboard) ask(e ending) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = max(k.asked, e)
}

// ended returns what ended the last Input.
func (k *keyboard) ended() ending {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ending
}

// fill reads what was typed.
func (k *keyboard) fill(wait time.Duration) {
	var eof bool
	if k.buf, eof = k.tty.read(k.buf, wait); eof {
		k.ask(leaving)
	}
}

// forget drops the text that was typed ahead, at the next read.
func (k *keyboard) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop = true
}

// wholeLine returns a line that was typed ahead or pasted, if it is complete and has no
// keys to obey. It avoids the 20 ms that go-prompt needs for each line.
func (k *keyboard) wholeLine() (string, bool) {
	k.mu.Lock()
	if k.drop {
		k.buf, k.drop, k.pasting = nil, false, false
	}
	skip := k.asked != entered
	k.mu.Unlock()
	if k.fill(0); skip {
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
	isKey := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError }
	if bytes.ContainsFunc(line, isKey) || bytes.IndexByte(line, '\t') > 0 && !k.pasting {
		return "", false
	}
	k.lastCR = k.buf[end] == '\r'
	k.buf = k.buf[end+1:]
	return strings.ReplaceAll(string(line), "\t", tabSpaces), true
}
