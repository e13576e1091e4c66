package editor

import (
	"strings"

	prompt "github.com/c-bata/go-prompt"
)

// A killer cuts parts of the line and pastes them, as readline does: consecutive cuts are
// pasted as one. Go-prompt's own keys lose the text that they cut.
type killer struct {
	cut    string
	text   string // the line and the cursor after the last cut
	cursor int
}

// keys returns the keys that cut, and Ctrl-Y. The keyboard replaces the control
// characters by keys of its own, because go-prompt would obey them, too.
func (k *killer) keys() []prompt.ASCIICodeBind {
	before := func(count func(*prompt.Document) int) func(*prompt.Buffer) {
		return func(b *prompt.Buffer) { k.before(b, count(b.Document())) }
	}
	after := func(count func(*prompt.Document) int) func(*prompt.Buffer) {
		return func(b *prompt.Buffer) { k.after(b, count(b.Document())) }
	}
	return []prompt.ASCIICodeBind{
		{ASCIICode: ownKey('\x15'), Fn: before(func(d *prompt.Document) int { return runes(d.TextBeforeCursor()) })},
		{ASCIICode: ownKey('\x17'), Fn: before(func(d *prompt.Document) int { return runes(lastWord(d.TextBeforeCursor())) })},
		{ASCIICode: []byte("\x1b\x7f"), Fn: before(func(d *prompt.Document) int { return runes(lastWord(d.TextBeforeCursor())) })},
		{ASCIICode: ownKey('\x0b'), Fn: after(func(d *prompt.Document) int { return runes(d.TextAfterCursor()) })},
		{ASCIICode: []byte("\x1bd"), Fn: after((*prompt.Document).FindEndOfCurrentWordWithSpace)},
		{ASCIICode: ownKey('\x19'), Fn: func(b *prompt.Buffer) { b.InsertText(k.cut, false, true) }},
	}
}

func (k *killer) before(b *prompt.Buffer, n int) {
	k.begin(b)
	k.cut = b.DeleteBeforeCursor(n) + k.cut
	k.end(b)
}

func (k *killer) after(b *prompt.Buffer, n int) {
	k.begin(b)
	k.cut += b.Delete(n)
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

// lastWord returns the word at the end of s, and spaces after it.
func lastWord(s string) string {
	word := strings.TrimRight(s, " ")
	return s[strings.LastIndexByte(word, ' ')+1:]
}

func runes(s string) int { return len([]rune(s)) }
