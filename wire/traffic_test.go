package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestTraffic has a session and a link carry some bytes: what each side counts is what
// passes between the two, and it stays when the connections have ended.
func TestTraffic(t *testing.T) {
	t.Parallel()
	const size = 300_000
	near, far := credentials(t, testCookie), credentials(t, testCookie)
	l, _ := listen(t, far)
	r := newRelay(t, l.Addr().String())
	var wg sync.WaitGroup
	wg.Go(func() {
		in, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		s, err := in.Accept(Hello{}, echo{})
		if err != nil {
			t.Error(err)
			return
		}
		<-s.Done()
		s.Close()
		if in, err = l.Accept(); err != nil {
			t.Error(err)
			return
		}
		link, err := in.AcceptLink(Hello{})
		if err != nil {
			t.Error(err)
			return
		}
		defer link.Close()
		if stream, err := link.Accept(); err == nil {
			io.Copy(stream, stream)
		}
	})
	defer wg.Wait()
	defer l.Close()

	count := func() string {
		return fmt.Sprintf("%d %d, %d %d", near.Traffic.Out.Load(), near.Traffic.In.Load(), far.Traffic.In.Load(), far.Traffic.Out.Load())
	}
	check := func(least uint64) {
		t.Helper()
		var want string
		for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(time.Millisecond) {
			there, back := r.there.Load(), r.back.Load()
			want = fmt.Sprintf("%d %d, %d %d", there, back, there, back)
			if there > least && back > least && count() == want {
				return
			}
		}
		t.Fatalf("counted %s, passed %s; at least %d each way", count(), want, least)
	}
	s, err := Dial(t.Context(), r.addr, near, Hello{}, echo{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.ask(t.Context(), &Request{Text: strings.Repeat("x", size), IsText: true}, long); err != nil {
		t.Fatal(err)
	}
	check(size)
	s.Close()

	link, err := DialLink(t.Context(), r.addr, near, Hello{Role: RoleLink})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	stream, err := link.Open()
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { stream.Write(make([]byte, size)) })
	if _, err := io.ReadFull(stream, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	check(2 * size)
	link.Close()
	wg.Wait()
	if in := near.Traffic.In.Load(); in < 2*size {
		t.Errorf("%d bytes are left of the count when the connections have ended", in)
	}
	if n := far.Traffic.Refused.Load(); n != 0 {
		t.Errorf("%d refused", n)
	}
}

// TestRefusedCount turns connections away for three reasons. Who connects and goes again
// has not been turned away.
func TestRefusedCount(t *testing.T) {
	t.Parallel()
	c := credentials(t, testCookie)
	l, refused := listen(t, c)
	go func() {
		if in, err := l.Accept(); err == nil {
			in.Refuse(Errorf(NameTaken, NotRun, "no"))
		}
	}()
	check := func(want uint64, what string) {
		t.Helper()
		if n := c.Traffic.Refused.Load(); n != want {
			t.Errorf("%s: %d refused, want %d", what, n, want)
		}
	}
	knock := func(text string) {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, text)
		conn.Close()
		<-refused
	}
	knock("")
	check(0, "a check of the port")
	knock("GET / HTTP/1.1\r\n\r\n")
	check(1, "a browser")
	dial := func(c *Credentials, want Code) {
		t.Helper()
		if _, err := Dial(t.Context(), l.Addr().String(), c, Hello{}, echo{}); !errors.Is(err, want) {
			t.Errorf("dial = %v, want %v", err, want)
		}
	}
	dial(credentials(t, []byte("the cookie of another cluster")), WrongCookie)
	<-refused
	check(2, "a wrong cookie")
	dial(c, NameTaken)
	check(3, "a name that is taken")
}

// TestKnown has the codes of this version, and what others may send.
func TestKnown(t *testing.T) {
	t.Parallel()
	for c := range Code(2 * len(codeText)) {
		want := c != codeOK && c != 15 && int(c) < len(codeText) // 15 is a code of old versions
		if c.Known() != want || slices.Contains(Codes(), c) != want {
			t.Errorf("%d (%v) known: %v", uint16(c), c, c.Known())
		}
	}
}

// A relay passes bytes between its clients and a server, and counts them.
type relay struct {
	addr        string
	there, back atomic.Uint64 // bytes, to the server and from it
}

func newRelay(t *testing.T, server string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, in, out)
			mu.Unlock()
			wg.Go(func() { r.pass(in, out, &r.there) })
			wg.Go(func() { r.pass(out, in, &r.back) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return r
}

func (r *relay) pass(from, to net.Conn, count *atomic.Uint64) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		count.Add(uint64(n))
		if err != nil {
			to.Close()
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
