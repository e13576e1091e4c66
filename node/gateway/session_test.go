package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/testlog"
)

// A browser asks a gateway as one does that sends no Sec-Fetch headers: with the cookies
// that it was given, and for HTML.
type browser struct {
	t       *testing.T
	g       *Gateway
	host    string
	headers http.Header // of each request
	cookies map[string]string
}

func newBrowser(t *testing.T, g *Gateway) *browser {
	return &browser{t: t, g: g, host: "localhost:8080", headers: http.Header{"Accept": {"text/html,*/*;q=0.8"}}, cookies: map[string]string{}}
}

// request returns one as the browser sends it, with more headers: NAME=VALUE ….
func (b *browser) request(method, target, form, headers string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(form))
	r.Host = b.host
	maps.Copy(r.Header, b.headers)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://"+b.host)
	} else {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for h := range strings.FieldsSeq(headers) {
		name, value, _ := strings.Cut(h, "=")
		r.Header.Set(name, value)
	}
	return r
}

func (b *browser) do(method, target, form, headers string) answer {
	b.t.Helper()
	a := ask(b.t, b.g, b.request(method, target, form, headers))
	if len(a.header) > 8 {
		b.t.Errorf("%s %s: %d headers: %v", method, target, len(a.header), a.header)
	}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return a
}

func (b *browser) get(target string) answer { b.t.Helper(); return b.do("GET", target, "", "") }

func (b *browser) post(target, form string) answer {
	b.t.Helper()
	return b.do("POST", target, form, "")
}

// signIn gives the browser a session.
func (b *browser) signIn() {
	b.t.Helper()
	if a := b.post("/session", "token="+url.QueryEscape(someToken)); a.status != 303 || len(b.cookies) == 0 {
		b.t.Fatalf("%d %s", a.status, a.body)
	}
}

// csrf returns the token that the page has for its actions.
func (b *browser) csrf() string {
	b.t.Helper()
	a := b.get("/")
	_, rest, ok := strings.Cut(a.body, `name="distproc-csrf" content="`)
	if token, _, _ := strings.Cut(rest, `"`); ok && len(token) == 43 {
		return token
	}
	b.t.Fatalf("%d %s", a.status, a.body)
	return ""
}

func withToken(f *fake) (*Gateway, *fakeHub, *testlog.Buffer) {
	var log testlog.Buffer
	g := New(Config{Cluster: f, Token: someToken, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	h := newFakeHub()
	g.hub = h
	return g, h, &log
}

// TestSignIn has a person enter the token, see the page, and leave.
func TestSignIn(t *testing.T) {
	t.Parallel()
	g, _, log := withToken(newFake())
	b := newBrowser(t, g)
	wantForm := func(a answer, wrong bool) {
		t.Helper()
		if a.status != 401 || a.header.Get("Content-Type") != htmlType || !strings.Contains(a.body, `action="session"`) ||
			strings.Contains(a.body, "This is not the token") != wrong || a.header.Get("Content-Security-Policy") != pagePolicy ||
			a.header.Get("Www-Authenticate") != challenge || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
		for _, secret := range []string{someToken, "2@127.0.0.1", "csrf"} {
			if strings.Contains(a.body, secret) {
				t.Errorf("a stranger sees %s: %s", secret, a.body)
			}
		}
	}
	wantForm(b.get("/"), false)
	wantForm(b.post("/session", "token=wrong"), true)
	wantForm(b.post("/session", ""), true)
	wantForm(b.post("/session", "token="+someToken+"x"), true)
	if len(b.cookies) != 0 {
		t.Errorf("cookies %v", b.cookies)
	}
	a := b.post("/session", "token=+"+someToken+"%0D%0A") // as it is copied
	cookie := a.header.Get("Set-Cookie")
	name, rest, _ := strings.Cut(cookie, "=")
	value, attributes, _ := strings.Cut(rest, "; ")
	if a.status != 303 || a.header.Get("Location") != "./" || name != "distproc-8080" || len(value) != 43 || attributes != "HttpOnly; SameSite=Strict" {
		t.Errorf("%d %v", a.status, a.header)
	}
	for key := range g.sessions.all {
		if strings.Contains(string(key[:]), value) {
			t.Error("the gateway keeps the cookie as it is")
		}
	}
	if a = b.get("/"); a.status != 200 || !strings.Contains(a.body, `action="session/end"`) || !strings.Contains(a.body, "2@127.0.0.1") ||
		a.header.Get("Content-Security-Policy") != pagePolicy || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if a = b.get("/page/session"); a.status != 200 || !strings.HasPrefix(a.body, `{"token":true,"expires_ms":431999`) || !strings.Contains(a.body, b.csrf()) {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.signIn() // again, in another tab
	if n := len(g.sessions.all); n != 1 {
		t.Errorf("%d sessions", n)
	}
	old := b.cookies["distproc-8080"]
	if a = b.post("/session/end", ""); a.status != 303 || a.header.Get("Location") != "../" || len(g.sessions.all) != 0 {
		t.Errorf("%d %v, %d sessions", a.status, a.header, len(g.sessions.all))
	}
	b.cookies["distproc-8080"] = old
	wantProblem(t, b.get("/page/session"), 401, "unauthorized")
	wantForm(b.get("/"), false)
	if len(b.cookies) != 0 {
		t.Errorf("the browser keeps %v", b.cookies)
	}
	g.flush()
	if log.Lines(`msg="page session began" by=page from=192.0.2.1:1234`) != 2 || log.Lines(`msg="page session ended" by=page`) != 1 ||
		log.Lines("Wrong token") != 1 || strings.Contains(log.String(), someToken) {
		t.Errorf("log: %s", log)
	}
}

// TestWrongTokens has many guess at once: each is refused, nothing is kept of it, and the
// log has a line for each host.
func TestWrongTokens(t *testing.T) {
	t.Parallel()
	g, _, log := withToken(newFake())
	var all sync.WaitGroup
	for n := range 300 {
		all.Go(func() {
			b := newBrowser(t, g)
			r := b.request("POST", "/session", fmt.Sprintf("token=guess-%d", n), "")
			r.RemoteAddr = fmt.Sprintf("10.0.0.%d:%d", n%3, n+1)
			if a := ask(t, g, r); a.status != 401 || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%d %v", a.status, a.header)
			}
		})
	}
	all.Wait()
	g.flush()
	if n := log.Lines("level=WARN", "Wrong token"); n != 3 || len(g.sessions.all) != 0 || strings.Contains(log.String(), "guess") {
		t.Errorf("%d lines, %d sessions, log: %s", n, len(g.sessions.all), log)
	}
}

// TestHostileForms sends to the form what no browser of a person does.
func TestHostileForms(t *testing.T) {
	t.Parallel()
	g, _, log := withToken(newFake())
	for name, c := range map[string]struct {
		headers, form string
		unsized       bool
		status        int
		problem       string
	}{
		"from another origin":              {headers: "Origin=http://evil.example", status: 403, problem: "cross-origin"},
		"from another port":                {headers: "Origin=http://localhost:8081", status: 403, problem: "cross-origin"},
		"from no origin":                   {headers: "Origin=null", status: 403, problem: "cross-origin"},
		"from another site":                {headers: "Sec-Fetch-Site=cross-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document", status: 403, problem: "cross-origin"},
		"from another port, says the rule": {headers: "Sec-Fetch-Site=same-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document", status: 403, problem: "cross-origin"},
		"from its own origin":              {headers: "Sec-Fetch-Site=same-origin", status: 303},
		"by a program":                     {headers: "Origin=", status: 303},
		"1 MB":                             {form: "token=" + strings.Repeat("x", 1<<20), status: 413, problem: "too-large"},
		"1 MB in chunks":                   {form: "token=" + strings.Repeat("x", 1<<20), unsized: true, status: 413, problem: "too-large"},
		"the longest token":                {form: "token=" + strings.Repeat("%41", maxToken), status: 401},
		"as JSON":                          {headers: "Content-Type=application/json", form: `{"token":""}`, status: 400, problem: "bad-request"},
		"as no form":                       {form: "token=%zz", status: 400, problem: "bad-request"},
		"two tokens":                       {form: "token=wrong&token=" + someToken, status: 401},
	} {
		b := newBrowser(t, g)
		if c.form == "" {
			c.form = "token=" + someToken
		}
		r := b.request("POST", "/session", c.form, c.headers)
		if c.headers == "Origin=" {
			r.Header.Del("Origin")
		}
		if c.unsized {
			r.ContentLength = -1
		}
		a := ask(t, g, r)
		switch {
		case c.problem != "":
			wantProblem(t, a, c.status, c.problem)
		case a.status != c.status:
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if began := a.header.Get("Set-Cookie") != ""; began != (c.status == 303) {
			t.Errorf("%s: %v", name, a.header)
		}
	}
	g.flush()
	if strings.Contains(log.String(), someToken) {
		t.Errorf("log: %s", log)
	}
}

// TestTokenInAddress has people put the token where histories and logs keep it.
func TestTokenInAddress(t *testing.T) {
	t.Parallel()
	g, _, log := withToken(newFake())
	b := newBrowser(t, g)
	for _, target := range []string{
		"GET /?token=", "GET /v1/nodes?token=", "GET /v1/value/7?kind=price&access_token=", "GET /page/stream?hot=true&Token=", "POST /session?token=", "GET /nowhere?token=",
	} {
		method, path, _ := strings.Cut(target, " ")
		a := b.do(method, path+someToken, "", "")
		if a.status != 400 && a.status != 401 || !strings.Contains(a.body, "no part of an address") || strings.Contains(a.body, someToken) || len(b.cookies) > 0 {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
	}
	b.signIn()
	wantProblem(t, b.get("/?token="+someToken), 400, "bad-request")
	g.flush()
	if strings.Contains(log.String(), someToken) || log.Lines("level=WARN") == 0 {
		t.Errorf("log: %s", log)
	}
}

// TestWhatASessionMayDo goes over all routes: the session of a browser is for the page and
// for what runs nothing, and a new route has to say here what it is.
func TestWhatASessionMayDo(t *testing.T) {
	t.Parallel()
	const everybody, session, token = "everybody", "a session", "the token"
	wants := map[string]string{
		"GET /v1/request/{id}":      token,
		"GET /v1/value/{id}":        token,
		"DELETE /v1/value/{id}":     token,
		"DELETE /v1/value":          token,
		"POST /v1/call/{kind}/{id}": token,
		"GET /v1/profile":           token,
		"GET /v1/owner/{id}":        session,
		"GET /v1/why/{id}":          session,
		"GET /v1/nodes":             session,
		"GET /v1/workers":           session,
		"GET /v1/events":            session,
		"GET /v1/openapi.json":      session,
		"GET /metrics":              session,
		"GET /page/session":         session,
		"GET /page/stream":          session,
		"GET /page/id":              session,
		"GET /page/plan":            session,
		"POST /page/act":            session,
		"POST /session/end":         session,
		"GET /":                     everybody, // the form
		"GET /session":              everybody,
		"POST /session":             everybody,
		"GET /page/{name}":          everybody,
		"GET /healthz":              everybody,
		"GET /readyz":               everybody,
	}
	f := newFake()
	g, h, _ := withToken(f)
	h.late = errors.New("the stream ends")
	stranger, member := newBrowser(t, g), newBrowser(t, g)
	member.signIn()
	csrf := member.csrf()
	for _, rt := range routes {
		what := rt.methods()[0] + " " + rt.pattern
		want := wants[what]
		delete(wants, what)
		target := strings.NewReplacer("{id}", "7", "{kind}", "price", "{name}", "login.html").Replace(rt.pattern)
		if rt.pattern == "/page/id" {
			target += "?id=7"
		}
		method, form := rt.methods()[0], ""
		if rt.pattern == "/page/act" {
			form = "action=invalidate&id=7"
		}
		f.asked = nil
		a := stranger.do(method, target, form, "X-Distproc-Page="+g.csrf)
		if admitted := a.status != 401 || a.header.Get("Content-Type") == htmlType; admitted != (want == everybody) {
			t.Errorf("%s: a stranger: %d %s, want %s", what, a.status, a.body, want)
		}
		if f.asked != nil {
			t.Errorf("%s: a stranger asks %q", what, f.asked)
		}
		if rt.pattern == "/session/end" {
			continue // in TestSignIn
		}
		if a = member.do(method, target, form, "X-Distproc-Page="+csrf); (a.status != 401) != (want != token) {
			if rt.pattern != "/session" { // whose token is wrong
				t.Errorf("%s: a member: %d %s, want %s", what, a.status, a.body, want)
			}
		}
		if want == token && f.asked != nil {
			t.Errorf("%s: a session asks %q", what, f.asked)
		}
	}
	for what := range wants {
		t.Errorf("%s is no route", what)
	}
	// Without the token or a session, the gateway does not tell whether a path exists.
	wantProblem(t, stranger.get("/nowhere"), 401, "unauthorized")
	wantProblem(t, stranger.get("/page/none.js"), 404, "not-found")
	wantProblem(t, stranger.do("PUT", "/page/app.js", "", ""), 401, "unauthorized")
	wantProblem(t, member.get("/nowhere"), 404, "not-found")
	// A session does not help what comes from elsewhere.
	for _, headers := range []string{"Sec-Fetch-Site=cross-site", "Sec-Fetch-Site=same-site", "Origin=http://evil.example", "Origin=null"} {
		wantProblem(t, member.do("POST", "/page/act", "action=invalidate&id=7", "X-Distproc-Page="+csrf+" "+headers), 403, "cross-origin")
		wantProblem(t, member.do("POST", "/session/end", "", headers), 403, "cross-origin")
	}
}

// TestCookies sends cookies that are not those of the gateway, and asks in several ways.
func TestCookies(t *testing.T) {
	t.Parallel()
	g, _, _ := withToken(newFake())
	b := newBrowser(t, g)
	b.signIn()
	right := b.cookies["distproc-8080"]
	for name, c := range map[string]struct {
		host, cookie string
		ok           bool
	}{
		"its own":                     {"localhost:8080", "distproc-8080=" + right, true},
		"another port's besides":      {"localhost:8080", "distproc-8081=x; distproc-8080=" + right, true},
		"another port's":              {"localhost:8080", "distproc-8081=" + right, false},
		"two, the first of which is":  {"localhost:8080", "distproc-8080=" + right + "; distproc-8080=x", true},
		"two, the second of which is": {"localhost:8080", "distproc-8080=x; distproc-8080=" + right, true},
		"two that are not":            {"localhost:8080", "distproc-8080=x; distproc-8080=" + right[1:], false},
		"quoted":                      {"localhost:8080", `distproc-8080="` + right + `"`, true},
		"empty":                       {"localhost:8080", "distproc-8080=", false},
		"another case":                {"localhost:8080", "distproc-8080=" + strings.ToLower(right), false},
		"nonsense":                    {"localhost:8080", "=;;\x01distproc-8080", false},
		"very many":                   {"localhost:8080", strings.Repeat("distproc-8080=x; ", 500) + "distproc-8080=" + right, true},
		"without a port":              {"localhost", "distproc=" + right, true},
		"a port that is none":         {"localhost:99999", "distproc=" + right, true},
	} {
		r := httptest.NewRequest("GET", "/page/session", nil)
		r.Host = c.host
		r.Header.Set("Cookie", c.cookie)
		if a := ask(t, g, r); (a.status == 200) != c.ok {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	// Behind a proxy with TLS, the cookie is Secure; a proxy may give the page a folder.
	proxied := New(Config{Cluster: newFake(), Token: someToken, LoopbackOnly: true, Hosts: []string{"proxy.example"}})
	b = newBrowser(t, proxied)
	b.host = "proxy.example"
	b.headers.Set("X-Forwarded-Proto", "https")
	a := b.do("POST", "/session", "token="+someToken, "Sec-Fetch-Site=same-origin Origin=https://proxy.example")
	if c := a.header.Get("Set-Cookie"); a.status != 303 || !strings.HasPrefix(c, "distproc=") || !strings.HasSuffix(c, "; HttpOnly; Secure; SameSite=Strict") ||
		strings.Contains(c, "Path") || a.header.Get("Location") != "./" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a = b.do("GET", "/page/session", "", "Sec-Fetch-Site=same-origin"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.host = "evil.example"
	wantProblem(t, b.get("/"), 421, "foreign-host")
	b.host, b.headers = "proxy.example", http.Header{"X-Forwarded-Proto": {"http"}}
	if a = b.post("/session", "token="+someToken); strings.Contains(a.header.Get("Set-Cookie"), "Secure") {
		t.Errorf("%v", a.header)
	}
}

// TestSessionsEnd waits for the ends of sessions.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _, _ := withToken(newFake())
		idle, busy, watched := newBrowser(t, g), newBrowser(t, g), newBrowser(t, g)
		want := func(b *browser, status int) {
			t.Helper()
			if a := b.get("/v1/nodes"); a.status != status {
				t.Errorf("after %v: %d, want %d", time.Now(), a.status, status)
			}
		}
		for _, b := range []*browser{idle, busy, watched} {
			b.signIn()
		}
		_, closed := g.sessions.stream(t.Context(), g.sessions.of(cookiesOf(watched.request("GET", "/", "", ""))))
		time.Sleep(sessionIdle - time.Second)
		want(busy, 200)
		time.Sleep(time.Second)
		want(idle, 401)
		if n := len(g.sessions.all); n != 2 {
			t.Errorf("%d sessions are left", n)
		}
		time.Sleep(2*sessionIdle - 2*time.Second)
		want(busy, 401)
		want(watched, 200)
		time.Sleep(2 * sessionIdle)
		closed()
		time.Sleep(sessionIdle - time.Second)
		want(watched, 200)
		for range 6 {
			time.Sleep(sessionIdle - time.Second)
			want(watched, 200)
		}
		time.Sleep(sessionIdle - time.Second)
		want(watched, 401) // 12 h after it began
	})
}

// TestManySessions begins more sessions than there may be: the oldest unused one goes
// first, and one that has a stream last.
func TestManySessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newSessions()
		var cookies []string
		of := func(n int) *session { return l.of([]*http.Cookie{{Value: cookies[n]}}) }
		cookies = append(cookies, l.begin())
		streams, closed := l.stream(t.Context(), of(0))
		defer closed()
		for range maxSessions - 1 {
			time.Sleep(time.Millisecond)
			cookies = append(cookies, l.begin())
		}
		time.Sleep(time.Millisecond)
		of(1)
		for range maxSessions - 2 {
			time.Sleep(time.Millisecond)
			l.begin()
		}
		if len(l.all) != maxSessions || of(0) == nil || of(1) == nil || of(2) != nil || of(maxSessions-1) != nil || streams.Err() != nil {
			t.Errorf("%d sessions; the first is %v, the second %v, the third %v", len(l.all), of(0), of(1), of(2))
		}
		time.Sleep(sessionIdle)
		if l.begin(); len(l.all) != 2 {
			t.Errorf("%d sessions are left", len(l.all))
		}
	})
}

// TestNoToken has a gateway that needs none: there is no form and no session, but actions
// still need the token of the page.
func TestNoToken(t *testing.T) {
	t.Parallel()
	f := newFake()
	g := newGateway(f)
	g.hub = newFakeHub()
	b := newBrowser(t, g)
	if a := b.get("/"); a.status != 200 || strings.Contains(a.body, "session/end") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := b.post("/session", "token=any"); a.status != 303 || len(b.cookies) != 0 || len(g.sessions.all) != 0 {
		t.Errorf("%d %v", a.status, b.cookies)
	}
	if a := b.get("/page/session"); a.body != `{"token":false,"expires_ms":0,"csrf":"`+b.csrf()+"\"}\n" {
		t.Errorf("%d %s", a.status, a.body)
	}
	wantProblem(t, b.post("/page/act", "action=invalidate&id=7"), 403, "cross-origin")
	if a := b.do("POST", "/page/act", "action=invalidate&id=7", "X-Distproc-Page="+b.csrf()); a.status != 200 || !slices.Equal(f.asked, []string{"invalidate - 7"}) {
		t.Errorf("%d %s, asked %q", a.status, a.body, f.asked)
	}
}

// TestNext sends the browser where it was about to go, if that is on the page.
func TestNext(t *testing.T) {
	t.Parallel()
	g, _, _ := withToken(newFake())
	b := newBrowser(t, g)
	if a := b.get("/?a=1&b=%22%3e"); !strings.Contains(a.body, `value="?a=1&amp;b=%22%3e"`) {
		t.Error(a.body)
	}
	for next, want := range map[string]string{
		"?a=1": "./?a=1", "#ids": "./#ids", "": "./", "//evil.example": "./", "https://evil.example": "./", "/x": "./", "..": "./",
		"?\r\nSet-Cookie: a=b": "./", "?" + strings.Repeat("x", maxNext): "./", "?é": "./", "?token=1": "./",
	} {
		a := b.post("/session", "token="+someToken+"&next="+url.QueryEscape(next))
		if a.status != 303 || a.header.Get("Location") != want {
			t.Errorf("%q: %d %v", next, a.status, a.header)
		}
	}
	if a := b.get("/session"); a.status != 303 || a.header.Get("Location") != "./" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

// TestSessionStreams has sessions end while their streams are open.
func TestSessionStreams(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, g *Gateway, b *browser){
		"its user says so": func(_ *testing.T, _ *Gateway, b *browser) { b.post("/session/end", "") },
		"its time is over": func(*testing.T, *Gateway, *browser) { time.Sleep(sessionTime) },
		"others need a place": func(_ *testing.T, g *Gateway, b *browser) {
			time.Sleep(time.Millisecond)
			for range maxSessions {
				c := g.sessions.begin()
				_, closed := g.sessions.stream(context.Background(), g.sessions.of([]*http.Cookie{{Value: c}}))
				defer closed()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var g *Gateway
			servingGateway(t, func() *Gateway { g, _, _ = withToken(newFake()); return g }, func(t *testing.T, l *pipeListener, _ context.CancelFunc, _ <-chan error) {
				synctest.Wait()
				b := newBrowser(t, g)
				b.signIn()
				streams := []*streamReader{follow(t, l, b.stream("/page/stream")), follow(t, l, b.stream("/page/id?id=7")), follow(t, l, b.stream("/v1/events"))}
				streams[0].want(`event: state|data: {"node":""}`)
				streams[1].want(`event: id|data: {"id":"7"}`)
				drained := make(chan struct{})
				for _, s := range streams {
					go func() {
						defer func() { drained <- struct{}{} }()
						rest, err := io.ReadAll(s.body)
						if err != nil || !bytes.HasSuffix(rest, []byte("event: gone\ndata: {\"why\":\"the session has ended; enter the token again\"}\n\n")) {
							t.Errorf("%v after %q", err, rest[max(0, len(rest)-200):])
						}
					}()
				}
				end(t, g, b)
				began := time.Now()
				for range streams {
					<-drained
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("they end after %v", took)
				}
				for _, s := range streams {
					s.conn.Close()
				}
				if g.sessions.of(cookiesOf(b.request("GET", "/", "", ""))) != nil {
					t.Error("the session goes on")
				}
			})
		})
	}
}

// stream returns a request for a stream.
func (b *browser) stream(target string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, target, nil)
	from := b.request("GET", target, "", "Accept=text/event-stream")
	r.Host, r.Header = from.Host, from.Header
	return r
}
