package source

import (
	"strings"
	"testing"
)

func TestRandom(t *testing.T) {
	t.Parallel()
	v, err := load(t, "random", "7")
	if n, ok := v.Int(); err != nil || !ok || n < 1 || n > 1000 {
		t.Errorf("random: %v, %v", v, err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"":                        `source "": say random, exec:PROGRAM ARGS… or an http(s):// address`,
		"foo:bar":                 `source "foo:bar": say random, exec:PROGRAM ARGS… or an http(s):// address`,
		"random ":                 "say random",
		"file:///etc/passwd":      "say random",
		"exec":                    "no program is named",
		"exec:":                   "no program is named",
		"exec: \t":                "no program is named",
		"exec:'' x":               "no program is named",
		"exec:./{id}":             "cannot choose the program",
		"exec:echo 'a {id}":       `the ' at byte 6, before "a {id}", has no second one`,
		`exec:echo a "b\"`:        `the " at byte 8, before "b\\\"", has no second one`,
		`exec:echo \`:             "nothing to escape",
		"exec:echo a\x00b":        "NUL",
		"exec:no-such-program-72": "install it, or write its path",
		"exec:./no/such/program":  "no such file",
		"exec:/":                  "/",
		"http:host/{id}":          "begins with http:// or https://",
		"http://":                 "names no host",
		"http:///{id}":            "names no host",
		"http://:80/{id}":         "names no host",
		"http://{id}/":            "cannot choose the host",
		"http://h:{id}/":          "cannot choose the host",
		"http://{id}@h/":          "cannot choose the host",
		"http://u:{id}@h/":        "cannot choose the host",
		"http://a b/":             "invalid character",
		"http://h\\@evil/":        "invalid",
		"http://h/{id}#x":         "write %23",
		"http://h#{id}":           "write %23",
		"http://h/{ID}":           "only {id} is replaced",
		"http://h/{id}}":          "only {id} is replaced",
		"http://h/?q={{id}":       "only {id} is replaced",
		"http://h/%{id}":          "write %25",
		"http://h/%2{id}":         "write %25",
		"http://h/?q=%{id}":       "write %25",
		"http://h/a/../{id}":      "leave out",
		"http://h/a/%2e%2E/{id}":  "leave out",
		"http://h/./{id}":         "leave out",
	} {
		_, err := Parse(spec, testEnv)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", spec, err, want)
		}
	}
}

func TestParseSerialRefuses(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"random":                  `source "random": that takes no messages: say exec:PROGRAM ARGS… or an http(s):// address`,
		"foo:bar":                 `source "foo:bar": that takes no messages: say exec:PROGRAM ARGS… or an http(s):// address`,
		"exec:":                   `source "exec:": no program is named`,
		"exec:no-such-program-72": "install it, or write its path",
		"http://{id}/":            "cannot choose the host",
	} {
		factory, err := ParseSerial(spec, testEnv)
		if err == nil || factory != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", spec, err, want)
		}
	}
}

func TestParseKeepsSecrets(t *testing.T) {
	t.Parallel()
	_, err := newEndpoint("http://user:secret@a b/", testEnv)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestFirstLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                       "",
		" \n\t\n":                "",
		"one\ntwo\n":             "one",
		"\n\n  one \r\ntwo":      "one",
		"a\tb\x1b[31mred\x00\a":  "a b[31mred",
		"caf\xe9 café":           "caf\uFFFD café",
		"\u202eright to left":    "right to left",
		strings.Repeat("é", 300): strings.Repeat("é", 128) + "…",
		strings.Repeat("x", 256): strings.Repeat("x", 256),
		strings.Repeat("x", 257): strings.Repeat("x", 256) + "…",
	} {
		if got := firstLine([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
