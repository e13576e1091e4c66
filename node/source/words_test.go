package source

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A command without expansions, operators or comments is split as sh does.
var shellLines = []string{
	"", " ", "a", " a  b\tc ", "''", `""`, `a '' ""`, `a''b`, `'a b'"c d"e\ f`, `'a\b"c'`, `"a'b"`, `"a\"b\\c\a"`,
	`\'\"`, "a\\\nb", "\"a\\\nb\"", "'a\\\nb'", "a \\\n b", "a\\\n", `"\$HOME" \$HOME '$HOME'`, "\"\\`\" \\` '`'", `x=1 y`,
	"a\rb", "é'ö'", `{id} a{id}b`, "\v\f", `"a b"c"d e"`, "'\n'", "\"\n\"",
}

func TestSplitWordsAsShell(t *testing.T) {
	t.Parallel()
	for _, line := range shellLines {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `f() { for w; do printf '%s\0' "$w"; done; }; f `+line).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(string(out), "\x00")
		want = want[:len(want)-1]
		if got, err := splitWords(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, sh says %q", line, got, err, want)
		}
	}
}

func TestSplitWordsExpandsNothing(t *testing.T) {
	t.Parallel()
	got, err := splitWords("$HOME\n$(x) *.go ~ a;b|c&d>e #f \"$HOME\" !1\n\n{a,b}\n")
	want := []string{"$HOME", "$(x)", "*.go", "~", "a;b|c&d>e", "#f", "$HOME", "!1", "{a,b}"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzSplitWords(f *testing.F) {
	for _, line := range shellLines {
		f.Add(line)
	}
	f.Add(`a 'b`)
	f.Add(`a\`)
	f.Fuzz(func(t *testing.T, s string) {
		// Any text is one word if it is quoted, in each of the three ways.
		for _, quoted := range []string{singly(s), doubly(s), escaped(s)} {
			if got, err := splitWords("a " + quoted + "\tb"); err != nil || !slices.Equal(got, []string{"a", s, "b"}) {
				t.Fatalf("%q: %q, %v", quoted, got, err)
			}
		}
		words, err := splitWords(s)
		if err != nil {
			if !strings.ContainsAny(s, `'"\`) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		again, err := splitWords(joined(words))
		if err != nil || !slices.Equal(again, words) {
			t.Fatalf("%q: %q, again: %q, %v", s, words, again, err)
		}
		if total := len(strings.Join(words, "")); total > len(s) {
			t.Fatalf("%q: %d bytes of words", s, total)
		}
	})
}

func singly(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func doubly(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s) + `"`
}

// escaped puts a backslash before each byte but the newline, for which it would mean
// something else.
func escaped(s string) string {
	if s == "" {
		return "''"
	}
	var b strings.Builder
	for i := range len(s) {
		if s[i] == '\n' {
			b.WriteString("'\n'")
		} else {
			b.WriteString(`\` + s[i:i+1])
		}
	}
	return b.String()
}

func joined(words []string) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString(singly(w) + "\n")
	}
	return b.String()
}
