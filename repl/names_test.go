package repl

import (
	"strings"
	"testing"
)

// TestRenameLoad has the commands load and del in programs, in which the words also stand
// where they are no names.
func TestRenameLoad(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`load("f")`:            `ｌoad("f")`,
		`"load"`:               `"load"`,
		`load.x + reload`:      `ｌoad.x + reload`,
		`# load`:               `# load`,
		`'it\'s load' + load`:  `'it\'s load' + ｌoad`,
		`"\\" + load`:          `"\\" + ｌoad`,
		`"\\load"`:             `"\\load"`,
		"'''a\nload''' + load": "'''a\nload''' + ｌoad",
		"'a\nload":             "'a\nｌoad", // a string that does not end on its line is an error
		"'a\\\nload' + load":   "'a\\\nload' + ｌoad",
		`'\`:                   `'\`,
		`del(x) # del`:         `ｄel(x) # del`,
		`"del" + model`:        `"del" + model`,
	} {
		if got := renameLoad(strings.Split(in, "\n")); got != want+"\n" {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
