package source

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "4") // most of the parallel tests wait
	goleak.VerifyTestMain(m)
}

var testEnv = Env{Kind: "price", Node: "2@127.0.0.1"}

func mustParse(t *testing.T, spec string) worker.Source {
	t.Helper()
	source, err := Parse(spec, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func mustID(t *testing.T, s string) worker.ID {
	t.Helper()
	id, err := worker.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// load runs a source once.
func load(t *testing.T, spec, id string) (worker.Value, error) {
	t.Helper()
	return mustParse(t, spec)(t.Context(), mustID(t, id))
}

func mustParseSerial(t *testing.T, spec string) worker.Factory {
	t.Helper()
	factory, err := ParseSerial(spec, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	return factory
}

// call sends one message.
func call(t *testing.T, spec, id string, message worker.Value) (worker.Value, error) {
	t.Helper()
	server, err := mustParseSerial(t, spec)(t.Context(), mustID(t, id))
	if err != nil {
		t.Fatal(err)
	}
	return server.Call(t.Context(), message)
}

func checkValue(t *testing.T, spec, id, want string) {
	t.Helper()
	v, err := load(t, spec, id)
	if err != nil || v.String() != want {
		t.Errorf("%s with %q: %.100q, %v, want %.100q", spec, id, v, err, want)
	}
}

// checkFails expects an error that has all of the texts in it.
func checkFails(t *testing.T, spec, id string, texts ...string) {
	t.Helper()
	v, err := load(t, spec, id)
	if err == nil {
		t.Errorf("%s with %q: %.100q, want an error", spec, id, v)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s with %q: error %q lacks %q", spec, id, err, text)
		}
	}
}

var hosts atomic.Int32

// A testNode runs sources, so that a test sees the outcomes of calls as callers do.
type testNode struct {
	*node.Node
	t *testing.T
}

// newTestNode starts a node with two kinds that run spec: "value" and, with messages,
// "serial".
func newTestNode(t *testing.T, spec string, timeout time.Duration) testNode {
	t.Helper()
	r, err := parse(spec, testEnv, "")
	if err != nil {
		t.Fatal(err)
	}
	return newTestNodeOf(t, r, timeout)
}

func newTestNodeOf(t *testing.T, r runner, timeout time.Duration) testNode {
	t.Helper()
	pid := os.Getpid() // a loopback address of its own, so that the node can have its usual port
	n, err := node.Start(node.Config{
		Name: fmt.Sprintf("1@127.%d.%d.%d", 1+pid%250, pid/250%250, hosts.Add(1)), Cookie: []byte("a long secret that all nodes share"),
		Kinds: map[string]worker.Kind{
			"value":  worker.Cache{Load: sourceOf(r), Timeout: timeout},
			"serial": worker.Serial{Open: factoryOf(r), Timeout: timeout},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(context.Background()) })
	return testNode{n, t}
}

// checkOutcome expects both kinds to fail with an outcome and a text.
func (n testNode) checkOutcome(id string, want worker.Outcome, text string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	serialEnded := make(chan error, 1)
	go func() {
		_, err := n.Family("serial").Call(ctx, mustID(n.t, id), worker.BytesValue("x"))
		serialEnded <- err
	}()
	_, valueErr := n.Family("value").Request(ctx, mustID(n.t, id))
	serialErr := <-serialEnded
	for kind, err := range map[string]error{"value": valueErr, "serial": serialErr} {
		if err == nil || node.OutcomeOf(err) != want || !strings.Contains(err.Error(), text) {
			n.t.Errorf("%s of %s: %v, outcome %v, want %v and %q", kind, id, err, node.OutcomeOf(err), want, text)
		}
	}
}

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
