package gateway

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A route is an endpoint. A segment of its pattern in braces stands for any one segment.
type route struct {
	pattern string
	body    bool     // POST, with a body; otherwise without
	remove  bool     // DELETE; otherwise GET and HEAD, unless body is set
	runs    bool     // it may run a source or a server, or remove something
	query   []string // the parameters that it knows
	handle  func(g *Gateway, ctx context.Context, x *exchange) error
}

// routes is THE table of endpoints.
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
	{pattern: "/v1/openapi.json", handle: (*Gateway).openAPI},
	{pattern: "/healthz", handle: (*Gateway).healthy},
	{pattern: "/readyz", handle: (*Gateway).ready},
	{pattern: "/metrics", handle: (*Gateway).metrics},
}

// An exchange is one request and its answer.
type exchange struct {
	http.ResponseWriter
	gateway *Gateway
	conn    *conn // nil if the request is not of Serve
	r       *http.Request
	began   time.Time
	route   *route // nil if there is none
	status  int    // 0 until the answer begins
	unread  bool   // part of the body may still come
	place   *place // in gateway.bodies; nil without a body
	held    int64  // of gateway.answers

	query   url.Values
	id      worker.ID
	idText  string // for logs
	kind    string // "" is the default
	timeout time.Duration
	trace   string
}

// find finds the route. The path is taken as it was sent: an id may hold an encoded slash, and be "..", which
// [http.ServeMux] would clean away.
func (x *exchange) find() error {
	segments := strings.Split(sentPath(x.r.URL), "/")
	var allowed []string
	for i := range routes {
		vars, ok := routes[i].match(segments)
		if !ok {
			continue
		}
		x.route = &routes[i]
		if slices.Contains(x.route.methods(), x.r.Method) {
			return x.take(vars)
		}
		allowed = append(allowed, x.route.methods()...)
	}
	if allowed != nil {
		return methodProblem(x.r.Method, allowed)
	}
	return pathProblem(segments)
}

func (rt *route) methods() []string {
	switch {
	case rt.body:
		return []string{http.MethodPost}
	case rt.remove:
		return []string{http.MethodDelete}
	}
	return []string{http.MethodGet, http.MethodHead}
}

// match returns the segments that stand for those in braces.
func (rt *route) match(segments []string) (vars map[string]string, ok bool) {
	want := strings.Split(rt.pattern, "/")
	if len(want) != len(segments) {
		return nil, false
	}
	for i, w := range want {
		switch name, variable := strings.CutPrefix(w, "{"); {
		case variable:
			if vars == nil {
				vars = make(map[string]string, 2)
			}
			vars[strings.TrimSuffix(name, "}")] = segments[i]
		case w != segments[i]:
			return nil, false
		}
	}
	return vars, true
}

// sentPath returns the path with the encoding that the caller gave it. [url.URL.EscapedPath] encodes it anew, slashes of ids
// lost, if there is a byte in it that should have been encoded.
func sentPath(u *url.URL) string {
	if sent, err := url.PathUnescape(u.RawPath); err == nil && u.RawPath != "" && sent == u.Path {
		return u.RawPath
	}
	return u.EscapedPath()
}

var kindPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (x *exchange) take(vars map[string]string) (err error) {
	if kind, ok := vars["kind"]; ok {
		if x.kind, err = kindNamed(kind); err != nil {
			return err
		}
	}
	if escaped, ok := vars["id"]; ok {
		text, err := url.PathUnescape(escaped)
		x.idText = clip(text)
		if err != nil {
			return badID("%v", err)
		}
		if text == "" {
			return badID("the path has no id; the empty id cannot be asked for over HTTP")
		}
		if x.id, err = worker.ParseID(text); err != nil {
			return err
		}
	}
	return nil
}

// kindNamed refuses a name that no kind can have: what it says here is more use, and costs the cluster nothing.
func kindNamed(name string) (string, error) {
	if kindPattern.MatchString(name) {
		return name, nil
	}
	return "", wire.Errorf(wire.UnknownKind, wire.NotRun, "%s: a name is 1 to 64 letters, digits, _ or -", clipped(name))
}

// pattern returns the path for logs.
func (x *exchange) pattern() string {
	if x.route == nil {
		return clip(x.r.URL.Path)
	}
	return x.route.pattern
}

// WriteHeader notes the status. The connection closes after the answer if it is spare, if the
// gateway is about to close, or if the server would have to read on in a body that nobody wants.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 {
		x.status = status
		if x.unread || !x.conn.served() || x.gateway.draining.Load() {
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

// WriteString writes in pieces, so that a client who reads slowly does not make this side
// hold a copy of a value that the cache has.
func (x *exchange) WriteString(s string) (int, error) {
	n, err := io.Copy(struct{ io.Writer }{x}, io.LimitReader(strings.NewReader(s), int64(len(s))))
	return int(n), err
}

// Unwrap is for [http.ResponseController].
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }
