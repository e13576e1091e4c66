//go:build unix

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A traceCollector takes spans as OTLP over HTTP has them.
type traceCollector struct {
	t    *testing.T
	mu   sync.Mutex
	list []*spans.ResourceSpans // guarded by mu
}

func (c *traceCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request collector.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		c.t.Errorf("%s: %v", r.URL, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, request.GetResourceSpans()...)
}

// trace returns what has come of a trace: NODE SPAN for each span.
func (c *traceCollector) trace(id string) map[string]*spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]*spans.Span{}
	for _, r := range c.list {
		of := map[string]string{}
		for _, a := range r.GetResource().GetAttributes() {
			of[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				if fmt.Sprintf("%x", s.GetTraceId()) == id {
					found[of["service.name"]+" "+of["service.instance.id"]+" "+s.GetName()] = s
				}
			}
		}
	}
	return found
}

// TestTracing has two nodes send their spans to a collector: of a request over HTTP whose id
// is the other node's. Then one ends, and sends the last ones.
func TestTracing(t *testing.T) {
	c := &traceCollector{t: t}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
	t.Setenv("OTEL_SERVICE_NAME", "prices")
	host := testHost()
	one := startNode(t, "1@"+host, "--http", host+":8080")
	two := startNode(t, "2@"+host, "--join", "1@"+host)
	shell := start(t, "repl", "--attach", "1@"+host)
	shell.awaitAnswer("print(len(nodes()))", "2")
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for id := range 2 { // one is the other node's
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s:8080/v1/value/%d", host, id), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	for _, p := range []*process{one, two} {
		p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	found := c.trace(trace)
	for _, want := range []string{"1@" + host + " request default", "1@" + host + " wire default", "1@" + host + " load default", "2@" + host + " load default"} {
		if found["prices "+want] == nil {
			t.Errorf("no span %s among %v", want, found)
		}
	}
	wire, load := found["prices 1@"+host+" wire default"], found["prices 2@"+host+" load default"]
	if string(wire.GetSpanId()) != string(load.GetParentSpanId()) {
		t.Errorf("the load's parent is %x, want %x", load.GetParentSpanId(), wire.GetSpanId())
	}
}

// TestTracingFails has a collector that is not there: the log says so, and the node ends in
// time.
func TestTracingFails(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	name := "1@" + testHost()
	n := startNode(t, name)
	shell := start(t, "repl", "--attach", name)
	for range 20 {
		shell.ask("print(request(1)[1])")
		time.Sleep(5 * time.Millisecond)
	}
	began := time.Now()
	n.cmd.Process.Signal(syscall.SIGTERM)
	if err := n.cmd.Wait(); err != nil || time.Since(began) > 30*time.Second {
		t.Errorf("%v, after %v", err, time.Since(began))
	}
	if said := n.log.count("spans cannot be sent") + n.log.count("the last spans are lost"); said == 0 || said > 3 {
		t.Errorf("the log: %s", n.log)
	}
}

// TestTracingVariables has values that make no sense.
func TestTracingVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ variable, want string }{
		{"OTEL_TRACES_EXPORTER=zipkin", `OTEL_TRACES_EXPORTER is "zipkin"; say otlp or none`},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:4318", "write the collector's address, such as http://127.0.0.1:4318"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=\x1b[31m", `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is "\x1b[31m"`},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "distproc speaks http/protobuf"},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_RESOURCE_ATTRIBUTES=x", "OTEL_RESOURCE_ATTRIBUTES: "},
	} {
		cmd := exec.Command("distproc", "node", "--name", "1@"+testHost())
		cmd.Env = append(append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests"), strings.Fields(c.variable)...)
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), c.want) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: %v, %q; want %q", c.variable, err, out, c.want)
		}
	}
}
