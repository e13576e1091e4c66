package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	maxHeader     = 8 << 10 // net/http allows 4 KiB more
	headerTimeout = 5 * time.Second
	idleTimeout   = time.Minute
	drainTimeout  = 5 * time.Second        // default
	abortTimeout  = time.Second            // for requests to answer after that
	firstTimeout  = 500 * time.Millisecond // for the first request of a new connection
)

// Serve accepts connections from l and answers their requests. It returns nil after ctx
// ends, or an error if l fails. It closes l. Temporary errors of Accept do not end it.
// Several calls with different listeners may run at the same time.
//
// It holds at most 1,024 connections, or half as many as the process may open files.
// Beyond that, it closes the connection that has waited longest for its client. If none
// waits, a new connection may ask for health only.
//
// When ctx ends, the gateway drains as [Config].DrainDelay says. Streams end at once.
// Other requests then have DrainTimeout to end. After that, their contexts end, and they
// have one more second to answer. A request that ignores its context goes on without
// a connection. Serve waits at most 1 s more for the handler of the log.
//
// If l is on a loopback address, the gateway behaves as if [Config].LoopbackOnly were set.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	defer g.flush()
	here := *g
	draining, drain := context.WithCancel(context.Background())
	defer drain()
	here.draining = draining
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
	drain()
	time.Sleep(g.config.DrainDelay)
	bounded.quiesce(firstTimeout)
	err := shutdown(s, end, cmp.Or(g.config.DrainTimeout, drainTimeout))
	if e := <-served; !errors.Is(e, http.ErrServerClosed) && !errors.Is(e, net.ErrClosed) { // l has failed
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

// shutdown waits for running requests, ends the contexts of those that take too long, and
// closes the connections of those that still run.
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
