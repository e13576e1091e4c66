package repl

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// TestReadme compares the README's list of commands with the table, and looks for every
// function that the README names.
func TestReadme(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	want := "| command | what it does |\n|---|---|\n"
	for _, c := range commands() {
		want += fmt.Sprintf("| `%s` | %s |\n", c.usage, c.help)
		name, _, _ := strings.Cut(c.usage, "(")
		known = append(append(known, name), c.aliases...)
	}
	_, rest, _ := strings.Cut(string(data), "| command |")
	if got, _, _ := strings.Cut("| command |"+rest, "\n\n"); got+"\n" != want {
		t.Errorf("README.md has\n%s\nwant\n%s", got, want)
	}
	for name, v := range New(Config{}).built {
		if module, ok := v.(*starlarkstruct.Module); ok {
			for member := range module.Members {
				known = append(known, name+"."+member)
			}
		}
	}
	// Prompts, and what iex has.
	known = append(known, "", "distproc", "iex", "IEx.configure", "timer.tc", "rpc.call")
	for _, call := range regexp.MustCompile(`([A-Za-z_.]+)\(`).FindAllStringSubmatch(string(data), -1) {
		name := strings.Trim(call[1], ".")
		if _, builtin := starlark.Universe[name]; !builtin && !slices.Contains(known, name) {
			t.Errorf("README.md: there is no %s", call[0])
		}
	}
}
