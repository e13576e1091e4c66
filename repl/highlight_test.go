package repl

import (
	"regexp"
	"testing"
)

func TestHighlight(t *testing.T) {
	t.Parallel()
	colors := regexp.MustCompile(`\x1b\[(\d*)m`)
	for in, want := range map[string]string{
		`request(1, via="2@h")  # now`: `request(<35>1<0>, via=<32>"2@h"<0>)  <2># now<22>`,
		`for x in 'a\'b', "c`:          `<33>for<0> x <33>in<0> <32>'a\'b'<0>, <32>"c<0>`,
		`x1 = not 2.5 → None`:          `x1 = <33>not<0> <35>2<0>.<35>5<0> → <35>None<0>`,
		`日本 = "\`:                      `日本 = <32>"\<0>`,
		``:                             ``,
	} {
		got := style{colored: true}.highlight(in)
		if got := colors.ReplaceAllString(got, "<$1>"); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
		if plain := colors.ReplaceAllString(got, ""); plain != in || (style{}).highlight(in) != in {
			t.Errorf("%s became %s", in, plain)
		}
	}
}

func FuzzHighlight(f *testing.F) {
	f.Add("x = 'a' # b")
	f.Fuzz(func(t *testing.T, line string) {
		if got := regexp.MustCompile(`\x1b\[\d*m`).ReplaceAllString(style{colored: true}.highlight(line), ""); got != regexp.MustCompile(`\x1b\[\d*m`).ReplaceAllString(line, "") {
			t.Errorf("%q became %q", line, got)
		}
	})
}
