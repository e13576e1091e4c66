package text

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClip(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 59)
	for in, want := range map[string]string{
		"":                          "",
		long + "y":                  long + "y",
		long + "yz":                 long + "y…",
		long + "é":                  long + "…",
		long + "\xff":               long + "\xff",
		strings.Repeat("\x80", 100): strings.Repeat("\x80", 56) + "…",
	} {
		if got := Clip(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if got, want := Quote("a\n\""), `"a\n\""`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLine has texts that are too long, or would spoil a line.
func TestLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"short":               "short",
		"two\nlines\x1b[2J":   "two lines [2J",
		"\u2028\u202eright":   "  right",
		"no \xff UTF-8":       "no \uFFFD UTF-8",
		"0123456789012345":    "0123456789012345",
		"01234567890123456":   "0123456789012…",
		"012345678901é3456":   "012345678901…",
		"0123456789é\xff\xff": "0123456789é\uFFFD\uFFFD",
	} {
		if got := Line(in, 16); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\xff\u2028é", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 3 + limit&0xfff
		got := Line(s, limit)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\t\u2028") || len(s) > limit && len(got) > limit {
			t.Errorf("%q in %d bytes: %q", s, limit, got)
		}
	})
}

func TestIsName(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"a": true, "Z": true, "0": true, "_-": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a\n": false, "é": false, "a.b": false, "@": false, "\xff": false,
	} {
		if IsName(s) != want {
			t.Errorf("IsName(%q) = %v", s, !want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	var v uint8 = 7
	if err := Parse(&v, "state", []string{"alive", "failed"}, []byte("failed")); err != nil || v != 1 {
		t.Errorf("%d, %v", v, err)
	}
	err := Parse(&v, "state", []string{"alive", "failed"}, []byte("Alive"))
	if err == nil || err.Error() != `state "Alive": say alive, failed` || v != 1 {
		t.Errorf("%d, %v", v, err)
	}
}

func TestBar(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value, most float64
		want        string
	}{
		{0, 10, ""}, {1, 0, ""}, {10, 10, "████"}, {5, 10, "██"}, {1, 1000, "▏"}, {20, 10, "████"}, {0.7, 1, "██▊"},
		{-1, 10, ""}, {1, math.Inf(1), "▏"},
	} {
		if got := Bar(test.value, test.most, 4); got != test.want {
			t.Errorf("%v of %v: %q, want %q", test.value, test.most, got, test.want)
		}
	}
}

// TestFit cuts and pads texts at columns, of which some characters take two.
func TestFit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		s     string
		cols  int
		want  string
		width int
	}{
		{"abc", 3, "abc", 3},
		{"abcd", 3, "ab…", 4},
		{"日本", 4, "日本", 4},
		{"日本語", 5, "日本…", 6},
		{"日本語", 4, "日…", 6},
		{"❤️🇩🇪👨‍👩‍👧e\u0301", 7, "❤️🇩🇪👨‍👩‍👧e\u0301", 7},
		{"👨‍👩‍👧👨‍👩‍👧", 3, "👨‍👩‍👧…", 4},
		{"ab", 0, "…", 2},
		{"", 0, "", 0},
	} {
		if got := Fit(test.s, test.cols); got != test.want {
			t.Errorf("%q in %d columns: %q, want %q", test.s, test.cols, got, test.want)
		}
		if got := Width(test.s); got != test.width {
			t.Errorf("%q is %d columns wide, want %d", test.s, got, test.width)
		}
		if got := Pad(test.s, 9); Width(got) != 9 || strings.TrimRight(got, " ") != test.s {
			t.Errorf("%q padded to 9 columns: %q", test.s, got)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\nb\tc": "a b c", "\x1b[31m\x07\r\u009b": "?[31m???", "\u202e\u2066\u200f\u061c\u2028": "?????",
		"日本 é 👩‍👧": "日本 é 👩‍👧", "\xff": "\ufffd", "": "",
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
