package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.reply.Cached, f.reply.Degraded, f.reply.Stale = true, true, true
	res := get(t, newGateway(f), "/v1/request/7?kind=price&timeout=2s")
	want := `{"id":"7","kind":"price","value":42,"node":"2@127.0.0.1","cached":true,"stale":true,"degraded":true,"age_ms":1500,"ttl_ms":3500}` + "\n"
	if got := res.body; got != want || res.header.Get("Content-Type") != "application/json" || res.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %s, want %s; %v", got, want, res.header)
	}
	for target, want := range map[string]string{
		"/v1/request/7":                   "request - 7",
		"/v1/request/7?kind=":             "request - 7",
		"/v1/request/7?refresh=false":     "request - 7",
		"/v1/request/7?refresh=true":      "refresh - 7",
		"/v1/request/-1?kind=a_b-C":       "request a_b-C -1",
		"/v1/value/07":                    "request - 07",
		"/v1/owner/7":                     "owner 7",
		"/v1/why/7?kind=price&timeout=1m": "why price 7",
	} {
		f.asked = nil
		if res := get(t, newGateway(f), target); res.status != 200 || !slices.Equal(f.asked, []string{want}) {
			t.Errorf("%s: status %d, asked %q, want %q", target, res.status, f.asked, want)
		}
	}
}

func TestValuesInJSON(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]worker.Value{
		`"value":-9223372036854775808`:       worker.IntValue(-1 << 63),
		`"value":"<b>\n"`:                    worker.BytesValue("<b>\n"),
		`"value":""`:                         worker.BytesValue(""),
		`"value":"/wA=","encoding":"base64"`: worker.BytesValue("\xff\x00"),
		`"value":{"a":[1,null]},"media_type":"application/json"`:        worker.MediaValue("application/json", `{"a": [1, null]}`),
		`"value":null,"media_type":"application/problem+json"`:          worker.MediaValue("application/problem+json", ` null`),
		`"value":{"a":1},"media_type":"Application/JSON; a=b"`:          worker.MediaValue("Application/JSON; a=b", `{"a":1}`),
		`"value":"{","media_type":"application/json"`:                   worker.MediaValue("application/json", `{`),
		`"value":"1 2","media_type":"application/json"`:                 worker.MediaValue("application/json", `1 2`),
		`"value":"5","media_type":"text/plain"`:                         worker.MediaValue("text/plain", `5`),
		`"value":"Iv8i","encoding":"base64","media_type":"a/json+json"`: worker.MediaValue("a/json+json", "\"\xff\""),
	} {
		f := newFake()
		f.reply.Value = v
		if got := get(t, newGateway(f), "/v1/request/7").body; !strings.Contains(got, want+",") || !json.Valid([]byte(got)) {
			t.Errorf("%q: got %s, want %s", v, got, want)
		}
	}
}

func TestBareValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    worker.Value
		want string
	}{
		{worker.IntValue(-5), "text/plain; charset=utf-8"},
		{worker.BytesValue("Ωmega\n"), "text/plain; charset=utf-8"},
		{worker.BytesValue(""), "text/plain; charset=utf-8"},
		{worker.BytesValue("\xff\x00"), "application/octet-stream"},
		{worker.MediaValue("text/html", "<script>alert(1)</script>"), "text/html"},
		{worker.MediaValue("Text/HTML;Charset=UTF-8", "<p>"), "text/html; charset=UTF-8"},
		{worker.MediaValue("application/json", "{"), "application/json"},
		{worker.MediaValue("text/plain\r\nSet-Cookie: a=b", "x"), "text/plain; charset=utf-8"},
		{worker.MediaValue(`text; a="/"`, "x"), "text/plain; charset=utf-8"},
		{worker.MediaValue("a b/c", "x"), "text/plain; charset=utf-8"},
		{worker.MediaValue("/", "\xff"), "application/octet-stream"},
	} {
		f := newFake()
		f.reply.Value = c.v
		for _, method := range []string{"GET", "POST"} {
			target := map[string]string{"GET": "/v1/value/7", "POST": "/v1/call/price/7"}[method]
			res := ask(t, newGateway(f), httptest.NewRequest(method, target, nil))
			if got := res.header.Get("Content-Type"); res.body != c.v.String() || got != c.want {
				t.Errorf("%q: body %q, type %q, %v", c.v, res.body, got, res.header)
			}
			h := res.header
			if h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox; default-src 'none'") ||
				h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("X-Distproc-Node") != "2@127.0.0.1" || h.Get("X-Distproc-Cached") != "false" ||
				h["X-Distproc-Stale"] != nil || h["X-Distproc-Degraded"] != nil {
				t.Errorf("headers %v", h)
			}
			if method == "POST" && (h.Get("Cache-Control") != "no-store" || h.Get("Age") != "") {
				t.Errorf("a call may be cached: %v", h)
			}
		}
	}
}

// TestFreshness checks that an HTTP cache keeps a value for no longer than its worker
// lives, and for at most a second less.
func TestFreshness(t *testing.T) {
	t.Parallel()
	for _, age := range []time.Duration{-1, 0, 1, 300 * time.Millisecond, 999999999, time.Second, 1500 * time.Millisecond, time.Hour} {
		for _, ttl := range []time.Duration{-time.Second, 0, 1, 999 * time.Millisecond, time.Second, 3500 * time.Millisecond, 4700 * time.Millisecond, 24 * time.Hour} {
			f := newFake()
			f.reply.Age, f.reply.TTL = age, ttl
			var gotAge, maxAge int64
			h := get(t, newGateway(f), "/v1/value/7").header
			if _, err := fmt.Sscanf(h.Get("Age")+" "+h.Get("Cache-Control"), "%d max-age=%d", &gotAge, &maxAge); err != nil {
				t.Fatal(h, err)
			}
			fresh, left := time.Duration(maxAge-gotAge)*time.Second, max(0, ttl)
			if fresh > left || fresh <= left-time.Second || gotAge < 0 || time.Duration(gotAge)*time.Second > max(0, age) {
				t.Errorf("age %v, ttl %v: Age %d, max-age %d", age, ttl, gotAge, maxAge)
			}
			f.reply.Stale = true
			if h := get(t, newGateway(f), "/v1/value/7").header; h.Get("Cache-Control") != "max-age=0" || h.Get("X-Distproc-Stale") != "true" {
				t.Errorf("stale: %v", h)
			}
		}
	}
}

func TestCall(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.reply.Value = worker.MediaValue("application/json", `{"n":1}`)
	r := httptest.NewRequest("POST", "/v1/call/price/a%2Fb", strings.NewReader(`{"add":1}`))
	r.Header.Set("Content-Type", "application/json; x=Y")
	if res := ask(t, newGateway(f), r); res.body != `{"n":1}` || f.asked[0] != "call price a/b" {
		t.Errorf("%q, %q", res.body, f.asked)
	}
	if f.message.String() != `{"add":1}` || f.message.MediaType() != "application/json; x=Y" {
		t.Errorf("message %q of type %q", f.message, f.message.MediaType())
	}
	post(t, newGateway(f), "/v1/call/price/7", "")
	if f.message != worker.BytesValue("") {
		t.Errorf("message %q of type %q", f.message, f.message.MediaType())
	}

	largest := strings.Repeat("x", wire.MaxValue)
	if res := post(t, newGateway(f), "/v1/call/price/7", largest); res.status != 200 || f.message.String() != largest {
		t.Errorf("status %d, message of %d bytes", res.status, len(f.message.String()))
	}
	f.asked = nil
	for _, chunked := range []bool{false, true} {
		r := httptest.NewRequest("POST", "/v1/call/price/7", strings.NewReader(largest+"x"))
		if chunked {
			r.ContentLength = -1
		}
		wantProblem(t, ask(t, newGateway(f), r), 413, "too-large")
	}
	for name, value := range map[string]string{"Content-Type": "text", "Content-Encoding": "gzip"} {
		r := httptest.NewRequest("POST", "/v1/call/price/7", nil)
		r.Header.Set(name, value)
		wantProblem(t, ask(t, newGateway(f), r), 400, "bad-request")
		r.Header.Set("Content-Type", "a/"+strings.Repeat("b", 255))
		wantProblem(t, ask(t, newGateway(f), r), 400, "bad-request")
	}
	wantProblem(t, post(t, newGateway(f), "/v1/call/a%20b/7", ""), 404, "unknown-kind")
	wantProblem(t, post(t, newGateway(f), "/v1/call//7", ""), 404, "unknown-kind")
	if f.asked != nil {
		t.Errorf("asked %q", f.asked)
	}
}

func TestBadQueries(t *testing.T) {
	t.Parallel()
	f := newFake()
	for target, want := range map[string]string{
		"/v1/request/7?knd=price":          `unknown query parameter "knd"; there are kind, refresh, timeout`,
		"/v1/value/7?refresh=true":         `unknown query parameter "refresh"; there are kind, timeout`,
		"/v1/nodes?a=b":                    `unknown query parameter "a"; there are none here`,
		"/healthz?%0A":                     `unknown query parameter "\n"; there are none here`,
		"/v1/request/7?kind=a&kind=b":      "query parameter kind is given more than once",
		"/v1/request/7?kind=%zz":           `query: invalid URL escape "%zz"`,
		"/v1/request/7?a;b":                "query: invalid semicolon separator in query",
		"/v1/request/7?refresh=":           `refresh "": say true or false`,
		"/v1/request/7?refresh=yes":        `refresh "yes": say true or false`,
		"/v1/request/7?timeout=0s":         `timeout "0s": say a duration of at most 1m, such as 500ms or 2s`,
		"/v1/request/7?timeout=":           `timeout "": say a duration of at most 1m, such as 500ms or 2s`,
		"/v1/request/7?timeout=5":          `timeout "5": say a duration of at most 1m, such as 500ms or 2s`,
		"/v1/request/7?timeout=-1s":        `timeout "-1s": say a duration of at most 1m, such as 500ms or 2s`,
		"/v1/request/7?timeout=60.1s":      `timeout "60.1s": say a duration of at most 1m, such as 500ms or 2s`,
		"/v1/workers?limit=0":              `limit "0": say a number from 1 to 1000`,
		"/v1/workers?limit=1001":           `limit "1001": say a number from 1 to 1000`,
		"/v1/workers?limit=":               `limit "": say a number from 1 to 1000`,
		"/v1/workers?limit=-1":             `limit "-1": say a number from 1 to 1000`,
		"/v1/workers?limit=1e2":            `limit "1e2": say a number from 1 to 1000`,
		"/v1/workers?limit=99999999999999": `limit "99999999999999": say a number from 1 to 1000`,
	} {
		p := wantProblem(t, get(t, newGateway(f), target), 400, "bad-request")
		if p.Detail != want || p.Outcome != "not run" || p.Code != "" {
			t.Errorf("%s: %+v", target, p)
		}
	}
	p := wantProblem(t, get(t, newGateway(f), "/v1/request/7?kind=a%2Fb"), 404, "unknown-kind")
	if p.Detail != `unknown kind: "a/b": a name is 1 to 64 letters, digits, _ or -` {
		t.Errorf("%+v", p)
	}
	wantProblem(t, ask(t, newGateway(f), httptest.NewRequest("GET", "/v1/request/7", strings.NewReader("x"))), 400, "bad-request")
	if f.asked != nil {
		t.Errorf("asked %q", f.asked)
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, c := range []struct {
		headers []string
		want    string
	}{{nil, ""}, {[]string{trace}, trace}, {[]string{trace, trace}, ""}, {[]string{trace + "\n"}, ""}, {[]string{"nonsense"}, ""}} {
		f := newFake()
		r := httptest.NewRequest("GET", "/v1/request/7", nil)
		r.Header["Traceparent"] = c.headers
		if ask(t, newGateway(f), r); worker.TraceOf(f.ctx) != c.want {
			t.Errorf("%q: trace %q", c.headers, worker.TraceOf(f.ctx))
		}
	}
	f := newFake()
	r := httptest.NewRequest("GET", "/v1/request/7", nil)
	r.Header = http.Header{"Traceparent": {trace}, "Tracestate": {"a=b", "c=d"}, "Baggage": {"tenant=7", "user=x"}}
	ask(t, newGateway(f), r)
	if parent, state, baggage := worker.TraceContextOf(f.ctx); parent != trace || state != "a=b,c=d" || baggage != "tenant=7,user=x" {
		t.Errorf("trace %s, %s, %s", parent, state, baggage)
	}
}
