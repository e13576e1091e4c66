package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A description is openapi.json.
type description struct{ doc *openapi3.T }

var describe = sync.OnceValues(func() (*description, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(openAPIDocument)
	if err == nil {
		err = doc.Validate(loader.Context)
	}
	return &description{doc: doc}, err
})

func document(t testing.TB) *description {
	t.Helper()
	d, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sentAnyway are headers that the document tells of in a sentence, or that all of HTTP
// has.
var sentAnyway = []string{"Content-Type", "Content-Length", "Content-Security-Policy", "Cross-Origin-Resource-Policy", "X-Content-Type-Options", "Cache-Control", "Allow", "Connection"}

// check validates an answer, headers included.
func (d *description) check(t testing.TB, r *http.Request, a answer) {
	t.Helper()
	x := &exchange{r: r, gateway: &Gateway{routes: routes}}
	if x.find(); x.route == nil || x.route.page || !slices.Contains(x.route.methods(), r.Method) || r.Method == http.MethodHead {
		d.checkPlain(t, r, a)
		return
	}
	path := x.route.pattern
	item := d.doc.Paths.Value(path)
	if item == nil {
		t.Fatalf("%s is not in the document", path)
	}
	operation := item.GetOperation(r.Method)
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, Route: &routers.Route{Spec: d.doc, Path: path, PathItem: item, Method: r.Method, Operation: operation},
		},
		Status: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), input); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL, err)
		return
	}
	response := operation.Responses.Status(a.status).Value
	if len(response.Content) == 0 || response.Content.Get(a.header.Get("Content-Type")) == nil {
		t.Errorf("%s %s: status %d with a body that is not in the document", r.Method, path, a.status)
	}
	for name := range a.header {
		if response.Headers[name] == nil && !slices.ContainsFunc(slices.Collect(maps.Keys(response.Headers)), func(h string) bool { return strings.EqualFold(h, name) }) &&
			!slices.Contains(sentAnyway, name) {
			t.Errorf("%s %s: status %d with the header %s, which is not in the document", r.Method, path, a.status, name)
		}
	}
}

// checkPlain checks what is not of an operation: problems of paths and methods that are
// none, answers to HEAD, and problems of the page.
func (d *description) checkPlain(t testing.TB, r *http.Request, a answer) {
	t.Helper()
	if r.Method == http.MethodHead {
		unknown := r.URL.Path == "/metrics" || a.header.Get("Content-Type") == streamType
		if a.body != "" || a.header.Get("Content-Length") == "" && !unknown {
			t.Errorf("HEAD %s: body %q, Content-Length %q", r.URL, a.body, a.header.Get("Content-Length"))
		}
		return
	}
	if a.status < 400 || a.header.Get("Content-Type") == htmlType {
		return
	}
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Errorf("%s %s: %q: %v", r.Method, r.URL, a.body, err)
	} else if err := d.doc.Components.Schemas["Problem"].Value.VisitJSON(v); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
}

func TestDocumentIsStrict(t *testing.T) {
	t.Parallel()
	for name, schema := range document(t).doc.Components.Schemas {
		s := schema.Value
		if s.Type.Is("object") && (s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has) {
			t.Errorf("%s may have any properties", name)
		}
	}
	v := map[string]any{"type": "/problems/overloaded", "title": "x", "status": 503.0, "detail": "x", "outcome": "ran"}
	problem := document(t).doc.Components.Schemas["Problem"].Value
	if err := problem.VisitJSON(v); err != nil {
		t.Error(err)
	}
	v["more"] = "x"
	if problem.VisitJSON(v) == nil {
		t.Error("a field that is not in the document passes")
	}
}

func TestRoutesAreInTheDocument(t *testing.T) {
	t.Parallel()
	paths, known := document(t).doc.Paths.Map(), map[string]bool{}
	for _, rt := range stable {
		item := document(t).doc.Paths.Value(rt.pattern)
		if item == nil {
			t.Errorf("%s is not in the document", rt.pattern)
			continue
		}
		operations := item.Operations()
		for _, method := range rt.methods() {
			o := operations[method]
			if o == nil {
				t.Errorf("%s %s is not in the document", method, rt.pattern)
				continue
			}
			known[method+" "+rt.pattern] = true
			var query, inPath []string
			for _, p := range o.Parameters {
				if p.Value.In == "query" {
					query = append(query, p.Value.Name)
				} else {
					inPath = append(inPath, "{"+p.Value.Name+"}")
				}
			}
			slices.Sort(query)
			if !slices.Equal(query, rt.query) {
				t.Errorf("%s %s has the parameters %v in the document, not %v", method, rt.pattern, query, rt.query)
			}
			for _, name := range inPath {
				if !strings.Contains(rt.pattern, name) {
					t.Errorf("%s: %s", rt.pattern, name)
				}
			}
			open := o.Security != nil && len(*o.Security) == 0
			if open != (rt.pattern == "/healthz" || rt.pattern == "/readyz") {
				t.Errorf("%s %s: needs no token in the document: %v", method, rt.pattern, open)
			}
			if rt.body != (o.RequestBody != nil) {
				t.Errorf("%s %s: body in the document: %v", method, rt.pattern, !rt.body)
			}
		}
	}
	for path, item := range paths {
		for method := range item.Operations() {
			if !known[method+" "+path] {
				t.Errorf("%s %s is in the document and nowhere else", method, path)
			}
		}
	}
}

// Every response in the document is one that an endpoint can give, and is as the document
// says.
func TestEveryResponse(t *testing.T) {
	t.Parallel()
	d := document(t)
	for _, rt := range stable {
		target := strings.NewReplacer("{id}", "7", "{kind}", "price").Replace(rt.pattern)
		method, wants := rt.methods()[0], map[string]bool{}
		if rt.pattern == "/v1/value" {
			target += "?id=7"
		}
		for status := range d.doc.Paths.Value(rt.pattern).GetOperation(method).Responses.Map() {
			wants[status] = true
		}
		for status := range wants {
			// The ways of each status; those of bodies that are slow or large are in
			// server_test.go and request_test.go.
			f := newFake()
			c := Config{Cluster: f, Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if f.panics != nil {
					panic(f.panics)
				}
				w.Header().Set("Content-Type", "text/plain; version=0.0.4")
				io.WriteString(w, "up 1\n")
			}), Ready: func(context.Context) error {
				if f.panics != nil {
					panic(f.panics)
				}
				return f.err
			}}
			if rt.pattern == "/v1/profile" {
				c.Token, c.Profile, target = "a token of some length", true, "/v1/profile?type=heap"
			}
			r := httptest.NewRequest(method, target, nil)
			if c.Token != "" && status != "401" {
				r.Header.Set("Authorization", "Bearer "+c.Token)
			}
			switch status {
			case "400":
				path, _, _ := strings.Cut(target, "?")
				r.URL, r.RequestURI = &url.URL{Path: path, RawQuery: "nonsense=1"}, ""
			case "401":
				c.Token = "a token of some length"
			case "403":
				r.Header.Set("Sec-Fetch-Site", "cross-site")
			case "404":
				f.err, c.Metrics, c.Profile = wire.Errorf(wire.UnknownKind, wire.NotRun, "%q", "price"), nil, false
			case "421":
				c.LoopbackOnly, r.Host = true, "evil.example"
			case "500":
				f.panics = "boom"
			case "502":
				f.err = wire.Errorf(wire.SourceFailed, wire.Ran, "exit status 3")
			case "503":
				f.err = wire.Errorf(wire.Overloaded, wire.NotRun, "4096 calls wait")
				if rt.pattern == "/metrics" || rt.pattern == "/v1/openapi.json" || rt.pattern == "/v1/profile" { // they do not ask the cluster
					r = r.WithContext(withConn(r.Context(), &conn{of: newConns(nil, 0, nil), spare: true}))
				}
			case "504":
				f.err = context.DeadlineExceeded
			case "408", "413":
				continue
			}
			if rt.pattern == "/healthz" || rt.pattern == "/v1/openapi.json" {
				if status == "500" {
					continue // there is nothing that could fail
				}
			}
			if res := ask(t, New(c), r); strconv.Itoa(res.status) != status {
				t.Errorf("%s %s: status %d, want %s: %s", method, target, res.status, status, res.body)
			}
		}
	}
}

// Every error of the cluster has its type and code in the document.
func TestEveryCodeIsInTheDocument(t *testing.T) {
	t.Parallel()
	f := newFake()
	seen := map[string]bool{}
	for _, code := range wire.Codes() {
		f.err = &wire.Error{Code: code, Node: "2@127.0.0.1"}
		res := get(t, newGateway(f), "/v1/request/7")
		var p problem
		if err := json.Unmarshal([]byte(res.body), &p); err != nil || p.Code == "" || seen[p.Code] || p.Type != "/problems/"+p.Code || p.Node == "" {
			t.Errorf("code %d: %v %+v", code, err, p)
		}
		seen[p.Code] = true
	}
	seen["unknown-error"] = true // of newer nodes
	for _, v := range document(t).doc.Components.Schemas["Problem"].Value.Properties["code"].Value.Enum {
		if !seen[v.(string)] {
			t.Errorf("no error has the code %v of the document", v)
		}
	}
}

func TestProblemOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err              error
		status           int
		outcome, code    string
		detail, in, node string
	}{
		{err: &wire.Error{Code: wire.Overloaded, Outcome: wire.NotRun, Node: "2@h", Text: "4096 calls wait"}, status: 503, outcome: "not run", code: "overloaded", detail: "overloaded: 4096 calls wait", node: "2@h"},
		{err: wire.Errorf(wire.SourceFailed, wire.Ran, "exit\nstatus 3"), status: 502, outcome: "ran", code: "source-failed", detail: "source failed: exit status 3"},
		{err: wire.Errorf(wire.Panicked, wire.Ran, "nil map"), status: 502, outcome: "ran", code: "worker-panicked", detail: "worker panicked: nil map"},
		{err: &wire.Error{Code: wire.Unreachable}, status: 503, outcome: "unknown", code: "unreachable", detail: "unreachable"},
		{err: &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}, status: 503, outcome: "not run", code: "closed", detail: "closed"},
		{err: &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}, status: 503, outcome: "not run", code: "leaving-the-cluster", detail: "leaving the cluster"},
		{err: &wire.Error{Code: wire.Apart, Outcome: wire.NotRun, Node: "2@h", Text: "it was disconnected"}, status: 503, outcome: "not run", code: "apart-from-the-cluster", detail: "apart from the cluster: it was disconnected", node: "2@h"},
		{err: &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}, status: 503, outcome: "not run", code: "not-the-owner", detail: "not the owner"},
		{err: &wire.Error{Code: wire.Canceled}, status: 503, outcome: "unknown", code: "canceled", detail: "canceled"},
		{err: &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}, status: 504, outcome: "not run", code: "deadline-exceeded", detail: "deadline exceeded"},
		{err: context.DeadlineExceeded, status: 504, outcome: "unknown", code: "deadline-exceeded", detail: "deadline exceeded"},
		{err: wire.Errorf(wire.BadRequest, wire.NotRun, "kind price takes calls"), status: 400, outcome: "not run", code: "bad-request", detail: "bad request: kind price takes calls"},
		{err: wire.Errorf(wire.UnknownKind, wire.NotRun, `"price"`), status: 404, outcome: "not run", code: "unknown-kind", detail: `unknown kind: "price"`},
		{err: wire.Errorf(wire.Internal, wire.Unknown, "bug"), status: 500, outcome: "unknown", code: "internal-error", detail: "internal error: bug"},
		{err: &wire.Error{Code: wire.WrongCookie, Outcome: wire.NotRun}, status: 502, outcome: "not run", code: "wrong-cookie", detail: "wrong cookie"},
		{err: &wire.Error{Code: wire.Disagreement, Outcome: wire.NotRun}, status: 502, outcome: "not run", code: "nodes-disagree", detail: "nodes disagree"},
		{err: &wire.Error{Code: 999, Outcome: wire.Ran}, status: 502, outcome: "ran", code: "unknown-error", detail: "error 999 (of a newer version)"},
		{err: wire.Overloaded, status: 503, outcome: "unknown", code: "overloaded", detail: "overloaded: overloaded"},
		{err: errors.New("what\x00\xff"), status: 500, outcome: "unknown", code: "internal-error", detail: "internal error: what \uFFFD"},
		{err: worker.ErrBadID, status: 400, outcome: "not run", detail: worker.ErrBadID.Error()},
	} {
		p := problemOf(c.err)
		if p.Status != c.status || p.Outcome != c.outcome || p.Code != c.code || p.Detail != c.detail || p.Node != c.node {
			t.Errorf("%v: %+v", c.err, p)
		}
		if retry := p.header.Get("Retry-After") != ""; retry != (c.status == 503) {
			t.Errorf("%v: Retry-After: %v", c.err, retry)
		}
	}
}
