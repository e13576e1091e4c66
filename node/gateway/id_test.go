package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/gateway/internal/report"
	"github.com/distproc/distproc/node/worker"
)

var hostileIDs = []string{
	"$(touch x);a|b&", ".", "..", "...", "a/b", "/", "//", "a//b/", "../../etc/passwd", "/v1/nodes", "\x00", "%00", "%2e%2e", "%", "%%2F", "a+b", " ", "?", "#", "a?b#c",
	"\xff\xfe", "é", "\r\nX: y", "-0", "007", "-1", "9223372036854775808", strings.Repeat("9", 256), strings.Repeat("x", 256), strings.Repeat("\xff", 256), "{id}", "*", "\\", ";", "\u202e",
}

// arrives checks that a path is that of an id.
func arrives(t *testing.T, path, id string) {
	t.Helper()
	f := newFake()
	f.why.ID, _ = worker.ParseID(id)
	for _, prefix := range []string{"/v1/request/", "/v1/value/", "/v1/owner/", "/v1/why/", "/v1/call/price/"} {
		method := http.MethodGet
		if strings.Contains(prefix, "call") {
			method = http.MethodPost
		}
		u, err := url.ParseRequestURI(prefix + path)
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		r := httptest.NewRequest(method, "/", nil)
		r.URL, r.RequestURI = u, prefix+path
		f.asked = nil
		res := ask(t, newGateway(f), r)
		if res.status != 200 || len(f.asked) != 1 {
			t.Fatalf("%s%s: status %d, asked %q: %.200s", prefix, path, res.status, f.asked, res.body)
		}
		what := f.asked[0][:len(f.asked[0])-len(id)]
		if f.asked[0] != what+id || !slices.Contains([]string{"request - ", "owner ", "why - ", "call price "}, what) {
			t.Fatalf("%s%s: asked %q, want %q", prefix, path, f.asked[0], id)
		}
		if strings.Contains(prefix, "value") || strings.Contains(prefix, "call") {
			continue
		}
		var answer report.ID
		if err := json.Unmarshal([]byte(res.body), &answer); err != nil || answer != report.IDOf(f.id(t, id)) {
			t.Fatalf("%q: %+v, %v", id, answer, err)
		}
	}
}

func (*fake) id(t *testing.T, s string) worker.ID {
	t.Helper()
	id, err := worker.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for _, id := range hostileIDs {
		arrives(t, url.PathEscape(id), id)
		arrives(t, everyByte(id), id)
	}
	// As sloppy programs write them: not all is encoded that should be.
	for path, id := range map[string]string{"a%2Fb<c>": "a/b<c>", "é%2F\xff": "é/\xff", "%2e%2E": "..", `a"b%2F`: `a"b/`, "%2B+": "++"} {
		arrives(t, path, id)
	}
	g := newGateway(newFake())
	for _, path := range []string{"", strings.Repeat("x", 257), strings.Repeat("%2F", 257), strings.Repeat("1", 257)} {
		for _, prefix := range []string{"/v1/request/", "/v1/value/", "/v1/owner/", "/v1/why/"} {
			if p := wantProblem(t, get(t, g, prefix+path), 400, "bad-id"); p.Outcome != "not run" {
				t.Errorf("%+v", p)
			}
		}
		wantProblem(t, post(t, g, "/v1/call/price/"+path, ""), 400, "bad-id")
	}
}

// everyByte encodes also what need not be.
func everyByte(s string) string {
	var b strings.Builder
	for i := range len(s) {
		const digits = "0123456789abcdef"
		b.WriteByte('%')
		b.WriteByte(digits[s[i]>>4])
		b.WriteByte(digits[s[i]&15])
	}
	return b.String()
}

// Every id arrives as it was sent, over a connection too.
func FuzzID(f *testing.F) {
	for _, id := range hostileIDs {
		f.Add(id)
	}
	fake := newFake()
	server := httptest.NewServer(newGateway(fake))
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, id string) {
		if len(id) > 4096 {
			t.Skip("a header has at most 16 KiB")
		}
		fake.asked = nil
		res, err := server.Client().Get(server.URL + "/v1/value/" + url.PathEscape(id))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body) // so that the connection is used again
		res.Body.Close()
		if id == "" || len(id) > worker.MaxIDLen {
			if res.StatusCode != 400 || fake.asked != nil {
				t.Fatalf("%q: status %d, asked %q", id, res.StatusCode, fake.asked)
			}
			return
		}
		if res.StatusCode != 200 || len(fake.asked) != 1 || fake.asked[0] != "request - "+id {
			t.Fatalf("%q: status %d, asked %q", id, res.StatusCode, fake.asked)
		}
	})
}
