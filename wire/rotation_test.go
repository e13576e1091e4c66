package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// steps are the cookies of a node before, while and after the cookie changes.
var steps = [][][]byte{
	{testCookie},
	{testCookie, nextCookie},
	{nextCookie, testCookie},
	{nextCookie},
}

var nextCookie = []byte("the next cookie of the tests")

func several(t *testing.T, cookies [][]byte) *Credentials {
	t.Helper()
	c, err := NewCredentials(cookies[0], TLSFiles{}, cookies[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// accepting returns a listener that admits everybody who has proved a cookie.
func accepting(t *testing.T, c *Credentials) (addr string) {
	l, _ := listen(t, c)
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
	return l.Addr().String()
}

func connects(t *testing.T, addr string, c *Credentials) error {
	s, err := Dial(t.Context(), addr, c, Hello{}, echo{})
	if err == nil {
		s.Close()
	}
	return err
}

// TestRotation has nodes of all steps dial one another: within a step and between
// neighboring ones all can. A client shows the old cookie before step 2 or the new one
// after it, or either between the two.
func TestRotation(t *testing.T) {
	t.Parallel()
	var addrs []string
	for _, cookies := range steps {
		addrs = append(addrs, accepting(t, several(t, cookies)))
	}
	for dialer, cookies := range steps {
		for acceptor, addr := range addrs {
			err := connects(t, addr, several(t, cookies))
			// A node of steps 0 or 1 shows the old cookie, which only the last one refuses.
			want := dialer < 2 && acceptor < 3 || dialer >= 2 && acceptor > 0
			if want != (err == nil) || err != nil && !errors.Is(err, WrongCookie) {
				t.Errorf("step %d dials step %d: %v, want success: %t", dialer, acceptor, err, want)
			}
			if between := dialer - acceptor; between*between <= 1 && !want {
				t.Errorf("step %d and step %d cannot connect: a rolling change splits the cluster", dialer, acceptor)
			}
		}
	}
}

// TestSetCookies changes the cookies while a session lives.
func TestSetCookies(t *testing.T) {
	t.Parallel()
	acceptor, dialer := several(t, steps[1]), several(t, steps[0])
	addr := accepting(t, acceptor)
	s, err := Dial(t.Context(), addr, dialer, Hello{}, echo{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, bad := range [][][]byte{{nil}, {nextCookie, []byte("short")}, slices.Repeat([][]byte{nextCookie}, 10)} {
		if acceptor.SetCookies(bad[0], bad[1:]...) == nil {
			t.Errorf("SetCookies(%q): no error", bad)
		}
	}
	if err := connects(t, addr, dialer); err != nil {
		t.Errorf("wrong cookies change those of before: %v", err)
	}
	if err := acceptor.SetCookies(nextCookie); err != nil {
		t.Fatal(err)
	}
	if err := connects(t, addr, dialer); !errors.Is(err, WrongCookie) {
		t.Errorf("a retired cookie: %v, want %v", err, WrongCookie)
	}
	if reply, err := s.ask(t.Context(), &Request{}, long); err != nil || reply.Data != "42" {
		t.Errorf("a session from before: %v, %v", reply, err)
	}
	if err := dialer.SetCookies(nextCookie); err != nil {
		t.Fatal(err)
	}
	if err := connects(t, addr, dialer); err != nil {
		t.Errorf("the new cookie: %v", err)
	}
}

// TestRetiredImpostor has somebody who knows only a cookie that is on its way out answer a
// dialer that shows the next one, and accepts both.
func TestRetiredImpostor(t *testing.T) {
	t.Parallel()
	l, err := tls.Listen("tcp", "127.0.0.1:0", credentials(t, testCookie).keys.Load().config)
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
		io.ReadFull(conn, make([]byte, 32))
		key, err := exported(conn.(*tls.Conn))
		if err != nil {
			return
		}
		conn.Write(append([]byte{verdictRight}, proof(testCookie, key, acceptorLabel)...))
		io.Copy(io.Discard, conn)
	}()
	if err := connects(t, l.Addr().String(), several(t, steps[2])); !errors.Is(err, WrongCookie) {
		t.Errorf("dial = %v, want %v", err, WrongCookie)
	}
}

// TestSetTLS reads other files while a session lives: a new certificate of the same CA,
// then both CAs, then the certificate of the other.
func TestSetTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := newCA(t, dir, "first"), newCA(t, dir, "second")
	node := first.issue(t, "node")
	acceptor, old := mutual(t, node), mutual(t, first.issue(t, "old"))
	next := second.issue(t, "next")
	next.CA = first.file
	newcomer := mutual(t, next)
	addr := accepting(t, acceptor)
	s, err := Dial(t.Context(), addr, old, Hello{}, echo{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := connects(t, addr, newcomer); err == nil {
		t.Error("a certificate of another CA is accepted")
	}
	bundle := dir + "/both.pem"
	var both []byte
	for _, ca := range []string{first.file, second.file} {
		text, err := os.ReadFile(ca)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	write := func(n int) {
		if err := os.WriteFile(bundle, both[:n], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	node.CA = bundle
	for cut := 1; cut < 40; cut += 7 { // each time at another place of the second certificate
		write(len(both) - cut)
		if err := acceptor.setTLS(node); (err == nil) != (cut == 1) || err != nil && !strings.Contains(err.Error(), "what begins here has no end; is the file half written?") {
			t.Errorf("without the last %d bytes: %v", cut, err)
		}
		if err := connects(t, addr, old); err != nil {
			t.Errorf("a wrong file changes those of before: %v", err)
		}
	}
	write(len(both))
	if err := acceptor.setTLS(node); err != nil {
		t.Fatal(err)
	}
	if err := acceptor.ReloadTLS(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Credentials{"the old CA": old, "the new CA": newcomer} {
		if err := connects(t, addr, c); err != nil {
			t.Errorf("a certificate of %s: %v", name, err)
		}
	}
	if reply, err := s.ask(t.Context(), &Request{}, long); err != nil || reply.Data != "42" {
		t.Errorf("a session from before: %v, %v", reply, err)
	}
	both = both[:0]
	write(0)
	if err := acceptor.ReloadTLS(); err == nil || !strings.Contains(err.Error(), "no certificate in "+bundle) {
		t.Errorf("an empty file: %v", err)
	}
	if err := credentials(t, testCookie).ReloadTLS(); err != nil {
		t.Errorf("without files: %v", err)
	}
}

// TestSetTLSOfAnother reads a certificate that is for another node.
func TestSetTLSOfAnother(t *testing.T) {
	t.Parallel()
	ca := newCA(t, t.TempDir(), "ca")
	good, bad := ca.issue(t, "good", "127.0.0.1"), ca.issue(t, "bad", "192.0.2.1")
	good.VerifyName, bad.VerifyName = true, true
	c := mutual(t, good)
	if err := c.CheckOwn("1@127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if err := c.setTLS(bad); err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("the certificate of another node: %v", err)
	}
	if err := c.setTLS(good); err != nil {
		t.Error(err)
	}
}

// TestHalfWritten cuts a file of two certificates at every byte: each cut within one is an
// error that names the line where that one begins.
func TestHalfWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := newCA(t, dir, "first"), newCA(t, dir, "second")
	var text []byte
	var ends []int
	for _, ca := range []*testCA{first, second} {
		one, err := os.ReadFile(ca.file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, "subject: a name\n"...), one...)
		ends = append(ends, len(text)-1) // the newline at the end may be missing
	}
	if _, err := certificates(append(slices.Clone(text[:ends[0]/2]), text...), "ca.pem"); err == nil || !strings.Contains(err.Error(), "ca.pem:2: ") {
		t.Errorf("half of a certificate in front of whole ones: %v", err)
	}
	begin := strings.Count(string(text[:ends[0]+1]), "\n") + 2
	for n := range len(text) + 1 {
		list, err := certificates(text[:n], "ca.pem")
		begun := strings.Count(string(text[:n]), "-----BEGIN ")
		whole := 0
		for _, end := range ends {
			if n >= end {
				whole++
			}
		}
		switch {
		case begun == whole && whole > 0:
			if err != nil || len(list) != whole {
				t.Fatalf("%d bytes: %d certificates, %v; want %d", n, len(list), err, whole)
			}
		case begun == 0:
			if err == nil || !strings.Contains(err.Error(), "no certificate in ca.pem") {
				t.Fatalf("%d bytes: %v", n, err)
			}
		default:
			line := 2
			if begun == 2 {
				line = begin
			}
			if want := fmt.Sprintf("ca.pem:%d: ", line); err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("%d bytes: %v, want an error with %s", n, err, want)
			}
		}
	}
}
