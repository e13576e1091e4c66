package repl

import (
	"strings"
	"testing"
)

// TestSteps has single steps that would take all memory, or last for hours: they fail, and
// the variables stay.
func TestSteps(t *testing.T) {
	t.Parallel()
	const doubled = "l = [1]\nfor i in range(40): l = [l, l]\n"
	for in, want := range map[string]string{
		"x = [None] * (1 << 26)":                        "excessive repeat (1 * 67108864 elements, of at most 10000000)",
		"x = (1 << 26) * [None]":                        "excessive repeat (1 * 67108864 elements, of at most 10000000)",
		"x = [1]\nx *= 1 << 40":                         "excessive repeat (1 * 1099511627776 elements, of at most 10000000)",
		"x = [y * (1 << 62) for y in ['ab']]":           "excessive repeat (2 * 4611686018427387904 elements, of at most 268435456)",
		"x = lambda y: {1: (y * 10000001)[0]}\nx((1,))": "excessive repeat (1 * 10000001 elements, of at most 10000000)",
		"x = 1 << 500\nfor i in range(40): x = x * x":   "a product of more than 4194304 bits",
		doubled + "print(l)":                            "print: the text is longer than 16 MiB",
		doubled + "x = str(l)":                          "str: the text is longer than 16 MiB",
		doubled + "x = repr((l,))":                      "repr: the text is longer than 16 MiB",
		doubled + "x = json.encode({'l': l})":           "json.encode: it is longer than 16777216 bytes",
		"l = []\nfor i in range(2000): l = [l]\nstr(l)": "str: it is nested more than 1000 deep",
	} {
		if _, errs, err := run(t, Config{}, in); err != ExitStatus(1) || !strings.Contains(errs, ": "+want+"\n") {
			t.Errorf("%s: %v %s, want %s", in, err, errs, want)
		}
	}
	for in, want := range map[string]string{
		"x = 2\nx *= 3 * 4\nx, 2 * 'ab', 'ab' * -1, [1] * 2 * 2, (1,) * 0, 1.5 * 2, 2 * 3": `(24, "abab", "", [1, 1, 1, 1], (), 3.0, 6)`,
		"l = [1]\nl.append(l)\nl":                       "[1, [...]]",
		"d = {}\nd[1] = [d]\nd":                         "{1: [[...]]}",
		"l = [1]\nl.append(l)\nprint(l, str(l))":        "[1, [...]] [1, [...]]",
		"m = [1]\n[m, m]":                               "[[1], [1]]",
		"json.encode([1, 'a']), str('x'), repr('x')":    `("[1,\"a\"]", "x", "\"x\"")`,
		doubled + "l[0][0] == l[1][1] if 0 else len(l)": "2",
	} {
		if out, errs, _ := run(t, Config{}, in); out != want+"\n" || errs != "" {
			t.Errorf("%s:\n%s%swant %s", in, out, errs, want)
		}
	}
}
