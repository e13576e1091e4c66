package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	"go.uber.org/goleak"

	"github.com/distproc/distproc/wire/memnet"
)

// TestMain checks that Close waits for every goroutine.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "4") // most of the parallel tests wait
	goleak.VerifyTestMain(m)
}

// bubble runs a test in false time, by [memnet.Bubble]. Each test with sessions is parallel
// or runs in a bubble: parallel tests run after the others. With -count, bubble also waits
// for the timers of the streams of their sessions.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	time.Sleep(time.Until(time.Unix(0, outside.Load()).Add(2 * giveUp)))
	memnet.Bubble(t, func(t *testing.T) {
		time.Sleep(time.Until(began) + keepAliveInterval/2) // false time begins in 2000
		test(t)
	})
}

// outside is the end of the last test with sessions outside of a bubble, in Unix
// nanoseconds.
var outside atomic.Int64

// useOutside notes when a test with sessions outside of a bubble ends.
func useOutside(t testing.TB) { t.Cleanup(func() { outside.Store(time.Now().UnixNano()) }) }

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

// events call what is not nil.
type events struct {
	refused func(net.Addr, error)
	trouble func(error)
}

func (e events) Refused(from net.Addr, err error) {
	if e.refused != nil {
		e.refused(from, err)
	}
}

func (e events) Trouble(err error) {
	if e.trouble != nil {
		e.trouble(err)
	}
}

// listen returns a listener on loopback and a channel of what it refused.
func listen(t testing.TB, c *Credentials) (*Listener, <-chan error) {
	t.Helper()
	useOutside(t)
	refused := make(chan error, 1000)
	l, err := Listen("127.0.0.1:0", c, events{refused: func(_ net.Addr, err error) { refused <- err }})
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

// handler is a Handler made of functions; what is not set is echo's.
type handler struct {
	echo
	call func(Call)
}

func (h handler) ServeCall(c Call) { h.call(c) }

const long = time.Minute // a timeout that does not pass

// reply answers a call with num bytes, as receive does.
func reply(c *calls, seq uint64, num int64) {
	var calls [wakeTogether]*pending
	c.removeAll([]uint64{seq}, &calls)
	calls[0].reply = Reply{Data: string(make([]byte, num))}
	calls[0].done <- struct{}{}
}

// inFlight returns the number of calls that wait for an answer.
func inFlight(c *calls) int {
	_, n := c.made()
	return n
}

// connect returns the two ends of a session over a connection.
func connect(t *testing.T, near, far net.Conn, version uint16, dialer, acceptor Handler) (a, b *Session) {
	t.Helper()
	conn, peer := handshake(t, near, far, Hello{Name: "dialer"}, func(in *Incoming) (err error) {
		in.version = version
		b, err = in.Accept(Hello{Name: "acceptor"}, acceptor)
		return err
	})
	a, err := newSession(conn, Hello{Name: "dialer"}, peer, version, true, dialer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// handshake brings both ends of a connection through the handshake. The function accepts
// the dialer.
func handshake(t *testing.T, near, far net.Conn, hello Hello, accept func(*Incoming) error) (*tls.Conn, Hello) {
	t.Helper()
	c := credentials(t, testCookie)
	var wg sync.WaitGroup
	wg.Go(func() {
		in, err := c.receive(t.Context(), newLobby().admit(c.wrap(far), time.Now().Add(handshakeTimeout)))
		if err == nil {
			err = accept(in)
		}
		if err != nil {
			t.Error(err)
		}
	})
	conn, peer, _, err := c.greet(t.Context(), near, hello)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return conn, peer
}

// rawPeer returns the dialling end of a session without what a Session does, and the
// session at the other.
func rawPeer(t *testing.T) (*yamux.Session, *Session) { return rawPeerOf(t, echo{}) }

// rawPeerOf is rawPeer for a victim that answers with h.
func rawPeerOf(t *testing.T, h Handler) (*yamux.Session, *Session) {
	t.Helper()
	near, far := overTCP(t)
	return rawPeerOn(t, near, far, h)
}

// rawPeerOn is rawPeerOf over a connection.
func rawPeerOn(t *testing.T, near, far net.Conn, h Handler) (_ *yamux.Session, victim *Session) {
	t.Helper()
	conn, _ := handshake(t, near, far, Hello{Name: "attacker"}, func(in *Incoming) (err error) {
		victim, err = in.Accept(Hello{Name: "victim"}, h)
		return err
	})
	config := yamux.DefaultConfig()
	config.LogOutput, config.StreamCloseTimeout = io.Discard, giveUp
	mux, err := yamux.Client(conn, config)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // the victim opens streams, too, and gives up a peer that does not take them
		for {
			if _, err := mux.AcceptStream(); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { mux.Close(); victim.Close(); wg.Wait() })
	return mux, victim
}

// overTCP returns the two ends of a connection over loopback.
func overTCP(t *testing.T) (near, far net.Conn) {
	t.Helper()
	useOutside(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// piped is pair in a bubble.
func piped(t *testing.T, dialer, acceptor Handler) (*Session, *Session) {
	t.Helper()
	near, far := net.Pipe()
	return connect(t, near, far, maxVersion, dialer, acceptor)
}

// operationOn makes operation 1 on a stream.
func operationOn[S io.ReadWriteCloser](t *testing.T, open func() (S, error), args []byte, reply *opReply) error {
	t.Helper()
	stream, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := stream.Write([]byte{streamOperation}); err != nil {
		return err
	}
	if err := sendGob(stream, opRequest{1, args}); err != nil {
		return err
	}
	return recvGob(stream, reply, MaxMessage)
}

// ask has a raw peer make n calls in one message, on a stream that it does not read.
func ask(t *testing.T, stream io.Writer, n int) {
	t.Helper()
	b := callBatch{Seq: make([]uint64, n)}
	for i := range b.Seq {
		b.Seq[i] = 1
	}
	if err := sendGob(stream, b); err != nil {
		t.Fatal(err)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// recordHello returns the bytes of a ClientHello that offers protocols.
func recordHello(t *testing.T, protocols []string) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}).Handshake()
	far.SetDeadline(time.Now().Add(10 * time.Second))
	var all, message []byte // all is records, which have 5 bytes before their parts of the message
	for len(message) < 4 || len(message) < 4+int(binary.BigEndian.Uint32(message)&0xffffff) {
		record := make([]byte, 5)
		if _, err := io.ReadFull(far, record); err != nil {
			t.Fatal(err)
		}
		record = append(record, make([]byte, binary.BigEndian.Uint16(record[3:]))...)
		if _, err := io.ReadFull(far, record[5:]); err != nil {
			t.Fatal(err)
		}
		all, message = append(all, record...), append(message, record[5:]...)
	}
	return all
}

// A fromConn is a connection from some address.
type fromConn struct {
	net.Conn
	from net.Addr
}

func (c fromConn) RemoteAddr() net.Addr { return c.from }

// A fakeListener gives out what is sent to it: connections and errors.
type fakeListener struct {
	accept chan any
	calls  atomic.Int64
}

func (f *fakeListener) Accept() (net.Conn, error) {
	f.calls.Add(1)
	switch v := (<-f.accept).(type) {
	case net.Conn:
		return v, nil
	case error:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: v}
	}
	return nil, net.ErrClosed
}

func (f *fakeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (f *fakeListener) Close() error {
	close(f.accept)
	return nil
}

// A freezer counts what its connections carry. Once they are frozen, what is written to
// them is lost, as with a peer that is paused.
type freezer struct {
	frozen atomic.Bool
	bytes  atomic.Int64
}

func (f *freezer) pipe() (near, far net.Conn) {
	near, far = net.Pipe()
	return freezingConn{near, f}, freezingConn{far, f}
}

type freezingConn struct {
	net.Conn
	of *freezer
}

func (c freezingConn) Write(b []byte) (int, error) {
	c.of.bytes.Add(int64(len(b)))
	if c.of.frozen.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
