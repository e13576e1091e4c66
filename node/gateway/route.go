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
	query   []string // names of the parameters that it takes
	handle  func(g *Gateway, ctx context.Context, x *exchange) error
}

// routes is the table of all endpoints. The tests compare openapi.json and the README
// with it.
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
	{pattern: "/metrics", handle: (*Gateway).metrics},
}

// An exchange is one request and its answer.
type exchange struct {
	http.ResponseWriter
	gateway *Gateway
	conn    *conn // nil if another server received the request
	r       *http.Request
	began   time.Time
	route   *route // nil if there is none
	status  int    // 0 until the answer begins
	unread  bool   // part of the body has not been read
	place   *place // in gateway.bodies; nil without a large body
	held    int64  // bytes of gateway.answers

	query   url.Values
	id      worker.ID
	idText  string // for logs
	kind    string // "" is the default
	timeout time.Duration
	trace   string
}

// An endpoint lists the routes of one pattern: one for each method, or two.
type endpoint []*route

// mux finds the endpoint of a path. To it an id is the rest of the path, so that
// [http.ServeMux] passes on an empty id and one with slashes, which find and take
// explain.
var mux = func() *http.ServeMux {
	endpoints := make(map[string]endpoint)
	for i := range routes {
		pattern := strings.Replace(routes[i].pattern, "{id}", "{id...}", 1)
		endpoints[pattern] = append(endpoints[pattern], &routes[i])
	}
	mux := http.NewServeMux()
	for pattern, e := range endpoints {
		mux.Handle(pattern, e)
	}
	return mux
}()

// A match is the ResponseWriter that mux answers to. An endpoint leaves itself and the
// path's values in it. Answers of mux itself are dropped: redirects, of which there are
// none here, and its 404.
type match struct {
	endpoint endpoint
	r        *http.Request // for its PathValue
}

func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := w.(*match)
	m.endpoint, m.r = e, r
}

func (*match) Header() http.Header         { return make(http.Header) }
func (*match) Write(b []byte) (int, error) { return len(b), nil }
func (*match) WriteHeader(int)             {}

// find finds the route and takes the values from its path.
func (x *exchange) find() error {
	u, ok := muxURL(x.r.URL)
	if !ok {
		return pathProblem()
	}
	var m match
	mux.ServeHTTP(&m, &http.Request{Method: x.r.Method, URL: u})
	if m.endpoint == nil {
		return pathProblem()
	}
	x.route = m.endpoint[0]
	if strings.Count(u.RawPath, "/") > strings.Count(x.route.pattern, "/") {
		x.route = nil
		return slashProblem()
	}
	var allowed []string
	for _, rt := range m.endpoint {
		if slices.Contains(rt.methods(), x.r.Method) {
			x.route = rt
			return x.take(m.r)
		}
		allowed = append(allowed, rt.methods()...)
	}
	return methodProblem(x.r.Method, allowed)
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

// muxURL returns the path of a URL such that [http.ServeMux] does not clean it: an id may
// be "..", and a kind that is missing must be reported as such. Paths that begin without
// a slash are no paths of endpoints.
func muxURL(u *url.URL) (*url.URL, bool) {
	if plain(u) {
		return &url.URL{Path: u.Path, RawPath: u.Path}, true
	}
	segments := strings.Split(sentPath(u), "/")
	last := len(segments) - 1
	for i, s := range segments {
		text, err := url.PathUnescape(s)
		switch {
		case err != nil || i == 0 && s != "" || last == 0:
			return nil, false
		case s == "" && 0 < i && i < last:
			text = emptySegment
		}
		// PathEscape leaves dots alone.
		segments[i] = strings.ReplaceAll(url.PathEscape(text), ".", "%2E")
	}
	raw := strings.Join(segments, "/")
	path, err := url.PathUnescape(raw)
	return &url.URL{Path: path, RawPath: raw}, err == nil
}

// plain reports whether there is nothing in a path that could be encoded or cleaned, which
// is so for most.
func plain(u *url.URL) bool {
	for i, c := range []byte(u.Path) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '/' && (i == 0 || u.Path[i-1] != '/'):
		default:
			return false
		}
	}
	return u.RawPath == "" && strings.HasPrefix(u.Path, "/")
}

// emptySegment stands for a segment of a path in which there is nothing. No kind has this
// name.
const emptySegment = "(empty)"

// sentPath returns the path with the caller's encoding. [url.URL.EscapedPath] encodes the
// path anew if a byte in it should have been encoded, and then slashes within ids are
// lost.
func sentPath(u *url.URL) string {
	if sent, err := url.PathUnescape(u.RawPath); err == nil && u.RawPath != "" && sent == u.Path {
		return u.RawPath
	}
	return u.EscapedPath()
}

// take takes the kind and the id from the path of r.
func (x *exchange) take(r *http.Request) (err error) {
	if strings.Contains(x.route.pattern, "{kind}") {
		if x.kind, err = kindNamed(r.PathValue("kind")); err != nil {
			return err
		}
	}
	if strings.Contains(x.route.pattern, "{id}") {
		text := r.PathValue("id")
		x.idText = clip(text)
		if text == "" {
			return badID("the path has no id; the empty id cannot be asked for over HTTP")
		}
		x.id, err = worker.ParseID(text)
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

// WriteString writes a long string in pieces, so that the gateway never copies a whole value for a
// client that reads slowly.
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
