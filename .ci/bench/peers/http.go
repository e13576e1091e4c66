package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http" //nolint:depguard // what is compared
	"strconv"
	"strings"
	"time"
)

// gateways compares requests of HTTP to the gateway of a node with those to a server that
// gives the same answers and is nothing else.
func (b *bench) gateways(ctx context.Context) (g group, err error) {
	g.title = "HTTP from another process"
	g.loads = []load{{"64 connections", 64, 64}}
	other, err := b.serve(ctx, "node")
	if err != nil {
		return g, err
	}
	addr, err := b.serve(ctx, "gateway", other)
	if err != nil {
		return g, err
	}
	bare, err := b.serve(ctx, "http")
	if err != nil {
		return g, err
	}
	ours, err := owned(addr, first, 64)
	if err != nil {
		return g, err
	}
	others, err := owned(addr, second, 64)
	if err != nil {
		return g, err
	}
	g.ours = []contender{
		b.web("value of the node itself", http.MethodGet, addr, first, ours),
		b.web("value of another node", http.MethodGet, addr, second, others),
		b.web("call of the node's own `worker.Serial`", http.MethodPost, addr, first, ours),
	}
	g.peers = []contender{
		b.web("net/http, GET", http.MethodGet, bare, "", ours),
		b.web("net/http, POST", http.MethodPost, bare, "", ours),
	}
	return g, nil
}

// owned asks a gateway for values until it has as many ids of a node as are wanted.
func owned(addr, node string, count int) (ids []string, err error) {
	for i := 0; len(ids) < count && i < 4*count; i++ {
		id := strconv.Itoa(i)
		res, err := http.Get("http://" + addr + "/v1/value/" + id)
		if err != nil {
			return nil, err
		}
		if err := res.Body.Close(); err != nil {
			return nil, err
		}
		if res.Header.Get("X-Distproc-Node") == node {
			ids = append(ids, id)
		}
	}
	if len(ids) < count {
		return nil, fmt.Errorf("%s owns %d of %d ids", node, len(ids), 4*count)
	}
	return ids, nil
}

// web measures GET requests for values, or POST requests to servers, that a node has.
// Each caller has an id and a connection of its own.
func (b *bench) web(name, method, addr, node string, ids []string) contender {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}
	b.closers = append(b.closers, transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	c := inGo(name, func(caller int, _ load) func() error {
		url, body, want := "http://"+addr+"/v1/value/"+ids[caller], "", value(ids[caller])
		if method == http.MethodPost {
			url, want = "http://"+addr+"/v1/call/serial/"+ids[caller], message(caller)
			body = want
		}
		return func() error { return ask(client, method, url, body, node, want) }
	})
	c.like = method
	return c
}

// ask makes a request and checks its answer.
func ask(client *http.Client, method, url, body, node, want string) error {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || string(answer) != want || res.Header.Get("X-Distproc-Node") != node {
		return unexpected(fmt.Sprintf("%s: %s, from %s", res.Status, answer, res.Header["X-Distproc-Node"]), want+", from "+node)
	}
	return nil
}

// serveHTTP serves the values and the servers that nodes have here.
func serveHTTP(context.Context, []string) (addr string, done func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/value/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, value(r.PathValue("id")))
	})
	mux.HandleFunc("POST /v1/call/serial/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.Copy(w, r.Body)
	})
	return serveHandler(l, mux)
}

// serveHandler serves HTTP on a listener.
func serveHandler(l net.Listener, h http.Handler) (addr string, done func() error, err error) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(l) //nolint:errcheck // it is ErrServerClosed
	return l.Addr().String(), s.Close, nil
}
