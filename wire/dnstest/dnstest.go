// Package dnstest has a name server for tests, which can lie and hang.
package dnstest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// A Server answers from what its methods have set. The zero value knows no name. All
// methods may be called at the same time.
type Server struct {
	mu      sync.Mutex
	hosts   map[string][]netip.Addr // guarded by mu
	srv     map[string][]net.SRV    // guarded by mu
	aliases map[string]string       // guarded by mu
	mode    Mode                    // guarded by mu
	asked   int                     // guarded by mu
}

// A Mode is how a server answers.
type Mode int

// The modes.
const (
	Answers Mode = iota
	Hangs        // it says nothing
	Fails        // it says that it cannot answer
	Babbles      // it says what is no message of DNS
)

// SetMode has the server answer in another way.
func (s *Server) SetMode(m Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
}

// SetHost sets all addresses of a host. Without any there is no such host.
func (s *Server) SetHost(host string, addrs ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts == nil {
		s.hosts = map[string][]netip.Addr{}
	}
	s.hosts[host+"."] = addrs
}

// SetSRV sets the records of a service. Targets end with a dot.
func (s *Server) SetSRV(name string, records ...net.SRV) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv == nil {
		s.srv = map[string][]net.SRV{}
	}
	s.srv[name+"."] = records
}

// SetAlias makes a host another name of a host, which may be an alias, too.
func (s *Server) SetAlias(host, of string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aliases == nil {
		s.aliases = map[string]string{}
	}
	s.aliases[host+"."] = of + "."
}

// Asked returns how many questions there were.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Resolver returns a resolver that asks this server, by way of the memory of the process.
// Its connections end when the context of a lookup does.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		context.AfterFunc(ctx, func() { far.Close() })
		go s.serveStream(far)
		return near, nil
	}}
}

// ServePacket answers on a socket until that is closed.
func (s *Server) ServePacket(conn net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply := s.answer(buf[:n]); reply != nil {
			_, _ = conn.WriteTo(reply, from) // a resolver asks again
		}
	}
}

// serveStream answers on a connection until that ends.
func (s *Server) serveStream(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		reply := s.answer(question)
		if reply == nil {
			_, _ = io.Copy(io.Discard, conn) // until the resolver gives up
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

const maxReply = 1<<16 - 1

// answer returns the reply to a message, or nil for none.
func (s *Server) answer(message []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	s.asked++
	header.Response, header.RecursionAvailable, header.Authoritative = true, true, true
	switch s.mode {
	case Hangs:
		return nil
	case Babbles:
		return append(message[:2:2], "\xff\xff\xff\xff babble"...)
	case Fails:
		header.RCode = dnsmessage.RCodeServerFailure
	}
	b := dnsmessage.NewBuilder(nil, header)
	b.EnableCompression()
	if b.StartQuestions() != nil || b.Question(q) != nil || b.StartAnswers() != nil {
		return nil
	}
	known := false
	if s.mode == Answers {
		known = s.answers(&b, q)
	}
	reply, err := b.Finish()
	if err != nil || len(reply) > maxReply {
		return nil
	}
	if !known && s.mode == Answers {
		reply[3] = reply[3]&0xf0 | byte(dnsmessage.RCodeNameError)
	}
	return reply
}

// answers adds the records that a question asks for, and reports whether the name is known.
func (s *Server) answers(b *dnsmessage.Builder, q dnsmessage.Question) (known bool) {
	name := strings.ToLower(q.Name.String())
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}
	for range 100 { // a loop of aliases fills the message with itself
		of, ok := s.aliases[name]
		if !ok {
			break
		}
		known = true
		to := dnsmessage.MustNewName(of)
		_ = b.CNAMEResource(head, dnsmessage.CNAMEResource{CNAME: to})
		head.Name, name = to, of
	}
	for _, ip := range s.hosts[name] {
		known = true
		switch {
		case ip.Is4() && q.Type == dnsmessage.TypeA:
			_ = b.AResource(head, dnsmessage.AResource{A: ip.As4()})
		case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
			_ = b.AAAAResource(head, dnsmessage.AAAAResource{AAAA: ip.As16()})
		}
	}
	for _, r := range s.srv[name] {
		known = true
		if q.Type == dnsmessage.TypeSRV {
			target := dnsmessage.MustNewName(r.Target)
			_ = b.SRVResource(head, dnsmessage.SRVResource{Target: target, Port: r.Port, Priority: r.Priority, Weight: r.Weight})
		}
	}
	return known
}
