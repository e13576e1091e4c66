package repl

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The README's list of commands is the table.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	want := "| command | what it does |\n|---|---|\n"
	for _, c := range commands() {
		want += fmt.Sprintf("| `%s` | %s |\n", c.usage, c.help)
	}
	_, rest, _ := strings.Cut(string(data), "| command |")
	if got, _, _ := strings.Cut("| command |"+rest, "\n\n"); got+"\n" != want {
		t.Errorf("README.md has\n%s\nwant\n%s", got, want)
	}
}
