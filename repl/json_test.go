package repl

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestJSON writes the values of the shell as JSON: with names, times in seconds, and dates as
// in RFC 3339.
func TestJSON(t *testing.T) {
	t.Parallel()
	const setUp = "x = request(7)\nw = workers()\nn = nodes(detail=True)\n"
	const first = `{"id":7,"kind":"default","node":"2@127.0.0.1","age":1.0,"ttl":4.0,"hits":12,"queue":0}`
	for in, want := range map[string]string{
		"w[0]":                        first,
		"w":                           "[" + first + "]",
		"list(w), {'w': w[:1]}":       "[[" + first + `],{"w":[` + first + "]}]",
		"n[1].rtt":                    "0.0001",
		"{'b': n[3].rtt, 'a': n[3:]}": `{"a":[{"name":"4@127.0.0.1","state":"failed","since":null,"until":null,"rtt":null,"ids":null,"rate":null,"uptime":null,"lease":null,"view_epoch":null,"voter":null,"leads":null,"quorum":null,"incarnation":"a3","why":"out of reach"}],"b":null}`,
		"x":                           `{"value":200,"node":"2@127.0.0.1","cached":false,"stale":false,"degraded":false,"via":null,"age":1.0,"ttl":4.0,"token":null}`,
		"[time.hour, time.time(year=2026, month=2, day=3, hour=4, minute=5, second=6, location='UTC')]": `[3600.0,"2026-02-03T04:05:06Z"]`,
		"configure()": `{"color":"auto","timeout":0.0,"limit":0,"history":100,"save_history":true,"fail":true}`,
		"[1, 1.0, 1e300, None, True, 'a\\n<é\\x7f', (), {}, set([1]), range(2), 1 << 70]": "[1,1.0,1e+300,null,true,\"a\\n<é\\u007f\",[],{},[1],[0,1],1180591620717411303424]",
	} {
		want = strings.ReplaceAll(want, `\u007f`, "\x7f")
		out, errs, _ := run(t, Config{}, setUp+"print(json.encode(("+in+")))")
		if out != want+"\n" || errs != "" || !json.Valid([]byte(out)) {
			t.Errorf("%s:\n%s%s\nwant\n%s", in, out, errs, want)
		}
	}
	for in, want := range map[string]string{
		"json.decode(json.encode(w))[0] == {f: getattr(w[0], f) for f in dir(w[0])}":                   "True",
		"[json.decode(json.encode(r))['value'] == r.value for r in (x, request(1))]":                   "[True, True]",
		"json.decode(json.encode(why(7)))['owner']":                                                    `"2@127.0.0.1"`,
		"sorted(json.decode(json.encode(why(7))).keys()) == dir(why(7))":                               "True",
		"json.decode(json.encode(json.decode(json.encode(n)))) == json.decode(json.encode(n)), len(n)": "(True, 4)",
		"json.decode(json.indent(json.encode(n))) == json.decode(json.encode_indent(n, indent='  '))":  "True",
		"json.encode_indent({'a': w[0].hits}, prefix='', indent=' ')":                                  `"{\n \"a\": 12\n}"`,
		"json.decode(json.encode(time(lambda: w)))['value'] == json.decode(json.encode(w))":            "True",
		"json.decode('[' * 20000, None), json.decode('{', 3), json.decode('[1]')":                      "(None, 3, [1])",
		"json.encode('é'[:1])": "\"\\\"\\\\ufffd\\\"\"",
	} {
		if out, errs, _ := run(t, Config{}, setUp+in); out != want+"\n" || errs != "" {
			t.Errorf("%s:\n%s%s\nwant\n%s", in, out, errs, want)
		}
	}
}

// TestJSONErrors has values that have no JSON, or too much of it.
func TestJSONErrors(t *testing.T) {
	t.Parallel()
	const doubled = "l = w\nfor i in range(40): l = [l, l]\n"
	for in, want := range map[string]string{
		"json.encode(len)":                                      "json.encode: cannot encode builtin_function_or_method as JSON",
		"json.encode({'a': [1, len]})":                          `json.encode: in dict key "a": at list index 1: cannot encode builtin_function_or_method as JSON`,
		"json.encode(time(lambda: len))":                        "json.encode: in field .value of timing: cannot encode builtin_function_or_method as JSON",
		"json.encode([b'x'])":                                   "json.encode: at list index 0: cannot encode bytes as JSON",
		"json.encode({1: 2})":                                   "json.encode: dict has int key, want string",
		"json.encode(float('inf'))":                             "json.encode: cannot encode non-finite float +inf",
		"l = [1]\nl.append(l)\njson.encode(l)":                  "json.encode: it contains itself",
		"d = {}\nd['a'] = [w, d]\njson.encode(d)":               "json.encode: it contains itself",
		"l = []\nfor i in range(2000): l = [l]\njson.encode(l)": "json.encode: it is nested more than 1000 deep",
		doubled + "json.encode(l)":                              "json.encode: it is longer than 16777216 bytes",
		doubled + "json.encode_indent(l)":                       "json.encode_indent: it is longer than 16777216 bytes",
		"json.encode('x' * (100 << 20))":                        "json.encode: it is longer than 16777216 bytes",
		"json.encode()":                                         "json.encode: got 0 arguments, want 1",
		"json.decode('[' * 20000)":                              "json.decode: it is nested more than 10000 deep",
		"call(7, [w[0], len])":                                  "call: the message as JSON: at list index 1: cannot encode builtin_function_or_method as JSON",
	} {
		_, errs, _ := run(t, Config{}, "x = request(7)\nw = workers()\n"+in)
		if !strings.HasSuffix(strings.SplitN(errs, "\n", 2)[0], ": "+want) {
			t.Errorf("%s:\n%swant\n%s", in, errs, want)
		}
	}
}
