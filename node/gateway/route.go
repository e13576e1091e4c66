package gateway

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

// A route is an endpoint for some methods. A segment of its pattern in braces stands for
// any one segment of a path.
type route struct {
	pattern string
	body    bool     // POST, with a body; otherwise without
	remove  bool     // DELETE; otherwise GET and HEAD, unless body is set
	runs    bool     // it may run a source or a server, or change the cluster's state
	page    bool     // of the page, and so no part of the stable API
	open    bool     // it needs neither the token nor a session
	query   []string // names of the parameters that it takes; any: all are ignored
	handle  func(g *Gateway, ctx context.Context, x *exchange) error
}

// routes is the table of all endpoints. The tests compare openapi.json and the README
// with it. The endpoints of the page are the last ones, as find goes through the table.
var routes = []route{
	{pattern: "/v1/request/{id}", runs: true, query: []string{"kind", "refresh", "timeout"}, handle: (*Gateway).request},
	{pattern: "/v1/value/{id}", runs: true, query: []string{"kind", "timeout"}, handle: (*Gateway).value},
	{pattern: "/v1/value/{id}", remove: true, runs: true, query: []string{"kind", "timeout"}, handle: (*Gateway).invalidate},
	{pattern: "/v1/value", remove: true, runs: true, query: []string{"id", "kind", "timeout"}, handle: (*Gateway).invalidateMany},
	{pattern: "/v1/call/{kind}/{id}", body: true, runs: true, query: []string{"timeout"}, handle: (*Gateway).call},
	{pattern: "/v1/owner/{id}", handle: (*Gateway).owner},
	{pattern: "/v1/why/{id}", query: []string{"kind", "timeout"}, handle: (*Gateway).why},
	{pattern: "/v1/nodes", handle: (*Gateway).nodes},
	{pattern: "/v1/workers", query: []string{"kind", "limit"}, handle: (*Gateway).workers},
	{pattern: "/v1/events", query: []string{"after", "limit", "node", "since", "timeout"}, handle: (*Gateway).events},
	{pattern: "/v1/openapi.json", handle: (*Gateway).openAPI},
	{pattern: "/healthz", handle: (*Gateway).healthy},
	{pattern: "/readyz", handle: (*Gateway).ready},
	{pattern: "/v1/profile", runs: true, query: []string{"seconds", "type"}, handle: (*Gateway).profile},
	{pattern: "/metrics", handle: (*Gateway).metrics},

	{pattern: "/", page: true, open: true, query: anyQuery, handle: (*Gateway).index},
	{pattern: "/session", page: true, open: true, query: anyQuery, handle: (*Gateway).toPage},
	{pattern: "/session", page: true, open: true, body: true, runs: true, handle: (*Gateway).signIn},
	{pattern: "/session/end", page: true, body: true, runs: true, handle: (*Gateway).signOut},
	{pattern: "/page/session", page: true, handle: (*Gateway).sessionInfo},
	{pattern: "/page/stream", page: true, query: []string{"hot", "node"}, handle: (*Gateway).watch},
	{pattern: "/page/id", page: true, query: []string{"id", "kind"}, handle: (*Gateway).watchID},
	{pattern: "/page/plan", page: true, query: []string{"add", "remove"}, handle: (*Gateway).plan},
	{pattern: "/page/act", page: true, body: true, runs: true, handle: (*Gateway).act},
	{pattern: filesPath + "{name}", page: true, open: true, query: anyQuery, handle: (*Gateway).file},
}

const filesPath = "/page/"

// anyQuery is the query of a route that ignores it.
var anyQuery = []string{"*"}

// forSessions reports whether the session of a browser is enough to ask for it. Otherwise
// it takes the token, as only pages of this origin that prove it may run anything.
func (rt *route) forSessions() bool { return rt.page || !rt.runs }

// An exchange is one request and its answer.
type exchange struct {
	http.ResponseWriter
	gateway *Gateway
	conn    *conn // nil if another server received the request
	r       *http.Request
	began   time.Time
	route   *route   // nil if there is none
	status  int      // 0 until the answer begins
	unread  bool     // part of the body has not been read
	strange bool     // the request has neither the token, where one is needed, nor a session
	session *session // of the browser, if it has one
	place   *place   // in gateway.bodies; nil without a large body
	held    int64    // bytes of gateway.answers
	headers []string // values of the answer's headers: see set

	query   url.Values
	id      worker.ID
	idText  string // for logs
	kind    string // "" is the default
	timeout time.Duration
	trace   string
}

// find finds the route and takes the values from its path.
func (x *exchange) find() error {
	path := sentPath(x.r.URL)
	var allowed []string
	for i := range x.gateway.routes {
		rt := &x.gateway.routes[i]
		kind, id, ok := rt.match(path)
		if !ok || x.route != nil && x.route.pattern != rt.pattern { // a file of the page is none of its endpoints
			continue
		}
		if strings.Contains(id, "/") {
			return slashProblem()
		}
		x.route = rt
		if slices.Contains(rt.methods(), x.r.Method) {
			return x.take(kind, id)
		}
		allowed = append(allowed, rt.methods()...)
	}
	if allowed == nil {
		return pathProblem()
	}
	return methodProblem(x.r.Method, allowed)
}

// match reports whether a path, as it was sent, fits the pattern. It returns what stands
// for {kind} and for {id}, still percent-encoded. An id is the rest of the path. So an
// empty one and one with slashes fit, which find and take explain. [http.ServeMux] would
// clean such paths, and answer with a redirect.
func (rt *route) match(path string) (kind, id string, ok bool) {
	pattern := rt.pattern
	for more := true; more; {
		var want, have string
		var left bool
		want, pattern, more = strings.Cut(pattern, "/")
		if want == "{id}" {
			return kind, path, true
		}
		have, path, left = strings.Cut(path, "/")
		switch {
		case left != more:
			return "", "", false
		case want == "{kind}":
			kind = have
		case want == "{name}":
		case want != have:
			if text, err := url.PathUnescape(have); err != nil || text != want {
				return "", "", false
			}
		}
	}
	return kind, "", true
}

var (
	reads   = []string{http.MethodGet, http.MethodHead}
	posts   = []string{http.MethodPost}
	removes = []string{http.MethodDelete}
)

func (rt *route) methods() []string {
	switch {
	case rt.body:
		return posts
	case rt.remove:
		return removes
	}
	return reads
}

// sentPath returns the path with the caller's encoding. [url.URL.EscapedPath] encodes the
// path anew if a byte in it should have been encoded, and then slashes within ids are
// lost.
func sentPath(u *url.URL) string {
	if sent, err := url.PathUnescape(u.RawPath); err == nil && u.RawPath != "" && sent == u.Path {
		return u.RawPath
	}
	return u.EscapedPath()
}

// take takes the kind and the id that match has found.
func (x *exchange) take(kind, id string) (err error) {
	if strings.Contains(x.route.pattern, "{kind}") {
		if kind, err = url.PathUnescape(kind); err != nil {
			return pathProblem()
		}
		if x.kind, err = kindNamed(kind); err != nil {
			return err
		}
	}
	if strings.Contains(x.route.pattern, "{id}") {
		if id, err = url.PathUnescape(id); err != nil {
			return pathProblem()
		}
		x.idText = clip(id)
		if id == "" {
			return badID("the path has no id; the empty id cannot be asked for over HTTP")
		}
		x.id, err = worker.ParseID(id)
	}
	return err
}

// kindNamed refuses a name that no kind can have. The error is more helpful than the
// cluster's, and costs the cluster nothing.
func kindNamed(name string) (string, error) {
	if text.IsName(name) {
		return name, nil
	}
	return "", wire.Errorf(wire.UnknownKind, wire.NotRun, "%s: a name is "+text.NameRule, text.Quote(name))
}

// pattern returns the pattern of the route, or the path if there is no route. It is for
// logs.
func (x *exchange) pattern() string {
	if x.route == nil {
		return clip(x.r.URL.Path)
	}
	return x.route.pattern
}

// WriteHeader records the status. The connection closes after the answer if it is spare,
// if the gateway is about to close, or if part of the body has not been read.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 {
		x.status = status
		if x.unread || !x.conn.served() || x.gateway.draining.Err() != nil {
			x.Header().Set("Connection", "close")
		}
		if x.unread {
			x.setReadDeadline(time.Now().Add(lingerTimeout))
			x.conn.waits(forClosing)
		}
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	return x.ResponseWriter.Write(b)
}

// WriteString writes a long string in pieces, so that the gateway never copies a whole value
// for a client that reads slowly.
func (x *exchange) WriteString(s string) (int, error) {
	if len(s) <= maxPiece {
		if x.status == 0 {
			x.WriteHeader(http.StatusOK)
		}
		return io.WriteString(x.ResponseWriter, s)
	}
	n, err := io.Copy(struct{ io.Writer }{x}, io.LimitReader(strings.NewReader(s), int64(len(s))))
	return int(n), err
}

// Unwrap makes [http.ResponseController] work.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }
