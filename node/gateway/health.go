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

// healthy says that the process serves.
func (g *Gateway) healthy(_ context.Context, x *exchange) error {
	x.send(http.StatusOK, textType, strings.NewReader("ok\n"))
	return nil
}

// ready says whether a request works. Whoever has no token where one is needed does not learn why one does not.
func (g *Gateway) ready(ctx context.Context, x *exchange) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var err error
	switch {
	case g.draining.Load():
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

// probe asks Ready once for all who want to know at the same time, as anybody may.
func (g *Gateway) probe(ctx context.Context) error {
	answer := g.probes.DoChan("", func() (panicked any, err error) {
		defer func() { // the panic goes on below, where it fails one request
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

// openAPI gives the description of all this (OpenAPI 3.0.3).
func (g *Gateway) openAPI(_ context.Context, x *exchange) error {
	x.send(http.StatusOK, jsonType, bytes.NewReader(openAPIDocument))
	return nil
}
