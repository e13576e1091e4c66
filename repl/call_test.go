package repl

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

func TestCall(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{`call(7, 5, kind="account")` + "\n" + `call(7, 6, "account")` + "\n" + `call(8, kind="account").value`, "{5, 2@127.0.0.1}\n{11, 2@127.0.0.1}\n0"},
		{`GenServer.call(7, 5, "account")`, "{5, 2@127.0.0.1}"},
		{`value, node = call("a", "x", kind="echo")` + "\nprint(value, node)", "x 2@127.0.0.1"},
		{`r = call(7, {"amount": 5}, kind="account")` + "\n" + `r, r.json["balance"]`, `({"{\"balance\": 5}", 2@127.0.0.1}, 5)`},
		{`call([1, 2], 5, kind="account")`, "id value node cached degraded\n 1 5 2@127.0.0.1 false false\n 2 5 3@127.0.0.1 false false"},
		{`[r.json["balance"] for r in call(range(3), {"amount": 5}, kind="account")]`, "[5, 5, 5]"},
		{`x = call(1, 5, kind="account")` + "\n" + `call([1, 2], -5, kind="account")`,
			"id value node cached degraded error\n 1 0 2@127.0.0.1 false false\n 2 source failed: only 0 (ran)\n<stdin>: 1 of 2 ids failed; configure(fail=False) lets the program exit with 0"},
		{`[(r.value, r.json, r.ttl, r.stale) for r in call([2], -5, kind="account")]`, "[(None, None, None, None)]\n<stdin>: 1 of 1 id failed; configure(fail=False) lets the program exit with 0"},
		{"[(r.json, r.ttl, r.stale) for r in request([1])]", "[(200, 4.0, False)]"},
		{`h(GenServer.call)`, "call(id, message, kind, timeout)\n send a message to the worker of an id, or of many ids at once, and show its answer\n" +
			" for example: call(7, \"deposit 5\", kind=\"account\"); call(7, {\"amount\": 5}, kind=\"account\").json[\"balance\"]\n also: GenServer.call"},
		{`call(7, {}, kind="echo")` + "\ni", `{"{}", 2@127.0.0.1}
value       {"{}", 2@127.0.0.1}
type        reply
media type  application/json
node        2@127.0.0.1
from        made for this request
age         N, since the worker started
ttl left    N
attributes  .age .cached .degraded .json .node .stale .token .ttl .value .via`},
	} {
		out, errs, _ := run(t, Config{}, test.in)
		got := strings.TrimSpace(spaces(out + errs))
		got = grows.ReplaceAllString(got, "$1 N") // as long as the test takes; see TestInfo
		if got != spaces(test.want) {
			t.Errorf("%s:\n%s\nwant\n%s", test.in, got, spaces(test.want))
		}
	}
}

// TestTimeoutOfCall has one request or call take at most the time that it is given.
func TestTimeoutOfCall(t *testing.T) {
	t.Parallel()
	c := &fakeCluster{request: func(ctx context.Context, _ worker.ID) (worker.Reply, error) {
		<-ctx.Done()
		return worker.Reply{}, ctx.Err()
	}}
	for _, in := range []string{"request(1, timeout=0.01)", "refresh(1, timeout=0.01)", "configure(timeout=0.01)\nrequest(1)"} {
		if _, errs, _ := run(t, Config{Cluster: c}, in); !strings.Contains(errs, "deadline exceeded") {
			t.Errorf("%s: %s", in, errs)
		}
	}
	out, errs, _ := run(t, Config{}, "configure(timeout=3)\nx = call(1, 5, kind='account', timeout=1)\nconfigure().timeout\ncall(1, 5, timeout=-1)")
	if want := "<stdin>:4:5: call: timeout: -1; seconds are a number such as 0.5, and 0 leaves it to the node\n"; out != "3.0\n" || errs != want {
		t.Errorf("%s%s", out, errs)
	}
}

// TestOrderOfArguments has the arguments of call in an order in which others have them.
func TestOrderOfArguments(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`call("account", 7, "deposit 5")`, `call("account", 7)`} {
		_, errs, _ := run(t, Config{}, in)
		if want := "; the order is call(id, message, kind)\n"; !strings.HasSuffix(errs, want) {
			t.Errorf("%s: %q, want %q at its end", in, errs, want)
		}
	}
}

// grows finds the times of a reply in what i says of it.
var grows = regexp.MustCompile(`(?m)^(age|ttl left) [\d.]+s`)

// The worker gets a message as its text, or as an integer.
func TestMessages(t *testing.T) {
	t.Parallel()
	const deep = "x = [0]\nfor i in range(99): x = [x]\n\n"
	for in, want := range map[string]string{
		``:                                "bytes: ",
		`, None`:                          "bytes: ",
		`, ""`:                            "bytes: ",
		`, "deposit 5"`:                   "bytes: deposit 5",
		`, b"\xff\x00"`:                   "bytes: \xff\x00",
		`, 5`:                             "int: 5",
		`, -1 << 63`:                      "int: -9223372036854775808",
		`, True`:                          "application/json: true",
		`, ["\u007f"]`:                    "application/json: [\"\x7f\"]",
		`, 1.0`:                           "application/json: 1.0",
		`, ()`:                            "application/json: []",
		`, {"b": [1, None], "a": "é<\n"}`: `application/json: {"a":"é<\n","b":[1,null]}`,
		`, {"n": 1 << 80}`:                `application/json: {"n":1208925819614629174706176}`,
		`, request(1)`:                    "int: 200",
		`, call(1, [1], "echo")`:          "application/json: [1]",
		`, call([1], [1], "echo")[0]`:     "application/json: [1]",
		`, [request(1)]`:                  `application/json: [{"value":200,"node":"2@127.0.0.1","cached":false,"stale":false,"degraded":false,"via":null,"age":1.0,"ttl":4.0,"token":null}]`,
		`, ["a" * (1 << 20 - 4)]`:         "application/json: [\"" + strings.Repeat("a", 1<<16) + "…",
		`, x`:                             "application/json: [[[[…",
	} {
		out, errs, _ := run(t, Config{}, deep+"print(call(7"+in+`, kind="type").value)`)
		start, cut := strings.CutSuffix(want, "…")
		if out != start+"\n" && !(cut && strings.HasPrefix(out, start)) || errs != "" {
			t.Errorf("%s: %.100q %s, want %.100q", in, out, errs, want)
		}
	}
}

func TestCallErrors(t *testing.T) {
	t.Parallel()
	const (
		what  = ": a message is a string, bytes, an int, None, a reply, or what becomes JSON: a dict, list, tuple, bool or float"
		outer = "x = [1]\ny = (1,)\nfor i in range(100): x, y = [x], (y, y)\n\n"
	)
	for in, want := range map[string]string{
		`call()`:                                "call: missing argument for id",
		`call(1.5, 1)`:                          "call: a float: an id is an integer or a string of at most 256 bytes",
		`call(7, 1, 2)`:                         "call: for parameter kind: got int, want string",
		`call(7, len)`:                          "call: a builtin_function_or_method" + what,
		`call(7, set([1]))`:                     "call: a set" + what,
		`call(7, workers())`:                    "call: a workers" + what,
		`call(7, connect("2@h")[0])`:            "call: a connection" + what,
		`call(7, call([1])[0])`:                 "call: a reply that is an error has no value to send",
		`call(7, 1 << 63)`:                      "call: an int of more than 64 bits; send str(n), or [n] as JSON",
		`call(7, {1: 2})`:                       "call: the message as JSON: dict has int key, want string",
		`call(7, {"a": [len]})`:                 `call: the message as JSON: in dict key "a": at list index 0: cannot encode builtin_function_or_method as JSON`,
		`call(7, [b"x"])`:                       "call: the message as JSON: bytes in it; JSON has none, but a message can be bytes",
		`call(7, float("nan"))`:                 "call: the message as JSON: cannot encode non-finite float nan",
		`call(7, ["é"[:1]])`:                    "call: the message as JSON: a string in it is not UTF-8",
		`call(7, {"é"[:1]: 1})`:                 "call: the message as JSON: a string in it is not UTF-8",
		`call(7, x)`:                            "call: the message as JSON: it is nested more than 100 deep",
		`x.append(x); call(7, {"x": x})`:        "call: the message as JSON: it is nested more than 100 deep",
		`call(7, (y[0],))`:                      "call: the message as JSON: it is nested more than 100 deep",
		`call(7, y[0][0][0])`:                   "call: the message as JSON: it is longer than 1048576 bytes",
		`call(7, ["a" * 1000] * 2000)`:          "call: the message as JSON: it is longer than 1048576 bytes",
		`call(7, {"a" * (1 << 20): 1})`:         "call: the message as JSON: it is longer than 1048576 bytes",
		`call(7, [range(10000000)])`:            "call: the message as JSON: it is longer than 1048576 bytes",
		`call(7)`:                               `call(7): bad request: workers of kind "default" take no calls (not run)`,
		`call("a", kind="panic")`:               "call: internal error: lost",
		`call(7, -5, kind="account")`:           "call(7): source failed: only 0 (ran)",
		`call(7, "{", kind="echo").json`:        "json: the value of this reply is no JSON: unexpected end of JSON input",
		`call(7, "hey", kind="echo").json`:      "json: the value of this reply is no JSON: invalid character 'h' looking for beginning of value",
		`call(7, "1e999", kind="echo").json`:    "json: the value of this reply is no JSON: at offset 5, invalid number: 1e999",
		`call(7, "[" * (1 << 20), "echo").json`: "json: the value of this reply is no JSON: invalid character '[' exceeded max depth",
		`call([7], "x", "echo")[0].json`:        "json: the value of this reply is no JSON: invalid character 'x' looking for beginning of value",
		`call([7])[0].jsn`:                      "reply has no .jsn field or method (did you mean .json?)",
		`call(7, [None] * (1 << 20))`:           "call: the message as JSON: it is longer than 1048576 bytes",
		`call(7, 1, "echo").jsn`:                "reply has no .jsn field or method (did you mean .json?)",
	} {
		out, errs, err := run(t, Config{}, outer+in+"\nprint('went on')\n")
		if _, got, _ := strings.Cut(errs, ": "); got != want+"\n" || out != "" || err != ExitStatus(1) {
			t.Errorf("%s: %v\n%s%swant\n%s", in, err, out, got, want)
		}
	}
}

// Every reply decodes anew, so that a message can be made of what it holds.
func TestDecoded(t *testing.T) {
	t.Parallel()
	out, errs, _ := run(t, Config{}, `r = call(7, {"a": [1, 2.5, True, None, "é"]}, "echo")
m = r.json
m["b"] = 1 << 70
call(7, m, "echo").json
r.json, hasattr(r, "json"), type(call(7, "5", "echo").json)
`)
	if want := `{"a": [1, 2.5, True, None, "é"], "b": 1180591620717411303424}` + "\n" +
		`({"a": [1, 2.5, True, None, "é"]}, True, "int")` + "\n"; out != want || errs != "" {
		t.Errorf("%s%s, want %s", out, errs, want)
	}
}

// A call has the deadline that is configured, and ends with its input.
func TestCallEnds(t *testing.T) {
	t.Parallel()
	out, errs, _ := run(t, Config{}, "configure(timeout=0.01)\ncall([1], kind='hang')[0].error\ncall(1, kind='hang')")
	if want := "\"context deadline exceeded (unknown)\"\n"; out != want || errs != "<stdin>:3:5: call(1): context deadline exceeded (unknown)\n" {
		t.Errorf("%s%s", out, errs)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var c fakeCluster
	sh := New(Config{Cluster: &c, Out: new(strings.Builder), Err: new(strings.Builder)})
	if err := sh.RunProgram(ctx, "-e", strings.NewReader("call(1, kind='hang')")); err != context.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}
