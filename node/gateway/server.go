package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

const (
	maxConns      = 1024 // connections; others wait to be accepted
	maxHeader     = 16 << 10
	headerTimeout = 5 * time.Second
	bodyTimeout   = 20 * time.Second                          // for a request to arrive
	writeTimeout  = bodyTimeout + maxTimeout + 40*time.Second // from the end of its header to that of its answer
	idleTimeout   = time.Minute
	drainTimeout  = 5 * time.Second // that requests have when the gateway closes
	abortTimeout  = time.Second     // and then, to tell their callers so
)

// Serve answers the connections of l, at most 1,024 at a time, until ctx ends, and returns nil, or l fails, which is its error.
// When ctx ends, requests have 5 s to end, and another second to say that they did not; what still runs then, because it does
// not heed its context, goes on without a connection. It waits at most 1 s more for the handler of the log. Serve closes l. If that is on a loopback address, the gateway is as
// [Config].LoopbackOnly says. It may be called for several listeners.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	defer g.flush()
	here := *g
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		here.config.LoopbackOnly = true
	}
	base, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(errClosing)
	s := newServer(base, &here)
	served := make(chan error, 1)
	go func() { served <- s.Serve(netutil.LimitListener(l, maxConns)) }()
	select {
	case err := <-served: // the listener failed
		end(errClosing)
		s.Close()
		return err
	case <-ctx.Done():
	}
	err := shutdown(s, end)
	if e := <-served; !errors.Is(e, http.ErrServerClosed) { // l failed at that moment, or before
		err = cmp.Or(err, e)
	}
	return err
}

func newServer(base context.Context, g *Gateway) *http.Server {
	return &http.Server{
		Handler:           g,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
}

// shutdown waits for the requests that run, ends those that take too long, and closes the connections of those that do not end.
func shutdown(s *http.Server, end context.CancelCauseFunc) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if s.Shutdown(ctx) == nil {
		return nil
	}
	end(errClosing)
	ctx, cancel = context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	if s.Shutdown(ctx) == nil {
		return nil
	}
	return s.Close()
}
