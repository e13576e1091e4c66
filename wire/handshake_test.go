package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
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
	middle, err := tls.Listen("tcp", "127.0.0.1:0", credentials(t, []byte("a cookie of its own")).config)
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
		server, err := tls.Dial("tcp", l.Addr().String(), c.config)
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
	l, err := tls.Listen("tcp", "127.0.0.1:0", c.config)
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
		conn := tls.Client(raw, c.config)
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		mine, _ := c.proof(conn, dialerLabel)
		conn.Write(mine)
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
	if !errors.Is(err, WrongVersion) || !strings.Contains(err.Error(), "8 to 9") {
		t.Errorf("a peer of newer versions: %v, want %v with the versions", err, WrongVersion)
	}
	if err := <-refused; !errors.Is(err, WrongVersion) {
		t.Errorf("refused for %v, want %v", err, WrongVersion)
	}
}

// TestCrowd opens more silent connections than may be pending: peers still come in.
func TestCrowd(t *testing.T) {
	t.Parallel()
	c := credentials(t, testCookie)
	l, refused := listen(t, c)
	for i := range 400 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 1 {
			io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
		}
	}
	go func() {
		if in, err := l.Accept(); err == nil {
			if s, err := in.Accept(Hello{}, echo{}); err == nil {
				t.Cleanup(func() { s.Close() })
			}
		}
	}()
	s, err := Dial(t.Context(), l.Addr().String(), c, Hello{}, echo{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 400 { // the silent ones are dropped after 3 s
		select {
		case <-refused:
		case <-time.After(20 * time.Second):
			t.Fatal("silent connections stay")
		}
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

func mutual(t *testing.T, files TLSFiles) *Credentials {
	t.Helper()
	c, err := NewCredentials(testCookie, files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A testCA issues certificates as files.
type testCA struct {
	dir  string
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T, dir, name string) *testCA {
	t.Helper()
	ca := &testCA{dir: dir, file: filepath.Join(dir, name+".pem")}
	ca.cert, ca.key = ca.create(t, name, nil)
	return ca
}

// issue makes a certificate with these alternative names: hosts, IP and e-mail addresses.
func (ca *testCA) issue(t *testing.T, name string, sans ...string) TLSFiles {
	t.Helper()
	_, key := ca.create(t, name, ca.cert, sans...)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := TLSFiles{Cert: filepath.Join(ca.dir, name+".pem"), Key: filepath.Join(ca.dir, name+".key"), CA: ca.file}
	writePEM(t, files.Key, "PRIVATE KEY", der)
	return files
}

// create makes a certificate, signed by the CA, or by itself if parent is nil, and its
// file.
func (ca *testCA) create(t *testing.T, name string, parent *x509.Certificate, sans ...string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  parent == nil,
	}
	for _, san := range sans {
		switch ip := net.ParseIP(san); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case strings.Contains(san, "@"):
			template.EmailAddresses = append(template.EmailAddresses, san)
		default:
			template.DNSNames = append(template.DNSNames, san)
		}
	}
	signer := ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(ca.dir, name+".pem"), "CERTIFICATE", der)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
