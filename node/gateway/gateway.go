// Package gateway serves a running node over HTTP.
//
// The path of one request: [Gateway.ServeHTTP] lets the guards look at it (guard.go: the Host, the token, where a browser
// comes from), and finds its route in THE table of routes, by the path as it was sent (route.go), so that an id may hold
// any byte. The query is read (query.go), and the route's handler asks the [Cluster] under the caller's context, which
// ends when the caller goes away. What comes back becomes an answer (answer.go), and an error a problem of RFC 9457, with
// its status and what became of the call (problem.go). Nothing is sent before it is complete, so every failure has a
// status of its own.
//
// The handlers: request.go asks for values and makes calls, invalidate.go has values forgotten, account.go tells of the cluster, and health.go of this process.
// openapi.json describes all of it; tests compare it with the table and with every kind of answer. server.go
// is [Gateway.Serve]; conns.go, conn.go, body.go and places.go bound what a caller can hold; listen.go and token.go decide who may be
// let in.
//
// An id is one segment of the path, percent-encoded: a/b is a%2Fb. Dots are not special: the id ".." is asked for as
// %2E%2E, or as it is, which some clients and proxies rewrite on the way. The empty id has no address and is refused, as a
// variable that is not set would ask for it by mistake. An id that is no UTF-8 stands in JSON as base64, with
// "id_encoding" beside it.
//
// A request has 5 s, or what its parameter timeout says, to 1 min.
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
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/worker"
)

// A Cluster is the node that answers, a [node.Node] or a [node.Client]. Its methods are called from many goroutines, and return
// soon after ctx ends.
type Cluster interface {
	Family(kind string) node.Family
	Owner(ctx context.Context, id worker.ID) (string, error)
	Nodes(ctx context.Context) ([]node.NodeInfo, error)
	Workers(ctx context.Context) ([]worker.Info, error)
}

// Config says what a gateway serves, and to whom. The zero value of all but Cluster means the default.
type Config struct {
	Cluster Cluster

	// Ready reports why a request would not work now, or nil. It has 5 s. Nil: always ready.
	Ready func(ctx context.Context) error

	// When Serve ends, the gateway first says for DrainDelay that it is not ready, and closes each connection after the next
	// answer, so that balancers and clients go elsewhere. Then requests have DrainTimeout to end.
	DrainDelay   time.Duration // 0
	DrainTimeout time.Duration // 5 s

	Metrics      http.Handler // of GET /metrics; nil: there are none
	Token        string       // that all but /healthz and /readyz must bear; empty: nobody needs one. See ReadToken
	LoopbackOnly bool         // refuse a Host that is neither loopback nor in Hosts; Serve does so by itself on loopback
	Hosts        []string     // names, without ports, by which a proxy on this machine is known
	Logger       *slog.Logger // silent; a line for each request at level debug. As in [node.Config]
}

// A Gateway is an [http.Handler] that answers from a cluster. It may be called from any number of goroutines.
type Gateway struct {
	config   Config
	token    [sha256.Size]byte   // of config.Token
	log      *slog.Logger        // bounded
	flush    func()              // of log
	probes   *singleflight.Group // of Ready
	refusals *boundedlog.Repeats
	draining *atomic.Bool // Serve is about to end; each Serve has its own

	bodies   *places             // of large bodies, until their calls end
	marshals *semaphore.Weighted // answers that become JSON
	answers  *semaphore.Weighted // bytes of large answers that clients have not taken
}

// New returns a gateway to c.Cluster.
func New(c Config) *Gateway {
	log, flush := boundedlog.New(c.Logger)
	return &Gateway{
		config:   c,
		token:    sha256.Sum256([]byte(c.Token)),
		log:      log,
		flush:    flush,
		probes:   new(singleflight.Group),
		refusals: new(boundedlog.Repeats),
		draining: new(atomic.Bool),

		bodies:   newPlaces(),
		marshals: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		answers:  semaphore.NewWeighted(maxAnswers),
	}
}

// ServeHTTP answers one request. It panics with [http.ErrAbortHandler], which net/http expects, if there is nobody to answer
// any more.
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
		g.refused(x.r, p)
		return p
	}
	if err := x.find(); err != nil {
		return err
	}
	if x.foreign() {
		p := newProblem(http.StatusForbidden, "cross origin",
			"a page of another site asks; this gateway answers programs, and pages of its own origin")
		g.refused(x.r, p)
		return p
	}
	if !isHealth(x.r) {
		x.conn.know()
	}
	if err := x.read(); err != nil {
		return err
	}
	ctx := x.r.Context()
	if x.timeout > 0 && !x.route.body { // a body has its own time
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.timeout)
		defer cancel()
	}
	if trace := x.r.Header["Traceparent"]; len(trace) == 1 {
		ctx = worker.WithTrace(ctx, trace[0])
		x.trace = worker.TraceOf(ctx)
	}
	return x.route.handle(g, ctx, x)
}

// errClosing is the cause of the end of requests that the server does not wait for any longer.
var errClosing = errors.New("the gateway closes")

const statusGone = 499 // only in logs: the caller went away

// fail answers with a problem, if there is still somebody who wants to know.
func (g *Gateway) fail(x *exchange, err error) {
	p := problemOf(err)
	switch cause := context.Cause(x.r.Context()); {
	case errors.Is(cause, errClosing):
		p = closingProblem(p)
	case p.Status == http.StatusRequestTimeout: // net/http takes a body that does not come for a caller who has gone
	case errors.Is(cause, context.Canceled):
		x.status = statusGone
	}
	if x.status != 0 { // nobody listens, or the beginning of another answer is out
		panic(http.ErrAbortHandler)
	}
	x.problem(p)
}

// finish turns a panic into a problem, and logs the request. It is what ServeHTTP defers.
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
	g.log.Debug("http", "method", x.r.Method, "path", x.pattern(), "id", x.idText, "kind", x.kind,
		"status", x.status, "took", time.Since(x.began), "trace", x.trace)
	if abort {
		panic(http.ErrAbortHandler)
	}
}
