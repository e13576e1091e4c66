package editor

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// cutAll cuts what was typed into keys. The rest comes never: it is cut as late as can be.
func cutAll(t testing.TB, d *decoder, typed string) (keys []string, rest string) {
	t.Helper()
	for buf := []byte(typed); ; {
		key, n := d.next(buf, 0)
		if n == 0 {
			if key, n = d.next(buf, time.Hour); n == 0 {
				return keys, string(buf)
			}
		}
		if n < 0 || n > len(buf) {
			t.Fatalf("%q: took %d bytes", buf, n)
		}
		if key != "" {
			keys = append(keys, key)
		}
		buf = buf[n:]
	}
}

func TestDecoder(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("1;", 400)
	for _, test := range []struct{ in, want, rest string }{
		{"abc", "abc", ""},
		{"abc\r", "abc|\r", ""},
		{"a\x01b", "a|\x01|b", ""},
		{"日本\x7f", "日本|\x7f", ""},
		{"a\xffb", "a\ufffdb", ""},
		{"a\xe6\x97", "a", "\xe6\x97"}, // without a time-out
		{"\xe6\x97\r", "\ufffd|\r", ""},
		{"\x1b[A\x1b[Bx", "\x1b[A|\x1b[B|x", ""},
		{"\x1bOA\x1bO5D", "\x1bOA|\x1bO5D", ""},
		{"\x1bb\x1bé", "\x1bb|\x1bé", ""},
		{"\x1b", "\x1b", ""},
		{"\x1b\x1b[A", "\x1b|\x1b[A", ""},
		{"\x1b[12", "", "\x1b[12"},
		{"\x1b[12\x03", "\x03", ""}, // the way out
		{"\x1b[\r", "\r", ""},
		{"\x1bO\x03", "\x1bO|\x03", ""},
		{"\x1b[[Ax", "\x1b[[A|x", ""},
		{"\x1b[ qx", "\x1b[ q|x", ""}, // with an intermediate byte
		{"\x1b[" + long + "mx", "x", ""},
		{"\x1b[" + long + "\x03x", "\x03|x", ""},
		{"\x1b[<0;12;7Mx", "\x1b[<0;12;7M|x", ""},
		{"\x1b[M !!x", "x", ""}, // the mouse of X10
		{"\x1b[M \xf0\xe9x", "x", ""},
		{"\x1b[M \x03x", "\x03|x", ""},
		{"\x1b]11;rgb:ffff/ffff/ffff\x1b\\x", "x", ""},
		{"\x1b]11;rgb:ffff/ffff/ffff\ax", "x", ""},
		{"\x1bP1+r544e=787465726d\x1b\\x", "x", ""},
		{"\x1b_Gi=31;OK\x1b\\x", "x", ""},
		{"\x1b^x\x1b\\x\x1bX日\x1b\\x", "x|x", ""},
		{"\x1b]52;c;" + strings.Repeat("QUJD", 40_000) + "\ax", "x", ""},
		{"\x1b]never\rx", "\r|x", ""},
		{"\x1b]never\x03x", "\x03|x", ""},
		{"\x1b]never\x1b[Ax", "\x1b[A|x", ""},
		{"\x1b[201~x", "\x1b[201~|x", ""}, // is bound to nothing
	} {
		d := new(decoder)
		got, rest := cutAll(t, d, test.in)
		if strings.Join(got, "|") != test.want || rest != test.rest || d.dropping != dropNothing {
			t.Errorf("%.40q: %q and the rest %q, want %q and %q", test.in, got, rest, test.want, test.rest)
		}
	}
	// A string without an end is given up when nothing more comes.
	d := new(decoder)
	if keys, rest := cutAll(t, d, "\x1b]11;rgb"); keys != nil || rest != "" {
		t.Errorf("%q %q", keys, rest)
	}
	if key, n := d.next([]byte("x"), 0); key != "x" || n != 1 {
		t.Errorf("after a string that was given up: %q", key)
	}
}

func TestDecoderPaste(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in, want, rest string
		pasting        bool
	}{
		{"a\tb\x1bc\x1b[31m\r" + pasteEnd + "\x1b[A", "a|" + pastedTab + "|b|c|[31m|\r|\x1b[A", "", false},
		{"a\x1b[20", "a", "\x1b[20", true}, // without a time-out
		{"a\x1b[20\x03", "a|[20|\x03", "", true},
		{"a\x1b", "a", "\x1b", true},
		{"a" + pasteBegin + "b" + pasteEnd, "a|b", "", false},
		{"a\x00\x0f\x1a\x1e\x7fb", "a|b", "", true},
	} {
		d := new(decoder)
		got, rest := cutAll(t, d, pasteBegin+test.in)
		if strings.Join(got, "|") != test.want || rest != test.rest || d.pasting != test.pasting {
			t.Errorf("%q: %q and the rest %q, pasting %v", test.in, got, rest, d.pasting)
		}
	}
}

// FuzzDecoder checks that bytes are the same keys however they are cut, that a decoder
// never holds back more than a sequence, and that Ctrl-C gets through.
func FuzzDecoder(f *testing.F) {
	for _, seed := range []string{"a\x1b[A\x1b[200~x\ty\x1b[201~\r", "\xe6\x97\x1bO\xff", "\x1b]11;x\x1b\\y", "\x1b[M123\x1b[[A", "\x1b[200~\x1b[20\x03"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		whole, pieces := new(decoder), new(decoder)
		var once, slow string
		cut := func(d *decoder, buf []byte, keys *string) []byte {
			for {
				key, n := d.next(buf, 0)
				if n == 0 {
					return buf
				}
				*keys += key
				buf = buf[n:]
			}
		}
		rest := cut(whole, []byte(typed), &once)
		if len(rest) > maxSequence {
			t.Errorf("%q: holds back %q", typed, rest)
		}
		var buf []byte
		for i := range len(typed) {
			buf = cut(pieces, append(buf, typed[i]), &slow)
		}
		if utf8.ValidString(typed) && once != slow {
			t.Errorf("%q: %q at once, %q slowly", typed, once, slow)
		}
		if !utf8.ValidString(once) && !strings.Contains(once, "\x1b") {
			t.Errorf("%q: invalid text %q", typed, once)
		}
		slow = ""
		if rest = cut(pieces, append(buf, 0x03), &slow); !strings.HasSuffix(slow, "\x03") || len(rest) > 0 {
			t.Errorf("%q: Ctrl-C gives %q and holds back %q", typed, slow, rest)
		}
	})
}
