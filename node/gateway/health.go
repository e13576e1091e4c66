package gateway

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

const readyTimeout = 5 * time.Second

// healthy answers that the process runs.
func (g *Gateway) healthy(_ context.Context, x *exchange) error {
	x.send(http.StatusOK, textType, strings.NewReader("ok\n"))
	return nil
}

// ready answers whether a request would work now. Without the token, if there is one, the
// answer does not give a reason.
func (g *Gateway) ready(ctx context.Context, x *exchange) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var err error
	switch {
	case g.draining.Err() != nil:
		err = errClosing
	case g.config.Ready != nil:
		err = g.probe(ctx)
	}
	if err != nil {
		p := newProblem(http.StatusServiceUnavailable, "not ready", "a request does not work now")
		if g.authorized(x.r) {
			p.Detail += clip(": " + err.Error())
		}
		p.header.Set("Retry-After", "1")
		return p
	}
	x.send(http.StatusOK, textType, strings.NewReader("ok\n"))
	return nil
}

// probe calls Ready. Concurrent probes share one call, because anybody may ask for
// health.
func (g *Gateway) probe(ctx context.Context) error {
	answer := g.probes.DoChan("", func() (panicked any, err error) {
		defer func() { // it goes on below, where it fails one request only
			if panicked = recover(); panicked != nil {
				g.log.Error("readiness check panicked", "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
		defer cancel()
		return nil, g.config.Ready(ctx)
	})
	select {
	case a := <-answer:
		if a.Val != nil {
			panic(a.Val)
		}
		return a.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Gateway) metrics(ctx context.Context, x *exchange) error {
	if g.config.Metrics == nil {
		return newProblem(http.StatusNotFound, "not found", "this node publishes no metrics")
	}
	g.config.Metrics.ServeHTTP(x, x.r.WithContext(ctx))
	return nil
}

//go:embed openapi.json
var openAPIDocument []byte

// openAPI answers with the OpenAPI 3.0.3 description of the gateway.
func (g *Gateway) openAPI(_ context.Context, x *exchange) error {
	x.send(http.StatusOK, jsonType, bytes.NewReader(openAPIDocument))
	return nil
}
