package gateway

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/distproc/distproc/wire"
)

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	g := newGateway(newFake())
	for _, target := range []string{"/v1", "/v1/", "/v1/request", "/v1/nodes/", "//v1/nodes", "/v1//nodes", "/v1/./nodes", "/v2/nodes", "/v1/request/../nodes/7", "/V1/nodes", "/v1/call/7", "/page", "/page/", "/page/none.js", "/page/../v1/nodes", "/page/index.html", "/session/", "//"} {
		wantProblem(t, get(t, g, target), 404, "not-found")
	}
	for _, target := range []string{"/v1/request/a/b", "/v1/value/a//b", "/v1/request//"} {
		if p := wantProblem(t, get(t, g, target), 404, "not-found"); !strings.Contains(p.Detail, "%2F") {
			t.Errorf("%s: %+v", target, p)
		}
	}
	methods := map[string][]string{}
	for _, rt := range routes {
		methods[rt.pattern] = append(methods[rt.pattern], rt.methods()...)
	}
	for pattern, allowed := range methods {
		target := strings.NewReplacer("{id}", "7", "{kind}", "price", "{name}", "app.js").Replace(pattern)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "WHAT"} {
			if slices.Contains(allowed, method) {
				continue
			}
			res := ask(t, g, httptest.NewRequest(method, target, nil))
			if res.status != 405 || res.header.Get("Allow") != strings.Join(allowed, ", ") {
				t.Errorf("%s %s: status %d, Allow %q", method, target, res.status, res.header.Get("Allow"))
			}
		}
	}
	wantProblem(t, get(t, g, "/metrics"), 404, "not-found")
}

// HEAD answers as GET does, without the body.
func TestHead(t *testing.T) {
	t.Parallel()
	f := newFake()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") })
	for _, err := range []error{nil, wire.Errorf(wire.Overloaded, wire.NotRun, "full")} {
		f.err = err
		for _, rt := range stable {
			if rt.body || rt.remove {
				continue
			}
			target := strings.Replace(rt.pattern, "{id}", "7", 1)
			g := New(Config{Cluster: f, Metrics: metrics})
			want := ask(t, g, httptest.NewRequest("GET", target, nil))
			got := ask(t, g, httptest.NewRequest("HEAD", target, nil))
			if rt.pattern != "/metrics" && got.header.Get("Content-Length") != strconv.Itoa(len(want.body)) {
				t.Errorf("HEAD %s: length %s of %d bytes", target, got.header.Get("Content-Length"), len(want.body))
			}
			delete(got.header, "Content-Length")
			delete(want.header, "Content-Length") // of a short answer it is net/http's
			if got.status != want.status || !maps.EqualFunc(got.header, want.header, slices.Equal[[]string]) {
				t.Errorf("HEAD %s: %d %v; GET: %d %v", target, got.status, got.header, want.status, want.header)
			}
		}
	}
}

// No answer is a redirect to a cleaned path: "..", "//" and a slash at the end mean what
// they say. Names of endpoints may be percent-encoded, as any part of a URL.
func TestPathsAreNotCleaned(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"GET /v1/request/..":        "request - ..",
		"GET /v1/value/.":           "request - .",
		"GET /v1/owner/%2E%2E":      "owner ..",
		"GET /v1/value/%2F%2F..":    "request - //..",
		"POST /v1/call/price/..":    "call price ..",
		"GET /v1/%6Fwner/7":         "owner 7",
		"POST /v1/call/%70rice/7":   "call price 7",
		"GET /v1/value/..?kind=tea": "request tea ..",
		"GET /v1/request/7/":        "404 not-found",
		"GET /v1/request/7/..":      "404 not-found",
		"PUT /v1/request/7/8":       "404 not-found",
		"POST /v1/request":          "404 not-found",
		"GET /v1/request/../value":  "404 not-found",
		"POST /v1/call//7":          "404 unknown-kind",
		"POST /v1/call/./7":         "404 unknown-kind",
		"POST /v1/call/a%2Fb/7":     "404 unknown-kind",
		"GET /v1/value/":            "400 bad-id",
		"POST /v1/call/price/":      "400 bad-id",
		"CONNECT /v1/request/7":     "405 method-not-allowed",
		"GET *":                     "404 not-found",
	} {
		f := newFake()
		method, path, _ := strings.Cut(target, " ")
		got := ask(t, newGateway(f), httptest.NewRequest(method, path, nil))
		if status, kind, ok := strings.Cut(want, " "); ok && len(status) == 3 && f.count() == 0 {
			if p := wantProblem(t, got, map[string]int{"400": 400, "404": 404, "405": 405}[status], kind); p.Outcome != "not run" {
				t.Errorf("%s: %+v", target, p)
			}
		} else if got.status != 200 || !slices.Equal(f.asked, []string{want}) {
			t.Errorf("%s: status %d, asked %q; want %q", target, got.status, f.asked, want)
		}
	}
}
