package gateway

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/distproc/distproc/node/gateway/page"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

const (
	maxPages     = 256             // streams of pages at a time
	indexTimeout = 2 * time.Second // for the list of members without JavaScript
	planTimeout  = 5 * time.Second
	htmlType     = "text/html; charset=utf-8"

	// A browser runs the page's own scripts and styles, and nothing that is part of a
	// document. No other page may frame it.
	pagePolicy = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
)

// A hub tells pages about the cluster. It is a [page.Hub].
type hub interface {
	Watch(ctx context.Context, c page.Choice, send page.Send) error
	WatchID(ctx context.Context, k worker.Key, send page.Send) error
	Plan(ctx context.Context, add, remove []string) (*page.Plan, error)
	Members(ctx context.Context) ([]page.Member, error)
}

// index answers with the page, or with the form that asks for the token.
func (g *Gateway) index(ctx context.Context, x *exchange) error {
	if x.strange {
		return g.askForToken(x)
	}
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	d := page.IndexData{CSRF: g.csrfOf(x.session), Token: x.session != nil, Node: g.config.Cluster.Self(), Time: time.Now()}
	var err error
	if d.Members, err = g.hub.Members(ctx); err != nil {
		d.Err = clip(problemOf(err).Detail)
	}
	for _, m := range d.Members {
		if m.Name == d.Node && m.Self != nil {
			d.Version = m.Version
		}
	}
	return x.html(http.StatusOK, func(w io.Writer) error { return page.Index(w, d) })
}

// askForToken answers a stranger who wants to see the page.
func (g *Gateway) askForToken(x *exchange) error {
	if !accepts(x.r, "text/html") {
		return g.refuse(x, unauthorizedProblem(x.r))
	}
	cookies := cookiesOf(x.r)
	if x.r.Header.Get("Sec-Fetch-Site") == "cross-site" && len(cookies) == 0 && x.r.URL.RawQuery != "again" {
		return x.html(http.StatusUnauthorized, again)
	}
	if len(cookies) > 0 {
		x.setCookie("")
	}
	next := ""
	if x.r.URL.RawQuery != "" && x.r.URL.RawQuery != "again" && isNext("?"+x.r.URL.RawQuery) {
		next = "?" + x.r.URL.RawQuery
	}
	return x.login(false, next)
}

// again writes a document that asks for the page once more. Browsers keep the cookie of the
// session to themselves when the user follows a link of another site, such as one in an
// alert, but not when the document of this site asks. A reload keeps the fragment. If a
// browser takes it for the same link, the question is a new one, with the query again.
func again(w io.Writer) error {
	_, err := io.WriteString(w, `<!doctype html><html lang="en"><title>distproc</title><script src="page/again.js"></script>`+
		`<noscript><meta http-equiv="refresh" content="0; url=./?again"></noscript>`+"\n")
	return err
}

// login answers with the form that asks for the token.
func (x *exchange) login(wrong bool, next string) error {
	x.set("Www-Authenticate", challenge)
	return x.html(http.StatusUnauthorized, func(w io.Writer) error {
		return page.Login(w, page.LoginData{Wrong: wrong, Node: x.gateway.config.Cluster.Self(), Next: next})
	})
}

// html answers with a document.
func (x *exchange) html(status int, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	if err := x.hold(b.Len()); err != nil {
		return err
	}
	x.set("Content-Security-Policy", pagePolicy)
	x.send(status, htmlType, bytes.NewReader(b.Bytes()))
	return nil
}

// file answers with a file of the page. Anybody may have it, as the form needs some.
func (g *Gateway) file(_ context.Context, x *exchange) error {
	content, mediaType, etag, ok := page.File(strings.TrimPrefix(x.r.URL.Path, filesPath))
	if !ok {
		return newProblem(http.StatusNotFound, "not found", "the page has no such file; reload it if the node was upgraded")
	}
	x.set("Content-Security-Policy", pagePolicy) // a worker's policy is that of its script
	x.set("Etag", etag)
	x.set("Cache-Control", "no-cache")
	if hasETag(x.r, etag) {
		x.WriteHeader(http.StatusNotModified)
		return nil
	}
	if err := x.hold(len(content)); err != nil {
		return err
	}
	x.send(http.StatusOK, mediaType, bytes.NewReader(content))
	return nil
}

// hasETag reports whether the browser has a file already. A proxy that compresses makes an
// ETag weak.
func hasETag(r *http.Request, etag string) bool {
	for part := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(part), "W/") == etag {
			return true
		}
	}
	return false
}

// signIn begins a session for a browser whose user knows the token.
func (g *Gateway) signIn(_ context.Context, x *exchange) error {
	form, err := x.form()
	if err != nil {
		return err
	}
	next := form.Get("next")
	if !isNext(next) {
		next = ""
	}
	if g.config.Token != "" {
		if !g.isToken(form.Get("token")) {
			g.refused(x.r, newProblem(http.StatusUnauthorized, "wrong token", "that is not the token"))
			return x.login(true, next)
		}
		g.sessions.drop(cookiesOf(x.r))
		x.setCookie(g.sessions.begin())
		g.audit.Note("page session began", actorOf(x.r))
	}
	return x.seeOther("./" + next)
}

// isNext reports whether a browser may be sent to a place: a query or a fragment of the
// page itself.
func isNext(place string) bool {
	for _, c := range []byte(place) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(place) <= maxNext && (strings.HasPrefix(place, "?") || strings.HasPrefix(place, "#")) && !hasToken(strings.TrimPrefix(place, "?"))
}

const maxNext = 2048 // bytes

// toPage sends a browser that comes back to the address of the form to the page.
func (g *Gateway) toPage(_ context.Context, x *exchange) error { return x.seeOther("./") }

// signOut ends the session of a browser. The next answer has it forget the cookie.
func (g *Gateway) signOut(_ context.Context, x *exchange) error {
	if g.sessions.drop(cookiesOf(x.r)) {
		g.audit.Note("page session ended", actorOf(x.r))
	}
	return x.seeOther("../")
}

func (x *exchange) seeOther(place string) error {
	x.set("Location", place)
	x.send(http.StatusSeeOther, textType, strings.NewReader(""))
	return nil
}

// sessionInfo says how long the session of the page goes on, and which token its actions
// need, which the page has to ask for when the node has started anew.
func (g *Gateway) sessionInfo(_ context.Context, x *exchange) error {
	var expires int64
	if x.session != nil {
		expires = time.Until(x.session.until).Milliseconds()
	}
	return x.json(struct {
		Token   bool   `json:"token"` // there is a session that can be ended
		Expires int64  `json:"expires_ms"`
		CSRF    string `json:"csrf"`
	}{x.session != nil, expires, g.csrfOf(x.session)})
}

// csrfOf returns the token of actions in a session, or without one. Only pages of this
// origin can read it.
func (g *Gateway) csrfOf(s *session) string {
	if s == nil {
		return g.csrf
	}
	return s.csrf
}

// checkCSRF refuses an action that the page has not made.
func (g *Gateway) checkCSRF(x *exchange) error {
	given := x.r.Header.Get("X-Distproc-Page")
	if subtle.ConstantTimeCompare([]byte(given), []byte(g.csrfOf(x.session))) == 1 {
		return nil
	}
	return g.refuse(x, newProblem(http.StatusForbidden, "cross origin",
		"this page is older than its session or its node; reload it, and try again"))
}

// watch streams the state of the cluster.
func (g *Gateway) watch(_ context.Context, x *exchange) error {
	hot, err := x.flag("hot")
	if err != nil {
		return err
	}
	name := x.query.Get("node")
	if name != "" {
		if _, err := placement.ParseName(name); err != nil {
			return badRequest("node: %v", err)
		}
	}
	return g.pageStream(x, func(ctx context.Context, send page.Send) error {
		return g.hub.Watch(ctx, page.Choice{Node: name, Hot: hot}, send)
	})
}

// watchID streams what is known about one id.
func (g *Gateway) watchID(_ context.Context, x *exchange) error {
	id, err := oneID(x.query["id"])
	if err != nil {
		return err
	}
	return g.pageStream(x, func(ctx context.Context, send page.Send) error {
		return g.hub.WatchID(ctx, worker.Key{Kind: x.kind, ID: id}, send)
	})
}

// oneID returns the id of a query or a form.
func oneID(given []string) (worker.ID, error) {
	if len(given) != 1 || given[0] == "" {
		return worker.ID{}, badID("say one id that is not empty")
	}
	return worker.ParseID(given[0])
}

// plan says how ids are spread, and what it would move if members joined or left.
func (g *Gateway) plan(ctx context.Context, x *exchange) error {
	add, err := x.names("add")
	if err != nil {
		return err
	}
	remove, err := x.names("remove")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	plan, err := g.hub.Plan(ctx, add, remove)
	if err != nil {
		return err
	}
	return x.json(plan)
}

// names returns the names of nodes in a parameter, between commas.
func (x *exchange) names(parameter string) (names []string, err error) {
	for name := range strings.SplitSeq(x.query.Get(parameter), ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		n, err := placement.ParseName(name)
		if err != nil {
			return nil, badRequest("%s: %v", parameter, err)
		}
		names = append(names, n.String())
	}
	return names, nil
}

// pageStream answers with the events of a page. It ends when the caller goes away or does
// not read, and with the event gone if the session is over or the gateway drains.
func (g *Gateway) pageStream(x *exchange, follow func(context.Context, page.Send) error) error {
	if !g.pages.TryAcquire(1) {
		return overloadedProblem("there are as many streams to pages as this node allows; close other pages")
	}
	defer g.pages.Release(1)
	ctx, done := g.streamContext(x)
	defer done()
	s := newSSE(x)
	if x.r.Method == http.MethodHead {
		s.begin()
		return nil
	}
	err := follow(ctx, s.send)
	switch cause := context.Cause(ctx); {
	case s.err != nil, errors.Is(cause, context.Canceled): // the caller has gone, or does not read
		panic(http.ErrAbortHandler)
	case cause != nil:
		s.gone(cause)
	case err != nil && x.status == 0:
		return err
	case err != nil:
		s.gone(errors.New(problemOf(err).Detail))
	}
	return nil
}

// send writes an event whose data is one line.
func (s *sse) send(event string, data []byte) error {
	s.begin()
	s.write("event: " + event + "\ndata: ")
	s.writeBytes(data)
	s.write("\n\n")
	s.flush()
	return s.err
}

// gone says why the stream ends.
func (s *sse) gone(why error) {
	s.begin()
	s.event("gone", "", map[string]any{"why": clip(why.Error())})
	s.flush()
}

// hasToken reports whether a query has a token in it.
func hasToken(query string) bool {
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if isTokenName(name) {
			return true
		}
	}
	return false
}

func isTokenName(name string) bool {
	return strings.EqualFold(name, "token") || strings.EqualFold(name, "access_token") || strings.EqualFold(name, "http-token")
}

func tokenInAddress() *problem {
	return badRequest("a token is no part of an address, because histories and logs keep these; enter it in the form of the page, " +
		"or send the header Authorization: Bearer TOKEN")
}
