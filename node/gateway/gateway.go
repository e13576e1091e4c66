// Package gateway serves a running node over HTTP.
//
// The path of one request: [Gateway.ServeHTTP] checks the Host, finds the route of the path
// (route.go), and checks the token or the session of a browser (session.go), and the origin
// (guard.go). It reads the query (query.go). The route's handler asks the [Cluster] under
// the context of the request, which ends when the caller goes away. The reply becomes an
// answer (answer.go). An error becomes a problem of RFC 9457 that has a status and the
// outcome of the call (problem.go). An answer that is not a stream is complete before its
// first byte is sent, so every failure has its status.
//
// The handlers are in request.go (values and calls), invalidate.go, account.go (the
// cluster), events.go and health.go (this process). openapi.json describes these endpoints;
// the tests compare it with the table of routes and with every kind of answer. The page for
// people is in page.go, and its buttons in act.go; package page has its files and what it
// shows. server.go has [Gateway.Serve]. conns.go, conn.go, body.go and places.go bound the
// resources that clients can hold. listen.go and token.go check the address and the token
// at the start.
//
// An id is one segment of the path, percent-encoded: a/b is a%2Fb. The id ".." should be
// sent as %2E%2E. The gateway also accepts it as it is, but some clients and proxies
// rewrite such paths. The empty id is refused, because a variable that is not set would
// ask for it by mistake. JSON has an id that is not UTF-8 as base64, with "id_encoding"
// beside it.
//
// A request has 5 s to run, or the time of its parameter timeout, up to 1 min.
package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/gateway/page"
	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// A Cluster answers the requests: a [node.Node] or a [node.Client]. Its methods are
// called from many goroutines. They must return soon after ctx ends.
type Cluster interface {
	Self() string // name of the node that serves the page
	Family(kind string) node.Family
	Owner(ctx context.Context, id worker.ID) (string, error)
	Nodes(ctx context.Context) ([]node.NodeInfo, error)
	Workers(ctx context.Context) ([]worker.Info, error)
	Events(ctx context.Context, q observe.EventQuery) (observe.Events, error)
	Figures(ctx context.Context, q observe.FiguresQuery) (observe.Figures, error)
	Hottest(ctx context.Context, q observe.HotQuery) (observe.Hot, error)
	Trace(ctx context.Context, q observe.TraceQuery) (observe.Steps, error)
}

// Config configures a gateway. The zero value of each field but Cluster means the
// default.
type Config struct {
	Cluster Cluster

	// Ready returns nil if a request would work now, or the reason why not. Its context
	// ends after 5 s. If Ready is nil, the gateway is always ready.
	Ready func(ctx context.Context) error

	// When the context of Serve ends, /readyz first reports for DrainDelay that the
	// gateway is not ready, and each connection closes after its next answer, so that
	// load balancers and clients go elsewhere. Then requests have DrainTimeout to end.
	DrainDelay   time.Duration // 0
	DrainTimeout time.Duration // 5 s

	Metrics      http.Handler // handler of GET /metrics; nil: 404
	Profile      bool         // answer GET /v1/profile, if there is a Token
	NoPage       bool         // do not serve the page for people at /, its files and its sessions
	Token        string       // required by all but /healthz, /readyz and the form of the page; empty: none; see ReadToken
	LoopbackOnly bool         // refuse Host headers but loopback and Hosts; always on if Serve is on loopback
	Hosts        []string     // accepted besides loopback, without ports, for a reverse proxy on this machine
	Logger       *slog.Logger // as in [node.Config]: nil is silent; each request is a line at level debug
}

// A Gateway is an [http.Handler] that answers from a cluster. Its methods may be called
// from any number of goroutines.
type Gateway struct {
	config   Config
	token    [sha256.Size]byte   // of config.Token
	log      *slog.Logger        // bounded
	flush    func()              // of log
	probes   *singleflight.Group // of Ready
	refusals *boundedlog.Repeats
	audit    *audit.Log
	draining context.Context // ends when Serve begins to drain; each call of Serve has its own

	bodies   *places             // of large bodies, until their calls end
	marshals *semaphore.Weighted // calls of marshal
	answers  *semaphore.Weighted // bytes of large answers that clients have yet to read
	streams  *semaphore.Weighted // streams of events

	routes   []route // without those of the page if there is none
	hub      hub     // nil if there is no page
	sessions *sessions
	csrf     string              // token of actions of pages without a session
	pages    *semaphore.Weighted // streams to pages
}

// New returns a gateway to c.Cluster. It starts no goroutine; see [Gateway.Serve].
func New(c Config) *Gateway {
	log, flush := boundedlog.New(c.Logger)
	g := &Gateway{
		config:   c,
		token:    sha256.Sum256([]byte(c.Token)),
		log:      log,
		flush:    flush,
		probes:   new(singleflight.Group),
		refusals: new(boundedlog.Repeats),
		audit:    audit.New(log),
		draining: context.Background(),

		bodies:   newPlaces(),
		marshals: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		answers:  semaphore.NewWeighted(maxAnswers),
		streams:  semaphore.NewWeighted(int64(min(maxStreams, placesFor(maxFiles())/4))),

		routes:   routes,
		sessions: newSessions(),
		csrf:     secret(),
		pages:    semaphore.NewWeighted(int64(min(maxPages, placesFor(maxFiles())/4))),
	}
	if c.NoPage {
		g.routes = slices.DeleteFunc(slices.Clone(routes), func(rt route) bool { return rt.page })
	} else {
		g.hub = page.NewHub(c.Cluster, c.Cluster.Self(), log)
	}
	return g
}

// ServeHTTP answers one request. It panics with [http.ErrAbortHandler], which net/http
// expects, if the caller has gone away or an answer was cut off.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, gateway: g, r: r, began: time.Now(), unread: r.ContentLength != 0}
	x.conn, _ = r.Context().Value(connKey{}).(*conn)
	defer g.finish(x)
	x.conn.begin()
	x.secure()
	if err := g.serve(x); err != nil {
		g.fail(x, err)
	}
}

func (g *Gateway) serve(x *exchange) error {
	if !isHealth(x.r) && !x.conn.served() {
		return overloadedProblem("all connections are busy; try again later")
	}
	if p := g.guard(x.r); p != nil {
		return g.refuse(x, p)
	}
	err := x.find()
	if !isHealth(x.r) && !g.authorized(x.r) {
		if p := g.admit(x, err); p != nil {
			return g.refuse(x, p)
		}
	}
	if err != nil {
		return err
	}
	if x.foreign() {
		return g.refuse(x, newProblem(http.StatusForbidden, "cross origin",
			"a web page of another site sent this request; the gateway answers programs and pages of its own origin only"))
	}
	if !isHealth(x.r) && !x.strange {
		x.conn.know()
	}
	if err := x.read(); err != nil {
		return err
	}
	ctx := x.r.Context()
	if x.timeout > 0 && !x.route.body { // a call's timeout starts after its body
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.timeout)
		defer cancel()
	}
	if trace := x.r.Header["Traceparent"]; len(trace) == 1 {
		ctx = worker.WithTraceContext(ctx, trace[0], list(x.r.Header["Tracestate"]), list(x.r.Header["Baggage"]))
		x.trace = worker.TraceOf(ctx)
	}
	return x.route.handle(g, ctx, x)
}

// list returns the value of a header that is a list, which may be given in parts (RFC 9110,
// section 5.3).
func list(parts []string) string { return strings.Join(parts, ",") }

// errClosing is the cause with which the server ends the contexts of requests that take
// too long to drain.
var errClosing = errors.New("the gateway closes")

const statusGone = 499 // only in logs: the caller went away

// fail answers with a problem, unless the caller has gone away.
func (g *Gateway) fail(x *exchange, err error) {
	p := problemOf(err)
	switch cause := context.Cause(x.r.Context()); {
	case errors.Is(cause, errClosing):
		p = closingProblem(p)
	case p.Status == http.StatusRequestTimeout: // for net/http the caller of a late body has gone
	case errors.Is(cause, context.Canceled):
		x.status = statusGone
	}
	if x.status != 0 { // the caller went away, or part of another answer was sent
		panic(http.ErrAbortHandler)
	}
	x.problem(p)
}

// finish turns a panic into a problem, and logs the request. ServeHTTP defers it.
func (g *Gateway) finish(x *exchange) {
	v := recover()
	err, _ := v.(error)
	abort := errors.Is(err, http.ErrAbortHandler)
	if v != nil && !abort {
		g.log.Error("http handler panicked", "path", x.pattern(), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		if abort = x.status != 0; !abort {
			x.problem(panicProblem())
		}
	}
	g.bodies.release(x.place)
	g.answers.Release(x.held)
	if g.log.Enabled(x.r.Context(), slog.LevelDebug) {
		g.log.Debug("http", "method", x.r.Method, "path", x.pattern(), "id", x.idText, "kind", x.kind,
			"status", x.status, "took", time.Since(x.began), "trace", x.trace)
	}
	if abort {
		panic(http.ErrAbortHandler)
	}
}
