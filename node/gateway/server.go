package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	maxHeader     = 8 << 10 // and 4 KiB that net/http allows on top
	headerTimeout = 5 * time.Second
	idleTimeout   = time.Minute
	drainTimeout  = 5 * time.Second        // of a Config that says nothing of it
	abortTimeout  = time.Second            // and then, to tell their callers so
	firstTimeout  = 500 * time.Millisecond // for the first request of a connection that came just before the end
)

// Serve answers the connections of l until ctx ends, and returns nil, or l fails, which is its error. It holds at most 1,024
// connections, and half as many as the process may have files open. Beyond that it closes the one that has waited
// longest for its client, or answers about health only if none waits. Accept errors that pass do not end it.
// When ctx ends, the gateway drains as [Config].DrainDelay says. Then requests have DrainTimeout to end, and another second to say that they did not; what still runs then, because it does
// not heed its context, goes on without a connection. It waits at most 1 s more for the handler of the log. Serve closes l. If that is on a loopback address, the gateway is as
// [Config].LoopbackOnly says. It may be called for several listeners.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	defer g.flush()
	here := *g
	here.draining = new(atomic.Bool)
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		here.config.LoopbackOnly = true
	}
	base, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(errClosing)
	bounded := newConns(l, placesFor(maxFiles()), g.log)
	s := newServer(base, &here, bounded)
	served := make(chan error, 1)
	go func() { served <- s.Serve(bounded) }()
	select {
	case err := <-served: // the listener failed
		end(errClosing)
		s.Close()
		return err
	case <-ctx.Done():
	}
	here.draining.Store(true)
	time.Sleep(g.config.DrainDelay)
	bounded.quiesce(firstTimeout)
	err := shutdown(s, end, cmp.Or(g.config.DrainTimeout, drainTimeout))
	if e := <-served; !errors.Is(e, http.ErrServerClosed) && !errors.Is(e, net.ErrClosed) { // l failed at that moment, or before
		err = cmp.Or(err, e)
	}
	return err
}

func newServer(base context.Context, g *Gateway, l *conns) *http.Server {
	return &http.Server{
		Handler:           g,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withConn,
		ConnState:         l.state,
	}
}

// shutdown waits for the requests that run, ends those that take too long, and closes the connections of those that do not end.
func shutdown(s *http.Server, end context.CancelCauseFunc, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
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
