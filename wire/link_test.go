package wire

import (
	"io"
	"testing"
	"time"
)

// links returns both ends of a link.
func links(t *testing.T) (a, b *Link) {
	t.Helper()
	c := credentials(t, testCookie)
	l, _ := listen(t, c)
	accepted := make(chan *Link, 1)
	go func() {
		in, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		b, err := in.AcceptLink(Hello{Name: "acceptor"})
		if err != nil {
			t.Error(err)
		}
		accepted <- b
	}()
	a, err := DialLink(t.Context(), l.Addr().String(), c, Hello{Name: "dialer", Role: RoleLink})
	if err != nil {
		t.Fatal(err)
	}
	b = <-accepted
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestLink opens streams in both directions.
func TestLink(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	if a.Peer().Name != "acceptor" || b.Peer().Name != "dialer" {
		t.Errorf("peers %q and %q", a.Peer().Name, b.Peer().Name)
	}
	for _, ends := range [][2]*Link{{a, b}, {b, a}} {
		out, err := ends[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			io.WriteString(out, "hello")
			out.Close()
		}()
		in, err := ends[1].Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(in); string(got) != "hello" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		in.Close()
	}
	a.Close()
	select {
	case <-b.Done():
	case <-time.After(10 * time.Second):
		t.Error("the other end goes on")
	}
	if _, err := b.Accept(); err == nil {
		t.Error("a stream came out of a link that has ended")
	}
}

// TestLinkFlood opens more streams than a peer may: the link ends.
func TestLinkFlood(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	go func() {
		for {
			if _, err := a.Open(); err != nil {
				return
			}
		}
	}()
	for range maxStreams + 2 {
		if _, err := b.Accept(); err != nil {
			return
		}
	}
	t.Error("the link goes on")
}
