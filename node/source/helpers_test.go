package source

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
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
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "8") // most of the parallel tests wait
	}
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

// A server counts its connections.
type server struct {
	*httptest.Server
	conns atomic.Int32
}

func newServer(t *testing.T, h http.HandlerFunc) *server {
	t.Helper()
	s := &server{Server: httptest.NewUnstartedServer(h)}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// refusing returns an address that refuses connections: it is the near end of one, so
// nobody can listen there.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
