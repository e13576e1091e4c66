package editor

import (
	"strings"
	"sync/atomic"

	prompt "github.com/c-bata/go-prompt"
)

// A menu completes the word before the cursor when Tab is pressed: it inserts the common
// prefix of all suggestions, and opens if there are several. Only the goroutine of Input
// may use it, except for isOpen.
type menu struct {
	complete func(before string) (word string, list []Suggestion)
	room     int // columns that the menu has
	list     []prompt.Suggest
	open     atomic.Bool
}

func (m *menu) isOpen() bool { return m.open.Load() }

// suggest returns the menu for go-prompt to draw. An open menu does not change, because
// go-prompt keeps an index into it.
func (m *menu) suggest(d prompt.Document) []prompt.Suggest {
	switch d.LastKeyStroke() {
	case prompt.Tab, prompt.BackTab, prompt.Up, prompt.Down:
	default:
		m.open.Store(false)
	}
	// go-prompt panics on a menu without room for a word.
	if !m.isOpen() || m.room < 16 {
		return nil
	}
	return m.list
}

// tab handles the key if no menu is open.
func (m *menu) tab(b *prompt.Buffer) {
	if m.isOpen() {
		return
	}
	word, list := m.complete(b.Document().TextBeforeCursor())
	if len(list) == 0 {
		return
	}
	shared := list[0].Text
	m.list = nil
	for _, s := range list {
		for !strings.HasPrefix(s.Text, shared) {
			shared = shared[:len(shared)-1]
		}
		m.list = append(m.list, prompt.Suggest{Text: s.Text, Description: s.Help})
	}
	b.InsertText(strings.TrimPrefix(shared, word), false, true)
	m.open.Store(len(list) > 1)
}
