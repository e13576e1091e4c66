package editor

import (
	"strconv"
	"strings"

	prompt "github.com/c-bata/go-prompt"
)

// A menu completes the word before the cursor when Tab is pressed: it inserts the common
// prefix of all suggestions, and opens if there are several. Only the goroutine of Input
// may use it.
type menu struct {
	complete func(before string) (word string, list []Suggestion)
	tell     func(line string) // shows the suggestions where no menu can be drawn, unless nil
	list     []Suggestion
	open     bool
	document prompt.Document // the line as go-prompt draws it next
}

// line returns the line that go-prompt draws next, and how many bytes stand before the
// cursor.
func (m *menu) line() (text string, cursor int) {
	return m.document.Text, len(m.document.TextBeforeCursor())
}

// word returns the word that go-prompt replaces by the selected suggestion.
func (m *menu) word() string {
	return m.document.GetWordBeforeCursorUntilSeparator(WordSeparators)
}

// suggest returns the menu to go-prompt, which calls it before it draws. What go-prompt
// takes for a description is the number of the suggestion, for the screen. An open menu
// does not change, because go-prompt keeps an index into it.
func (m *menu) suggest(d prompt.Document) (list []prompt.Suggest) {
	m.document = d
	switch d.LastKeyStroke() {
	case prompt.Tab, prompt.BackTab, prompt.Up, prompt.Down:
	default:
		m.open = false
	}
	if !m.open {
		return nil
	}
	for i, s := range m.list {
		list = append(list, prompt.Suggest{Text: s.Text, Description: strconv.Itoa(i)})
	}
	return list
}

// tab handles the key if no menu is open.
func (m *menu) tab(b *prompt.Buffer) {
	if m.open {
		return
	}
	after := b.Document().TextAfterCursor()
	word, list := m.complete(b.Document().TextBeforeCursor())
	if len(list) == 0 {
		return
	}
	b.InsertText(strings.TrimPrefix(commonPrefix(list), word), false, true)
	if end := list[0].Close; len(list) == 1 && !strings.HasPrefix(after, end) {
		b.InsertText(end, false, true)
	}
	m.list, m.open = list, len(list) > 1
	if m.open && m.tell != nil {
		m.open = false
		m.tell(texts(list))
	}
}

// commonPrefix returns the whole characters with which all texts begin.
func commonPrefix(list []Suggestion) string {
	shared := list[0].Text
	for _, s := range list[1:] {
		n := 0
		for n < len(shared) && firstCharacter(shared[n:]) == firstCharacter(s.Text[n:]) {
			n += len(firstCharacter(shared[n:]))
		}
		shared = shared[:n]
	}
	return shared
}

// texts returns the texts of a list in one line.
func texts(list []Suggestion) string {
	var words []string
	for _, s := range list {
		words = append(words, s.Text)
	}
	return strings.Join(words, "  ")
}
