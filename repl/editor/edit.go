package editor

import (
	"strings"
	"unicode"

	prompt "github.com/c-bata/go-prompt"
	"github.com/rivo/uniseg"
)

// bindings returns what the keys do that go-prompt does not have, or does otherwise than
// readline: it moves by code points rather than by characters, and loses what it cuts.
func (e *Editor) bindings() map[string]prompt.KeyBindFunc {
	k := new(killer)
	table := map[string]prompt.KeyBindFunc{
		"\x03": func(b *prompt.Buffer) {
			move(b, b.Document().TextAfterCursor(), 1)
			b.InsertText("^C", false, true)
		},
		"\x04": func(b *prompt.Buffer) {
			if b.Text() == "" {
				e.keys.ask(leaving)
			} else {
				remove(b, firstCharacter(b.Document().TextAfterCursor()), 1)
			}
		},
		"\x0b":    func(b *prompt.Buffer) { k.after(b, b.Document().TextAfterCursor()) },
		"\x0c":    func(*prompt.Buffer) { e.screen.clear() },
		"\x12":    e.search,
		"\x15":    func(b *prompt.Buffer) { k.before(b, b.Document().TextBeforeCursor()) },
		"\x17":    func(b *prompt.Buffer) { k.before(b, lastField(b.Document().TextBeforeCursor())) },
		"\x19":    func(b *prompt.Buffer) { b.InsertText(k.cut, false, true) },
		pastedTab: func(b *prompt.Buffer) { b.InsertText("\t", false, true) },
	}
	bind := func(f prompt.KeyBindFunc, keys ...string) {
		for _, key := range keys {
			table[key] = f
		}
	}
	bind(func(b *prompt.Buffer) { move(b, lastCharacter(b.Document().TextBeforeCursor()), -1) },
		"\x02", "\x1b[D", "\x1bOD")
	bind(func(b *prompt.Buffer) { move(b, firstCharacter(b.Document().TextAfterCursor()), 1) },
		"\x06", "\x1b[C", "\x1bOC")
	bind(func(b *prompt.Buffer) { move(b, b.Document().TextBeforeCursor(), -1) },
		"\x01", "\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~")
	bind(func(b *prompt.Buffer) { move(b, b.Document().TextAfterCursor(), 1) },
		"\x05", "\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~")
	bind(func(b *prompt.Buffer) { move(b, lastWord(b.Document().TextBeforeCursor()), -1) },
		"\x1bb", "\x1b[1;5D", "\x1b[1;3D", "\x1b[5D", "\x1bO5D", "\x1bOd")
	bind(func(b *prompt.Buffer) { move(b, firstWord(b.Document().TextAfterCursor()), 1) },
		"\x1bf", "\x1b[1;5C", "\x1b[1;3C", "\x1b[5C", "\x1bO5C", "\x1bOc")
	bind(func(b *prompt.Buffer) { remove(b, lastCharacter(b.Document().TextBeforeCursor()), -1) },
		"\x7f", "\b")
	bind(func(b *prompt.Buffer) { remove(b, firstCharacter(b.Document().TextAfterCursor()), 1) },
		"\x1b[3~")
	bind(func(b *prompt.Buffer) { k.before(b, lastWord(b.Document().TextBeforeCursor())) },
		"\x1b\x7f", "\x1b\b")
	bind(func(b *prompt.Buffer) { k.after(b, firstWord(b.Document().TextAfterCursor())) },
		"\x1bd")
	return table
}

// move moves the cursor over a text that stands after it, or before it if dir is -1.
func move(b *prompt.Buffer, over string, dir int) {
	n := len([]rune(over))
	if dir < 0 {
		b.CursorLeft(n)
	} else {
		b.CursorRight(n)
	}
}

// remove removes a text that stands after the cursor, or before it if dir is -1.
func remove(b *prompt.Buffer, text string, dir int) {
	n := len([]rune(text))
	if dir < 0 {
		b.DeleteBeforeCursor(n)
	} else {
		b.Delete(n)
	}
}

// setText replaces the line.
func setText(b *prompt.Buffer, text string) {
	move(b, b.Document().TextAfterCursor(), 1)
	remove(b, b.Text(), -1)
	b.InsertText(text, false, true)
}

// A killer cuts parts of the line and pastes them, as readline does: consecutive cuts are
// pasted as one.
type killer struct {
	cut    string
	text   string // the line and the cursor after the last cut
	cursor int
}

// before cuts a text that stands before the cursor.
func (k *killer) before(b *prompt.Buffer, text string) {
	k.begin(b)
	remove(b, text, -1)
	k.cut = text + k.cut
	k.end(b)
}

// after cuts a text that stands after the cursor.
func (k *killer) after(b *prompt.Buffer, text string) {
	k.begin(b)
	remove(b, text, 1)
	k.cut += text
	k.end(b)
}

// begin forgets earlier cuts, unless nothing has happened since.
func (k *killer) begin(b *prompt.Buffer) {
	if b.Text() != k.text || len(b.Document().TextBeforeCursor()) != k.cursor {
		k.cut = ""
	}
}

func (k *killer) end(b *prompt.Buffer) {
	k.text, k.cursor = b.Text(), len(b.Document().TextBeforeCursor())
}

// firstCharacter returns the first character of s as a user sees it, which may have
// several code points.
func firstCharacter(s string) string {
	first, _, _, _ := uniseg.FirstGraphemeClusterInString(s, -1)
	return first
}

// lastCharacter returns the last character of s.
func lastCharacter(s string) (last string) {
	if n := len(s); n > 0 && s[n-1] < 0x80 && (n == 1 || s[n-2] < 0x80) {
		return s[n-1:]
	}
	for state := -1; s != ""; {
		last, s, _, state = uniseg.FirstGraphemeClusterInString(s, state)
	}
	return last
}

// lastField returns what follows the last space of s, and spaces at its end.
func lastField(s string) string {
	word := strings.TrimRight(s, " ")
	return s[strings.LastIndexByte(word, ' ')+1:]
}

// lastWord returns the last word of s, and what stands after it.
func lastWord(s string) string {
	before := strings.TrimRightFunc(strings.TrimRightFunc(s, notWord), isWord)
	return s[len(before):]
}

// firstWord returns the first word of s, and what stands before it.
func firstWord(s string) string {
	after := strings.TrimLeftFunc(strings.TrimLeftFunc(s, notWord), isWord)
	return s[:len(s)-len(after)]
}

func isWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

func notWord(r rune) bool { return !isWord(r) }
