package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// TestActsAreEvents presses the buttons at a real cluster: each act is one event of the
// node that serves the page, with who did it.
func TestActsAreEvents(t *testing.T) {
	first, second := startNodes(t)
	b := newBrowser(t, New(Config{Cluster: first, Logger: first.Logger()}))
	csrf := b.csrf()
	for _, id := range []worker.ID{worker.IntID(1), worker.IntID(2)} { // one on each node
		if _, err := first.Family("sum").Call(t.Context(), id, worker.IntValue(5)); err != nil {
			t.Fatal(err)
		}
		for form, want := range map[string]string{
			"action=refresh&kind=price":    ` has loaded a new value"}`,
			"action=invalidate&kind=price": `{"text":"all nodes have forgotten the value"}`,
			"action=stop&kind=sum":         `{"text":"the worker ends, after what it has begun"}`,
		} {
			if strings.HasPrefix(form, "action=invalidate") {
				if _, err := first.Family("price").Request(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			if a := b.do("POST", "/page/act", form+"&id="+id.String(), "X-Distproc-Page="+csrf); a.status != 200 || !strings.HasSuffix(strings.TrimSpace(a.body), want) {
				t.Errorf("%s of %s: %d %s, want %s", form, id, a.status, a.body, want)
			}
		}
	}
	if a := b.do("POST", "/page/act", "action=refresh&kind=sum&id=1", "X-Distproc-Page="+csrf); a.status != 400 || !strings.Contains(a.body, "takes calls") {
		t.Errorf("%d %s", a.status, a.body)
	}
	count := func(n interface {
		Events(context.Context, observe.EventQuery) (observe.Events, error)
	}, by string) map[string]int {
		page, err := n.Events(t.Context(), observe.EventQuery{})
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]int{}
		for _, e := range page.List {
			if (strings.HasPrefix(e.What, "value ") || e.What == "worker stopped") && strings.Contains(e.More, by) && strings.Contains(e.More, " from=") {
				all[e.What]++
			}
		}
		return all
	}
	if got := count(first, "by=page"); got["value refreshed"] != 2 || got["value invalidated"] != 2 || got["worker stopped"] != 2 {
		t.Errorf("events by page: %v", got)
	}
	if got, of := count(first, "by="), count(second, "by="); got["worker stopped"] != 2 || of["worker stopped"] != 1 || len(of) != 1 {
		t.Errorf("events of all: %v and %v", got, of)
	}
}

// TestBehindProxy signs in by way of a proxy with TLS, which has the page in a folder: a
// browser's own rules for cookies and addresses apply.
func TestBehindProxy(t *testing.T) {
	t.Parallel()
	g := New(Config{Cluster: newFake(), Token: someToken, LoopbackOnly: true, Hosts: []string{"127.0.0.1"}})
	h := newFakeHub()
	g.hub = h
	inner := httptest.NewServer(g)
	defer inner.Close()
	address, err := url.Parse(inner.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewTLSServer(http.StripPrefix("/ops/node", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(address)
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}}))
	defer proxy.Close()
	jar, _ := cookiejar.New(nil)
	client := proxy.Client()
	client.Jar = jar
	client.Timeout = 10 * time.Second
	do := func(r *http.Request) string {
		t.Helper()
		r.Header.Set("Accept", "text/html")
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.Request.URL.Path + " " + res.Status + " " + string(body)
	}
	get := func(place string) string {
		t.Helper()
		r, _ := http.NewRequest(http.MethodGet, proxy.URL+"/ops/node/"+place, nil)
		return do(r)
	}
	post := func(place string, form url.Values) string {
		t.Helper()
		r, _ := http.NewRequest(http.MethodPost, proxy.URL+"/ops/node/"+place, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", proxy.URL)
		return do(r)
	}
	want := func(got, want string) {
		t.Helper()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	want(get(""), "/ops/node/ 401")
	want(post("session", url.Values{"token": {"wrong"}}), "/ops/node/session 401")
	want(post("session", url.Values{"token": {someToken}}), "/ops/node/ 200")
	if c := jar.Cookies(&url.URL{Scheme: "https", Host: "127.0.0.1", Path: "/ops/node/page/stream"}); len(c) != 1 {
		t.Errorf("cookies %v", c)
	}
	for _, elsewhere := range []string{"https://127.0.0.1/", "https://127.0.0.1/ops/other/"} {
		u, _ := url.Parse(elsewhere)
		if c := jar.Cookies(u); len(c) != 0 {
			t.Errorf("%s gets %v", elsewhere, c)
		}
	}
	want(get("page/session"), `/ops/node/page/session 200 OK {"token":true`)
	want(get("v1/nodes"), "/ops/node/v1/nodes 200")
	want(get("v1/value/7"), "/ops/node/v1/value/7 401")
	want(get("page/style.css"), "/ops/node/page/style.css 200")
	want(post("session/end", nil), "/ops/node/ 401")
	want(get("page/session"), "/ops/node/page/session 401")
	if c := jar.Cookies(&url.URL{Scheme: "https", Host: "127.0.0.1", Path: "/ops/node/"}); len(c) != 0 {
		t.Errorf("the browser keeps %v", c)
	}
}
