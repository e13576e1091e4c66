package main

import (
	"context"
	"crypto/tls" //nolint:depguard // a peer uses it, too
	"fmt"
	"net"
	"net/http" //nolint:depguard // of the certificate
	"net/http/httptest"
	"net/rpc"
)

// remoteCalls compares calls to another process over loopback.
func (b *bench) remoteCalls(ctx context.Context) (g group, err error) {
	g.title, g.loads = "Call to another process", remote
	n, ids, err := b.twoNodes(ctx)
	if err != nil {
		return g, err
	}
	g.ours = []contender{
		cached(n, second, ids),
		called("`worker.Serial`", "serial", n, second, ids),
		called("`worker.Serial`, `Inline`", "inline", n, second, ids),
	}
	plain, err := b.rpc(ctx, "net/rpc", "tcp", net.Dial)
	if err != nil {
		return g, err
	}
	encrypted, err := b.rpc(ctx, "net/rpc over TLS", "tls", func(network, addr string) (net.Conn, error) {
		_, client := configs()
		return tls.Dial(network, addr, client)
	})
	if err != nil {
		return g, err
	}
	g.peers = []contender{plain, encrypted}
	if b.with("Erlang") {
		there, err := b.erlang(ctx, true)
		if err != nil {
			return g, err
		}
		g.peers = append(g.peers, there)
	}
	return g, nil
}

// rpc measures calls by net/rpc over one connection.
func (b *bench) rpc(ctx context.Context, name, layer string, dial func(network, addr string) (net.Conn, error)) (contender, error) {
	addr, err := b.serve(ctx, "rpc", layer)
	if err != nil {
		return contender{}, err
	}
	conn, err := dial("tcp", addr)
	if err != nil {
		return contender{}, err
	}
	client := rpc.NewClient(conn)
	b.closers = append(b.closers, func() { _ = client.Close() })
	return inGo(name, func(caller int, _ load) func() error {
		m := message(caller)
		return func() error {
			var answer string
			err := client.Call("Echo.Answer", m, &answer)
			if err == nil && answer != m {
				err = unexpected(answer, m)
			}
			return err
		}
	}), nil
}

// serveRPC serves net/rpc over TCP, or over TLS if args say "tls".
func serveRPC(_ context.Context, args []string) (addr string, done func() error, err error) {
	if err := rpc.Register(Echo{}); err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr, done = l.Addr().String(), l.Close
	if args[0] == "tls" {
		server, _ := configs()
		l = tls.NewListener(l, server)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go rpc.ServeConn(c)
		}
	}()
	return addr, done, nil
}

// Echo is a service of net/rpc.
type Echo struct{}

// Answer answers a message with the message.
func (Echo) Answer(message string, answer *string) error {
	*answer = message
	return nil
}

// configs returns a configuration of TLS for a server and one for its clients, with the
// certificate that httptest has for tests.
func configs() (server, client *tls.Config) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	transport, ok := s.Client().Transport.(*http.Transport)
	if !ok {
		panic(fmt.Sprintf("httptest has a %T", s.Client().Transport))
	}
	server, client = s.TLS.Clone(), transport.TLSClientConfig.Clone()
	server.NextProtos, client.NextProtos = nil, nil
	server.MinVersion, client.MinVersion = tls.VersionTLS13, tls.VersionTLS13
	client.ServerName = "example.com"
	return server, client
}
