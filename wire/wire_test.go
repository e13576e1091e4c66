package wire

import (
	"context"
	"errors"
	"flag"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// TestMain checks that Close waits for every goroutine.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "4") // most of the parallel tests wait
	goleak.VerifyTestMain(m)
}

// bubble runs a test in false time. yamux keeps timers in a pool for all sessions, and
// those of one bubble must not come into another: two collections empty the pool.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	forget := func() {
		runtime.GC()
		runtime.GC()
	}
	forget()
	defer forget()
	synctest.Test(t, test)
}

var testCookie = []byte("the cookie of the tests")

func credentials(t testing.TB, cookie []byte) *Credentials {
	t.Helper()
	c, err := NewCredentials(cookie, TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// echo answers a call with its own id.
type echo struct{}

func (echo) ServeCall(c Call) {
	if c.Request.IsText {
		c.Reply(&Reply{Data: c.Request.Text})
		return
	}
	c.Reply(&Reply{Data: "42", IsInt: true, Cached: true})
}

func (echo) ServeOperation(_ context.Context, _ *Session, op Op, args func(any) error) (any, error) {
	if op != 1 {
		return nil, UnknownOperation
	}
	var s string
	if err := args(&s); err != nil {
		return nil, err
	}
	return "echo " + s, nil
}

// listen returns a listener on loopback and a channel of what it refused.
func listen(t testing.TB, c *Credentials) (*Listener, <-chan error) {
	t.Helper()
	refused := make(chan error, 1000)
	l, err := Listen("127.0.0.1:0", c, Events{Refused: func(_ net.Addr, err error) { refused <- err }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, refused
}

// pair returns the two ends of a session: dialled, and accepted.
func pair(t testing.TB, dialer, acceptor Handler) (*Session, *Session) {
	t.Helper()
	c := credentials(t, testCookie)
	l, _ := listen(t, c)
	accepted := make(chan *Session, 1)
	go func() {
		in, err := l.Accept()
		if errors.Is(err, Closed) {
			close(accepted)
			return
		}
		s, err := in.Accept(Hello{Name: "acceptor"}, acceptor)
		if err != nil {
			t.Error(err)
		}
		accepted <- s
	}()
	a, err := Dial(t.Context(), l.Addr().String(), c, Hello{Name: "dialer"}, dialer)
	if err != nil {
		t.Fatal(err)
	}
	b := <-accepted
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// ask is Call with the reply returned.
func (s *Session) ask(ctx context.Context, r *Request, timeout time.Duration) (reply Reply, err error) {
	err = s.Call(ctx, r, timeout, &reply)
	return reply, err
}

func (c *calls) ask(ctx context.Context, r *Request, timeout time.Duration) (reply Reply, err error) {
	err = c.do(ctx, r, timeout, &reply)
	return reply, err
}
