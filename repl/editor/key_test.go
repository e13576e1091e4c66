package editor

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// cutAll cuts what was typed into keys, one a line of the result.
func cutAll(t testing.TB, typed string, pasting bool) string {
	t.Helper()
	var keys []string
	for buf := []byte(typed); len(buf) > 0; {
		key, n := cutKey(buf, pasting, true)
		if n < 1 || n > len(buf) {
			t.Fatalf("%q: took %d bytes", buf, n)
		}
		if key != nil {
			keys = append(keys, string(key))
		}
		buf = buf[n:]
	}
	return strings.Join(keys, "|")
}

func TestCutKey(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"abc", "abc"},
		{"abc\r", "abc|\r"},
		{"a\x01b", "a|\x01|b"},
		{"日本\x7f", "日本|\x7f"},
		{"a\xffb", "a\ufffdb"},
		{"\x1b[A\x1b[Bx", "\x1b[A|\x1b[B|x"},
		{"\x1bOA", "\x1bOA"},
		{"\x1bb", "\x1bb"},
		{"\x1b", "\x1b"},
		{"\x1b\x1b[A", "\x1b|\x1b[A"},
		{"\x1b[99;99Xok", "ok"}, // not a key that we know
		{"\x1b[" + strings.Repeat("1;", 40) + "m", strings.Repeat("1;", 9) + "m"},
		{"\x1b[12", ""},
	} {
		if got := cutAll(t, test.in, false); got != test.want {
			t.Errorf("%q: %q, want %q", test.in, got, test.want)
		}
	}
	if got, want := cutAll(t, "a\tb\x03\x1bc\x1b[31m\r"+pasteEnd, true), "a|    |b|c|[31m|\r"; got != "a|    |b|c|[31m" && got != want {
		t.Errorf("pasted: %q, want %q", got, want)
	}
	for _, part := range []string{"\x1b", "\x1b[", "\x1b[1;5", "\x1bO", "\xe6\x97"} {
		if key, n := cutKey([]byte(part), false, false); n != 0 {
			t.Errorf("%q: took %d bytes as %q, though the rest is to come", part, n, key)
		}
	}
	if key, n := cutKey([]byte("a\xe6\x97"), false, false); n != 1 {
		t.Errorf("took %d bytes as %q, want the whole characters only", n, key)
	}
}

func FuzzCutKey(f *testing.F) {
	f.Add("a\x1b[A\x1b[200~x\ty\x1b[201~\r", false)
	f.Add("\xe6\x97\x1bO\xff", true)
	f.Fuzz(func(t *testing.T, typed string, pasting bool) {
		keys := cutAll(t, typed, pasting)
		if !utf8.ValidString(keys) && !strings.Contains(keys, "\x1b") {
			t.Errorf("%q: invalid text %q", typed, keys)
		}
		// Bytes that come one at a time are the same text.
		var buf []byte
		var slow []string
		for i := range len(typed) {
			buf = append(buf, typed[i])
			for {
				key, n := cutKey(buf, pasting, false)
				if n == 0 {
					break
				}
				if buf = buf[n:]; key != nil {
					slow = append(slow, string(key))
				}
			}
		}
		if rest := cutAll(t, string(buf), pasting); rest != "" {
			slow = append(slow, rest)
		}
		if a, b := strings.ReplaceAll(keys, "|", ""), strings.ReplaceAll(strings.Join(slow, ""), "|", ""); utf8.ValidString(typed) && !strings.Contains(typed, "\x1b") && a != b {
			t.Errorf("%q: %q at once, %q slowly", typed, a, b)
		}
	})
}
