package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/gateway/page"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A fakeHub sends an event at once, and then one each second.
type fakeHub struct {
	members []page.Member
	err     error // instead of an answer
	late    error // after the first event

	mu    sync.Mutex
	asked []string // guarded by mu
}

func newFakeHub() *fakeHub {
	var m page.Member
	m.Name, m.State = "2@127.0.0.1", "alive"
	return &fakeHub{members: []page.Member{m}}
}

func (h *fakeHub) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, fmt.Sprintf(format, args...))
}

func (h *fakeHub) Watch(ctx context.Context, c page.Choice, send page.Send) error {
	h.note("watch %s %t", c.Node, c.Hot)
	return h.send(ctx, send, "state", fmt.Sprintf(`{"node":%q}`, c.Node))
}

func (h *fakeHub) WatchID(ctx context.Context, k worker.Key, send page.Send) error {
	h.note("watch %s %q", k.Kind, k.ID)
	return h.send(ctx, send, "id", fmt.Sprintf(`{"id":%q}`, k.ID))
}

func (h *fakeHub) send(ctx context.Context, send page.Send, event, data string) error {
	if h.err != nil {
		return h.err
	}
	for {
		if err := send(event, []byte(data)); err != nil {
			return err
		}
		if h.late != nil {
			return h.late
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *fakeHub) Plan(_ context.Context, add, remove []string) (*page.Plan, error) {
	h.note("plan %q %q", add, remove)
	return &page.Plan{}, h.err
}

func (h *fakeHub) Members(ctx context.Context) ([]page.Member, error) {
	if h.err != nil {
		return nil, h.err
	}
	return h.members, nil
}

// withHub returns a gateway that needs no token, and a browser.
func withHub(t *testing.T) (*fake, *fakeHub, *browser) {
	f, h := newFake(), newFakeHub()
	g := newGateway(f)
	g.hub = h
	return f, h, newBrowser(t, g)
}

// TestWithoutJavaScript has the page show its members as a plain table that is refreshed.
// Names are text, whatever they are.
func TestWithoutJavaScript(t *testing.T) {
	t.Parallel()
	_, h, b := withHub(t)
	hostile := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</noscript></table><b>`, "' onmouseover='alert(1)", "{{.CSRF}}", "<!--", "]]>", "&lt;b&gt;",
		"a\u202eb", strings.Repeat("x", 256), strings.Repeat("<b>", 85),
	}
	h.members = nil
	for _, s := range hostile {
		var m page.Member
		m.Name, m.State, m.Problem, m.Addr = s, s, s, s
		h.members = append(h.members, m)
	}
	a := b.get("/")
	table := regexp.MustCompile(`(?s)<noscript>.*?</noscript>`).FindAllString(a.body, -1)
	if a.status != 200 || a.header.Get("Content-Type") != htmlType || !strings.Contains(strings.Join(table, ""), "<table") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if strings.Count(a.body, "<noscript>") != strings.Count(a.body, "</noscript>") || strings.Contains(a.body, "<script>") || strings.Contains(a.body, "<img src=x") || strings.Contains(a.body, "<b>") {
		t.Error("names are not text:", a.body)
	}
	for _, want := range []string{"&lt;script&gt;alert(1)&lt;/script&gt;", strings.Repeat("x", 256), "{{.CSRF}}", "&amp;lt;b&amp;gt;"} {
		if !strings.Contains(strings.Join(table, ""), want) {
			t.Errorf("no %s in %s", want, a.body)
		}
	}
	refresh := regexp.MustCompile(`<noscript>\s*<meta http-equiv="refresh" content="\d+">\s*</noscript>`)
	if !refresh.MatchString(a.body) || strings.Count(a.body, "http-equiv") != 1 {
		t.Error("without JavaScript it is not refreshed, or with it:", a.body)
	}
	// The browser refuses inline scripts, inline styles and other hosts, as the policy says.
	// So the document must not have any.
	h.members = newFakeHub().members
	g, _, _ := withToken(newFake())
	for _, a := range []answer{b.get("/"), newBrowser(t, g).get("/")} {
		if bad := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:|(src|href|action)="(/|\w+:)`).FindString(a.body); bad != "" {
			t.Errorf("%q in %s", bad, a.body)
		}
	}
	h.err = wire.Errorf(wire.Unreachable, wire.NotRun, "<i>nobody</i>\n")
	if a = b.get("/"); a.status != 200 || !strings.Contains(a.body, "unreachable: &lt;i&gt;nobody&lt;/i&gt;") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestPageFiles gives away the files of the page, by their names and nothing else.
func TestPageFiles(t *testing.T) {
	t.Parallel()
	g, _, _ := withToken(newFake())
	b := newBrowser(t, g)
	for _, target := range []string{
		"/page/index.html", "/page/login.html", "/page/..%2fhub.go", "/page/%2e%2e%2fhub.go", "/page/.", "/page/..", "/page/static", "/page/static%2Fapp.js", "/page/a%00b", "/page/%FF",
	} {
		wantProblem(t, b.get(target), 404, "not-found")
	}
	form := b.get("/")
	names := regexp.MustCompile(`(?:src|href)="(page/[^"]+)"`).FindAllStringSubmatch(form.body, -1)
	if len(names) == 0 {
		t.Errorf("the form has no files: %s", form.body)
	}
	for _, m := range names {
		a := b.get("/" + m[1])
		etag := a.header.Get("Etag")
		if a.status != 200 || len(a.body) == 0 || etag == "" || a.header.Get("Cache-Control") != "no-cache" || a.header.Get("Content-Security-Policy") != pagePolicy ||
			a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", m[1], a.status, a.header)
		}
		head := b.do("HEAD", "/"+m[1], "", "")
		if head.status != 200 || head.header.Get("Content-Length") != fmt.Sprint(len(a.body)) || head.header.Get("Etag") != etag {
			t.Errorf("%s: HEAD %d %v", m[1], head.status, head.header)
		}
		r := b.request("GET", "/"+m[1], "", "")
		r.Header.Set("If-None-Match", `"other", W/`+etag)
		if again := ask(t, g, r); again.status != 304 || again.body != "" || again.header.Get("Etag") != etag {
			t.Errorf("%s: again %d %v", m[1], again.status, again.header)
		}
		r.Header.Set("If-None-Match", `"other"`)
		if again := ask(t, g, r); again.status != 200 || again.body != a.body {
			t.Errorf("%s: another one %d %v", m[1], again.status, again.header)
		}
		r = b.request("GET", "/"+m[1], "", "Sec-Fetch-Site=cross-site Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=script")
		wantProblem(t, ask(t, g, r), 403, "cross-origin")
	}
}

// TestNoPage has a gateway without the page.
func TestNoPage(t *testing.T) {
	t.Parallel()
	g := New(Config{Cluster: newFake(), NoPage: true})
	b := newBrowser(t, g)
	for _, rt := range routes {
		if !rt.page {
			continue
		}
		for _, method := range []string{"GET", "POST"} {
			wantProblem(t, b.do(method, strings.Replace(rt.pattern, "{name}", "app.js", 1), "", ""), 404, "not-found")
		}
	}
	if a := get(t, g, "/v1/nodes"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	// Its sessions are none.
	g = New(Config{Cluster: newFake(), NoPage: true, Token: someToken})
	wantProblem(t, newBrowser(t, g).get("/"), 401, "unauthorized")
	wantProblem(t, newBrowser(t, g).post("/session", "token="+someToken), 401, "unauthorized")
}

// TestWatch passes on what a page asks the hub for.
func TestWatch(t *testing.T) {
	t.Parallel()
	_, h, b := withHub(t)
	h.late = errors.New("stop")
	for target, want := range map[string]string{
		"/page/stream":                              "watch  false",
		"/page/stream?node=3@127.0.0.1&hot=true":    "watch 3@127.0.0.1 true",
		"/page/id?id=7":                             `watch  "7"`,
		"/page/id?id=%ff%00%3Cscript%3E&kind=tea":   `watch tea "\xff\x00<script>"`,
		"/page/id?id=" + strings.Repeat("%ff", 256): `watch  "` + strings.Repeat(`\xff`, 256) + `"`,
		"/page/plan":                                `plan [] []`,
		"/page/plan?add=4@h,+5@[::1]&remove=1@a,,":  `plan ["4@h" "5@[::1]"] ["1@a"]`,
	} {
		h.asked = nil
		if a := b.get(target); a.status != 200 || !slices.Equal(h.asked, []string{want}) {
			t.Errorf("%s: %d %s, asked %q", target, a.status, a.body, h.asked)
		}
	}
	h.asked = nil
	for target, want := range map[string]string{
		"/page/stream?node=3":                     "bad-request",
		"/page/stream?node=3@h:80":                "bad-request",
		"/page/stream?hot=yes":                    "bad-request",
		"/page/stream?id=7":                       "bad-request",
		"/page/id":                                "bad-id",
		"/page/id?id=":                            "bad-id",
		"/page/id?id=7&id=8":                      "bad-id",
		"/page/id?id=" + strings.Repeat("x", 257): "bad-id",
		"/page/plan?add=nonsense":                 "bad-request",
		"/page/plan?remove=1@a,%3Cscript%3E":      "bad-request",
		"/page/plan?add=1@a&add=2@b":              "bad-request",
	} {
		if p := wantProblem(t, b.get(target), 400, want); h.asked != nil {
			t.Errorf("%s: %+v, asked %q", target, p, h.asked)
		}
	}
	wantProblem(t, b.get("/page/id?id=7&kind=a%20b"), 404, "unknown-kind")
	a := b.get("/page/stream")
	if want := "retry: 1000\n\nevent: state\ndata: {\"node\":\"\"}\n\nevent: gone\ndata: {\"why\":\"internal error: stop\"}\n\n"; a.body != want || a.header.Get("Content-Type") != streamType {
		t.Errorf("%v %q", a.header, a.body)
	}
	h.err = wire.Errorf(wire.Overloaded, wire.NotRun, "32 nodes are chosen")
	for _, target := range []string{"/page/stream", "/page/id?id=7", "/page/plan"} {
		wantProblem(t, b.get(target), 503, "overloaded")
		if a = b.do("HEAD", target, "", ""); a.body != "" {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

// TestPageStreams opens as many streams as there may be, and one more. One that nobody
// reads gives its place up; all of them end when the gateway drains.
func TestPageStreams(t *testing.T) {
	var g *Gateway
	h := newFakeHub()
	create := func() *Gateway { g = newGateway(newFake()); g.hub = h; return g }
	servingGateway(t, create, func(t *testing.T, l *pipeListener, stop context.CancelFunc, _ <-chan error) {
		synctest.Wait()
		b := newBrowser(t, g)
		places := min(maxPages, placesFor(maxFiles())/4)
		streams := make([]*streamReader, places)
		for i := range streams {
			streams[i] = follow(t, l, b.stream("/page/stream"))
			streams[i].want("event: state|data: {")
		}
		refused := l.dial()
		_ = b.stream("/page/id?id=7").Write(refused)
		res, err := http.ReadResponse(bufio.NewReader(refused), nil)
		if err != nil || res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Fatal(res, err)
		}
		res.Body.Close()
		refused.Close()
		quiet, reading := streams[0], streams[1:]
		gone := make(chan string)
		for _, s := range reading {
			go func() {
				rest, err := io.ReadAll(s.body)
				gone <- fmt.Sprint(err, string(rest[max(0, len(rest)-60):]))
			}()
		}
		time.Sleep(writeTimeout + 2*time.Second) // for the one that nobody reads
		quiet.ends(false)
		again := follow(t, l, b.stream("/page/id?id=7"))
		again.conn.Close()
		began := time.Now()
		go stop()
		for range reading {
			if text := <-gone; !strings.HasPrefix(text, "<nil>") || !strings.HasSuffix(text, "event: gone\ndata: {\"why\":\"the gateway closes\"}\n\n") {
				t.Errorf("%q", text)
			}
		}
		if took := time.Since(began); took > firstTimeout {
			t.Errorf("they end after %v", took)
		}
		closeStreams(reading)
	})
}

func closeStreams(streams []*streamReader) {
	for _, s := range streams {
		s.conn.Close()
	}
}

// TestActs presses the buttons of the page.
func TestActs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("%ff", 256)
	for form, want := range map[string]string{
		"action=invalidate&id=7&kind=price": "all nodes have forgotten the value; asked invalidate price 7; value invalidated kind=price id=7",
		"action=invalidate&id=8":            "no node had a value; asked invalidate - 8; value invalidated kind=default id=8",
		"action=refresh&id=7":               "2@127.0.0.1 has loaded a new value; asked refresh - 7; value refreshed kind=default id=7 node=2@127.0.0.1",
		"action=stop&id=7&kind=price":       "the worker ends, after what it has begun; asked stop price 7",
		"action=stop&id=8":                  "no worker ran; asked stop - 8",
		"action=invalidate&id=" + long:      "all nodes have forgotten the value; asked invalidate - " + strings.Repeat("\xff", 256) + "; value invalidated",
		"action=refresh&id=%3Cscript%3E":    "2@127.0.0.1 has loaded a new value; asked refresh - <script>; value refreshed kind=default id=<script>",
		"action=explode&id=7":               "400",
		"action=&id=7":                      "400",
		"id=7":                              "400",
		"action=stop":                       "400",
		"action=stop&id=":                   "400",
		"action=stop&id=7&id=8":             "400",
		"action=stop&id=" + long + "x":      "400",
		"action=stop&id=7&kind=a%20b":       "404",
	} {
		f := newFake()
		g, _, log := withToken(f)
		b := newBrowser(t, g)
		b.signIn()
		a := b.do("POST", "/page/act", form, "X-Distproc-Page="+b.csrf())
		words, rest, acts := strings.Cut(want, "; asked ")
		g.flush()
		if !acts {
			if fmt.Sprint(a.status) != want || f.asked != nil || log.Lines("value ") > 0 {
				t.Errorf("%s: %d %s, asked %q", form, a.status, a.body, f.asked)
			}
			continue
		}
		asked, line, logs := strings.Cut(rest, "; ")
		if a.status != 200 || a.body != `{"text":"`+words+"\"}\n" || !slices.Equal(f.asked, []string{asked}) {
			t.Errorf("%s: %d %s, asked %q", form, a.status, a.body, f.asked)
		}
		if n := log.Lines("level=INFO", "by=page from=192.0.2.1:1234") - 1; n != map[bool]int{true: 1}[logs] { // but that of the session
			t.Errorf("%s: log %s", form, log)
		}
		if what, fields, _ := strings.Cut(line, " kind="); logs && log.Lines(`msg="`+what+`"`, fields) == 0 {
			t.Errorf("%s: log %s, want %s", form, log, line)
		}
		if deadline, ok := f.ctx.Deadline(); !ok || time.Until(deadline) > actTimeout {
			t.Errorf("%s: deadline %v", form, deadline)
		}
	}
}

// TestActsThatFail has actions refused, or the cluster fail.
func TestActsThatFail(t *testing.T) {
	t.Parallel()
	f := newFake()
	g, _, log := withToken(f)
	b, other := newBrowser(t, g), newBrowser(t, g)
	b.signIn()
	other.signIn()
	for _, token := range []string{"", "x", other.csrf(), g.csrf, b.csrf()[1:], b.csrf() + "x", b.cookies["distproc-8080"]} {
		wantProblem(t, b.do("POST", "/page/act", "action=stop&id=7", "X-Distproc-Page="+token), 403, "cross-origin")
	}
	wantProblem(t, b.get("/page/act"), 405, "method-not-allowed")
	if f.asked != nil {
		t.Errorf("asked %q", f.asked)
	}
	stuck := wire.Errorf(wire.DeadlineExceeded, wire.Ran, "the id waits for a call on 3@h; stop with force gives it up")
	f.err = stuck
	for action, status := range map[string]int{"stop": 504, "invalidate": 504, "refresh": 504} {
		if p := wantProblem(t, b.do("POST", "/page/act", "id=7&action="+action, "X-Distproc-Page="+b.csrf()), status, "deadline-exceeded"); !strings.Contains(p.Detail, stuck.Text) {
			t.Errorf("%s: %+v", action, p)
		}
	}
	f.err = nil
	for text, reply := range map[string]worker.Reply{
		"2@h could not load a value, and keeps the old one":                     {Node: "2@h", Stale: true},
		"2@h has loaded a value in place of the owner, which cannot be reached": {Node: "2@h", Degraded: true},
	} {
		f.reply = reply
		if a := b.do("POST", "/page/act", "id=7&action=refresh", "X-Distproc-Page="+b.csrf()); !strings.Contains(a.body, text) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	g.flush()
	if log.Lines("level=WARN", "Cross origin") != 1 || log.Lines("value invalidated") != 0 || log.Lines("value refreshed") != 2 {
		t.Errorf("log: %s", log)
	}
	// A loop of a page is bounded in the log.
	f.reply, f.err = worker.Reply{}, nil
	csrf := b.csrf()
	for range 300 {
		b.do("POST", "/page/act", "id=7&action=invalidate", "X-Distproc-Page="+csrf)
	}
	g.flush()
	if n := log.Lines("value invalidated"); n < 50 || n > 290 {
		t.Errorf("%d lines", n)
	}
}

// TestPageAsked has programs ask for the page, and pages of other sites link to it.
func TestPageAsked(t *testing.T) {
	t.Parallel()
	g, _, _ := withToken(newFake())
	for headers, want := range map[string]string{
		"":                     "401 " + problemType,
		"Accept=*/*":           "401 " + problemType,
		"Accept=text/html":     "401 " + htmlType,
		"Authorization=Bearer": "401 " + problemType,
		"Accept=text/html Sec-Fetch-Site=cross-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document": "401 " + htmlType,
		"Accept=text/html Sec-Fetch-Site=cross-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe":   "403 " + problemType,
		"Accept=text/html Sec-Fetch-Site=cross-site Sec-Fetch-Mode=cors":                             "403 " + problemType,
	} {
		a := askAs(t, g, "GET", "/", headers)
		if got := fmt.Sprint(a.status, " ", a.header.Get("Content-Type")); got != want {
			t.Errorf("%s: %s, want %s", headers, got, want)
		}
		if head := askAs(t, g, "HEAD", "/", headers); head.status != a.status || head.header.Get("Content-Type") != a.header.Get("Content-Type") {
			t.Errorf("%s: HEAD %d %v", headers, head.status, head.header)
		}
	}
	// By a link of another site the browser sends no cookie: the page asks again, once.
	const link = "Accept=text/html Sec-Fetch-Site=cross-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document"
	const script = `src="page/again.js"`
	if a := askAs(t, g, "GET", "/", link); !strings.Contains(a.body, script) || !strings.Contains(a.body, `url=./?again"`) {
		t.Error(a.body)
	}
	for target, headers := range map[string]string{"/?again": link, "/": link + " Cookie=distproc-8080=over", "/?": "Accept=text/html Sec-Fetch-Site=same-origin"} {
		if a := askAs(t, g, "GET", target, headers); strings.Contains(a.body, script) || !strings.Contains(a.body, `action="session"`) {
			t.Errorf("%s, %s: %s", target, headers, a.body)
		}
	}
	if a := askAs(t, g, "GET", "/page/again.js", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	// A proxy, or a program, may send the token: it needs no session.
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+someToken)
	if a := ask(t, g, r); a.status != 200 || strings.Contains(a.body, "session/end") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestStrangersStayStrangers has two clients keep their connections. The gateway closes the
// connection of the client that has only seen the form sooner than that of the client that
// has a session.
func TestStrangersStayStrangers(t *testing.T) {
	var g *Gateway
	servingGateway(t, func() *Gateway { g, _, _ = withToken(newFake()); return g }, func(t *testing.T, l *pipeListener, _ context.CancelFunc, _ <-chan error) {
		synctest.Wait()
		b := newBrowser(t, g)
		for _, c := range []struct {
			target string
			kept   time.Duration
		}{{"/page/style.css", strangerTimeout}, {"/page/session", idleTimeout}} {
			if c.kept == idleTimeout {
				b.signIn()
			}
			conn := l.dial()
			_ = b.stream(c.target).Write(conn)
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			if err != nil || res.StatusCode != 200 {
				t.Fatal(res, err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			began := time.Now()
			if _, err := in.ReadByte(); err != io.EOF || time.Since(began) != c.kept {
				t.Errorf("%s: %v after %v, want the end after %v", c.target, err, time.Since(began), c.kept)
			}
			conn.Close()
		}
	})
}
