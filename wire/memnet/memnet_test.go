package memnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/distproc/distproc/wire/memnet"
)

func Example() {
	network := memnet.New()
	l, err := network.Host("server").Listen("192.0.2.1:80")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		c, _ := l.Accept()
		fmt.Fprint(c, "hello")
		c.Close()
		l.Close()
	}()
	c, err := network.Host("client").Dial(context.Background(), "192.0.2.1:80")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := io.ReadAll(c)
	fmt.Printf("%s from %s\n", text, c.RemoteAddr())
	// Output: hello from 192.0.2.1:80
}

func ExampleNetwork_Cut() {
	network := memnet.New()
	l, _ := network.Host("server").Listen("192.0.2.1:80")
	defer l.Close()
	network.Cut("client", "192.0.2.1:80", memnet.Refused)
	_, err := network.Host("client").Dial(context.Background(), "192.0.2.1:80")
	fmt.Println(err)
	// Output: dial tcp: connect: connection refused
}

func ExampleNetwork_Hold() {
	network := memnet.New()
	l, _ := network.Host("server").Listen("192.0.2.1:80")
	defer l.Close()
	c, _ := network.Host("client").Dial(context.Background(), "192.0.2.1:80")
	defer c.Close()
	s, _ := l.Accept()
	defer s.Close()
	network.Hold("client", "server")
	fmt.Fprint(c, "hello")
	fmt.Fprint(s, "are you there?") // this way is open
	b := make([]byte, 20)
	n, _ := c.Read(b)
	fmt.Printf("the client has got %q\n", b[:n])
	s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := s.Read(b)
	fmt.Println("the server has got", err)
	network.Release("client", "server")
	s.SetReadDeadline(time.Time{})
	n, _ = s.Read(b)
	fmt.Printf("the server has got %q\n", b[:n])
	// Output:
	// the client has got "are you there?"
	// the server has got read tcp 192.0.2.1:80->192.0.2.1:32768: i/o timeout
	// the server has got "hello"
}

// TestHold has a way held when a connection is made, and while both ends close one.
func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		l, err := network.Host("server").Listen("192.0.2.1:80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		client := network.Host("client")
		for _, ends := range [][2]string{{"client", "server"}, {"server", "client"}} {
			network.Hold(ends[0], ends[1])
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := client.Dial(ctx, "192.0.2.1:80"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with the way from %s held: %v; want no answer", ends[0], err)
			}
			cancel()
			network.Release(ends[0], ends[1])
		}
		c, err := client.Dial(t.Context(), "192.0.2.1:80")
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		network.Hold("client", "server")
		s.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Errorf("%v; want that the client does not know that the server has closed", err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%v; want the end", err)
		}
		network.Release("client", "server")
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%v; want that the server has closed", err)
		}
		c.Close()
	})
}

// TestConn has the standard library's group try what it asks of every connection.
func TestConn(t *testing.T) {
	t.Parallel()
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		network := memnet.New()
		l, err := network.Host("server").Listen("127.0.0.1:80")
		if err != nil {
			return nil, nil, nil, err
		}
		c1, err = network.Host("client").Dial(t.Context(), "127.0.0.1:80")
		if err != nil {
			return nil, nil, nil, err
		}
		c2, err = l.Accept()
		return c1, c2, func() { c1.Close(); c2.Close(); l.Close() }, err
	})
}

// TestLostBytes closes an end: what it wrote arrives, and what is written to it fails.
func TestLostBytes(t *testing.T) {
	t.Parallel()
	a, b := memnet.Pipe(nil, nil)
	if _, err := a.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if text, err := io.ReadAll(b); err != nil || string(text) != "last words" {
		t.Errorf("read %q, %v", text, err)
	}
	if _, err := b.Write([]byte{1}); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to a closed connection: %v, want EPIPE", err)
	}
}

// TestFull writes more than a connection holds: the writer waits for the reader.
func TestFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pipe(nil, nil)
		var written int
		go func() {
			written, _ = a.Write(make([]byte, 100<<10))
			a.Close()
		}()
		synctest.Wait()
		if written != 0 {
			t.Errorf("%d bytes written before any was read", written)
		}
		if read, err := io.ReadAll(b); len(read) != 100<<10 || err != nil {
			t.Errorf("read %d bytes, %v", len(read), err)
		}
	})
}

func TestListen(t *testing.T) {
	t.Parallel()
	host := memnet.New().Host("server")
	l, err := host.Listen("127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.Listen("127.0.0.1:80"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listener: %v, want EADDRINUSE", err)
	}
	waiting, err := host.Dial(t.Context(), "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := waiting.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection that nobody accepted: %v, want EOF", err)
	}
	if _, err := host.Dial(t.Context(), "127.0.0.1:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial after Close: %v, want ECONNREFUSED", err)
	}
	if l, err = host.Listen("127.0.0.1:80"); err != nil {
		t.Fatalf("the address is not free after Close: %v", err)
	}
	l.Close()
}

// TestCut cuts a route, in both ways: other hosts get through, and this one when it is
// mended.
func TestCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const at = "127.0.0.1:80"
		network := memnet.New()
		l, err := network.Host("server").Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		a, b := network.Host("a"), network.Host("b")
		dial := func(h *memnet.Host) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err := h.Dial(ctx, at)
			return err
		}
		network.Cut("a", at, memnet.Refused)
		if err := dial(a); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		network.Cut("a", at, memnet.Lost)
		if began, err := time.Now(), dial(a); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Hour {
			t.Errorf("lost: %v after %v", err, time.Since(began))
		}
		if err := dial(b); err != nil {
			t.Errorf("b was not cut: %v", err)
		}
		network.Mend("a", at)
		if err := dial(a); err != nil {
			t.Errorf("mended: %v", err)
		}
	})
}
