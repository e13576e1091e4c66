package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWrongCookie(t *testing.T) {
	t.Parallel()
	l, refused := listen(t, credentials(t, []byte("the cookie of one cluster")))
	_, err := Dial(t.Context(), l.Addr().String(), credentials(t, []byte("the cookie of another cluster")), Hello{}, echo{})
	if !errors.Is(err, WrongCookie) {
		t.Errorf("dial = %v, want %v", err, WrongCookie)
	}
	if err := <-refused; !errors.Is(err, WrongCookie) {
		t.Errorf("refused for %v, want %v", err, WrongCookie)
	}
}

// TestManInTheMiddle relays the plain text between two TLS connections: what either side
// proves is bound to its own, so both refuse.
func TestManInTheMiddle(t *testing.T) {
	t.Parallel()
	c := credentials(t, testCookie)
	l, refused := listen(t, c)
	middle, err := tls.Listen("tcp", "127.0.0.1:0", credentials(t, []byte("a cookie of its own")).keys.Load().config)
	if err != nil {
		t.Fatal(err)
	}
	defer middle.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		victim, err := middle.Accept()
		if err != nil {
			return
		}
		defer victim.Close()
		server, err := tls.Dial("tcp", l.Addr().String(), c.keys.Load().config)
		if err != nil {
			return
		}
		defer server.Close()
		wg.Go(func() { io.Copy(server, victim); server.Close() })
		io.Copy(victim, server)
	})
	_, err = Dial(t.Context(), middle.Addr().String(), c, Hello{}, echo{})
	if !errors.Is(err, WrongCookie) {
		t.Errorf("dial through a man in the middle = %v, want %v", err, WrongCookie)
	}
	if err := <-refused; !errors.Is(err, WrongCookie) {
		t.Errorf("refused for %v, want %v", err, WrongCookie)
	}
}

// TestReflection has an acceptor that does not know the cookie send the dialer's own
// proof back.
func TestReflection(t *testing.T) {
	t.Parallel()
	c := credentials(t, testCookie)
	l, err := tls.Listen("tcp", "127.0.0.1:0", c.keys.Load().config)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		proof := make([]byte, 32)
		io.ReadFull(conn, proof)
		conn.Write(append([]byte{verdictRight}, proof...))
		io.Copy(io.Discard, conn)
	}()
	if _, err := Dial(t.Context(), l.Addr().String(), c, Hello{}, echo{}); !errors.Is(err, WrongCookie) {
		t.Errorf("dial = %v, want %v", err, WrongCookie)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	c := credentials(t, testCookie)
	l, refused := listen(t, c)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			in.Refuse(Errorf(NameTaken, NotRun, "no"))
		}
	}()
	dial := func(lowest, highest uint16) error {
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		conn := tls.Client(raw, c.keys.Load().config)
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		key, _ := exported(conn)
		conn.Write(proof(testCookie, key, dialerLabel))
		io.ReadFull(conn, make([]byte, 33))
		sendGob(conn, Hello{MinVersion: lowest, MaxVersion: highest})
		var w welcome
		if err := recvGob(conn, &w, maxHello); err != nil {
			t.Fatal(err)
		}
		return &Error{Code: w.Code, Text: w.Text}
	}
	if err := dial(1, 9); !errors.Is(err, NameTaken) {
		t.Errorf("a peer that also speaks newer versions: %v; it should come as far as the refusal", err)
	}
	err := dial(8, 9)
	want := fmt.Sprintf("no common protocol version: upgrade %s, which speaks %d to %d; the peer speaks 8 to 9", l.Addr(), minVersion, maxVersion)
	if !errors.Is(err, WrongVersion) || err.Error() != want {
		t.Errorf("a peer of newer versions: %v, want %s", err, want)
	}
	if err := <-refused; !errors.Is(err, WrongVersion) || err.Error() != want {
		t.Errorf("refused for %v, want %s", err, want)
	}
}

// TestOtherVersions has a dialer meet a node with which it has no version in common. Both
// sides say so, and which one is to be upgraded.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dialer, acceptor versionRange
		want             string // with DIALER and ACCEPTOR
	}{
		"an old node":   {versionRange{8, 9}, versionRange{1, 2}, "upgrade ACCEPTOR, which speaks 1 to 2; DIALER speaks 8 to 9"},
		"an old dialer": {versionRange{1, 2}, versionRange{3, 3}, "upgrade DIALER, which speaks 1 to 2; ACCEPTOR speaks 3"},
	} {
		near, far := credentials(t, testCookie), credentials(t, testCookie)
		near.versions, far.versions = c.dialer, c.acceptor
		l, refused := listen(t, far)
		_, err := Dial(t.Context(), l.Addr().String(), near, Hello{Name: "1@there\x1b[31m"}, echo{})
		want := strings.NewReplacer("DIALER", "1@there [31m", "ACCEPTOR", l.Addr().String()).Replace("no common protocol version: " + c.want)
		if !errors.Is(err, WrongVersion) || err.Error() != want {
			t.Errorf("%s: the dialer says %v, want %s", name, err, want)
		}
		why := <-refused
		if _, text := DescribeRefusal(why); text != want {
			t.Errorf("%s: the acceptor says %s, want %s", name, text, want)
		}
	}
}

// TestCrowd opens more silent connections than may be pending: peers still come in, and
// the silent ones are dropped in time.
func TestCrowd(t *testing.T) { bubble(t, testCrowd) }

func testCrowd(t *testing.T) {
	const crowd = maxPending + maxPending/2
	refused := make(chan error, crowd)
	c, f := credentials(t, testCookie), &fakeListener{accept: make(chan any)}
	l := serve(f, c, events{refused: func(_ net.Addr, err error) { refused <- err }})
	defer l.Close()
	start := time.Now()
	for i := range crowd {
		near, far := net.Pipe()
		defer near.Close()
		f.accept <- far
		if i%2 == 1 {
			go io.WriteString(near, "GET / HTTP/1.1\r\n\r\n")
		}
	}
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		if in, err := l.Accept(); err == nil {
			in.welcome(Hello{})
		}
	}()
	f.accept <- far
	if _, _, _, err := c.greet(t.Context(), near, Hello{}); err != nil {
		t.Errorf("a peer does not come in: %v", err)
	}
	for range crowd {
		<-refused
	}
	if took := time.Since(start); took != helloTimeout {
		t.Errorf("silent connections stay for %v, want %v", took, helloTimeout)
	}
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	go func() {
		for {
			conn, err := web.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			conn.Close()
		}
	}()
	used, err := net.Dial("tcp", silent.Addr().String()) // nobody can listen on its own port
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	brief, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for addr, want := range map[string]string{
		silent.Addr().String():    "no answer from",
		web.Addr().String():       "handshake",
		used.LocalAddr().String(): "connection refused",
	} {
		ctx := t.Context()
		if addr == silent.Addr().String() {
			ctx = brief
		}
		_, err := Dial(ctx, addr, credentials(t, testCookie), Hello{}, echo{})
		if !errors.Is(err, Unreachable) || !strings.Contains(err.Error(), want) {
			t.Errorf("dial = %v, want %v: …%s…", err, Unreachable, want)
		}
	}
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours, theirs := newCA(t, dir, "ours"), newCA(t, dir, "theirs")
	node := ours.issue(t, "node")
	l, refused := listen(t, mutual(t, node))
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			if s, err := in.Accept(Hello{}, echo{}); err == nil {
				t.Cleanup(func() { s.Close() })
			}
		}
	}()
	s, err := Dial(t.Context(), l.Addr().String(), mutual(t, ours.issue(t, "peer")), Hello{}, echo{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()

	foreign := theirs.issue(t, "foreign")
	if _, err := Dial(t.Context(), l.Addr().String(), mutual(t, foreign), Hello{}, echo{}); err == nil {
		t.Error("a dialer refuses no acceptor with a certificate of another CA")
	}
	foreign.CA = node.CA // it trusts the node, but is not trusted
	if _, err := Dial(t.Context(), l.Addr().String(), mutual(t, foreign), Hello{}, echo{}); err == nil {
		t.Error("an acceptor admits a dialer with a certificate of another CA")
	}
	if _, err := Dial(t.Context(), l.Addr().String(), credentials(t, testCookie), Hello{}, echo{}); err == nil {
		t.Error("an acceptor admits a dialer with a throw-away certificate")
	}
	for range 3 {
		t.Log(<-refused)
	}

	for _, files := range []TLSFiles{
		{Cert: node.Cert, Key: node.Key},
		{Cert: "missing", Key: node.Key, CA: node.CA},
		{Cert: node.Cert, Key: node.Key, CA: node.Key},
	} {
		if _, err := NewCredentials(testCookie, files); err == nil {
			t.Errorf("%+v: no error", files)
		}
	}
}
