package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/distproc/distproc/node/worker"

	"github.com/distproc/distproc/wire"
)

const maxPlaces = maxConns - spareConns

// fill opens as many connections as there are places, and makes a request on each.
func fill(t *testing.T, l *pipeListener, request string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, placesFor(maxFiles()))
	for i := range conns {
		conns[i] = l.dial()
		io.WriteString(conns[i], request)
		if i == 0 {
			synctest.Wait()
			time.Sleep(time.Millisecond) // the first one is the most idle
		}
	}
	synctest.Wait()
	return conns
}

// A client that makes the gateway wait gives way to an honest one.
func TestFloods(t *testing.T) {
	const host = " HTTP/1.1\r\nHost: localhost\r\n"
	for name, request := range map[string]string{
		"nothing":        "",
		"half a header":  "GET /healthz" + host,
		"health":         "GET /healthz" + host + "\r\n",
		"slow body":      "POST /v1/call/price/7" + host + "Content-Length: 1000000\r\n\r\n12345",
		"large bodies":   "POST /v1/call/price/7" + host + "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", smallBody),
		"unwanted body":  "POST /nowhere" + host + "Content-Length: 1000\r\n\r\n12345",
		"unread answers": "GET /v1/openapi.json" + host + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			serving(t, newFake(), func(t *testing.T, l *pipeListener, _ context.CancelFunc, _ <-chan error) {
				conns := fill(t, l, request)
				defer closeAll(conns)
				if name == "health" {
					for _, c := range conns {
						answerOf(t, c)
						time.Sleep(time.Microsecond)
					}
				}
				time.Sleep(forReader.grace)
				wantAnswer(t, l, "GET /v1/value/7"+host+"\r\n", "200 ")
				wantAnswer(t, l, "POST /v1/call/price/7"+host+"Content-Length: 1\r\n\r\nx", "200 ")
				if name == "unread answers" {
					return
				}
				if got, took := answerOf(t, conns[0]); name != "unwanted body" && took != 0 {
					t.Errorf("the most idle connection: %s after %v", got, took)
				}
			})
		})
	}
}

// A connection that is at work is never closed. Those above the bound hear about health.
func TestAllBusy(t *testing.T) {
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		work := make(chan struct{})
		g := New(Config{Cluster: newFake(), Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-work
			io.WriteString(w, "up 1\n")
		})})
		ctx, stop := context.WithCancel(t.Context())
		l, served := newPipeListener(), make(chan error, 1)
		go func() { served <- g.Serve(ctx, l) }()
		conns := fill(t, l, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
		defer closeAll(conns)
		time.Sleep(time.Second)
		const end = " HTTP/1.1\r\nHost: localhost\r\n\r\n"
		for range 3 * spareConns {
			wantAnswer(t, l, "GET /healthz"+end, "200 ok")
			wantAnswer(t, l, "GET /readyz"+end, "200 ok")
			wantAnswer(t, l, "GET /v1/value/7"+end, `503 {"type":"/problems/overloaded"`)
		}
		idle := make([]net.Conn, 2*spareConns) // silent ones do not keep the spare places
		for i := range idle {
			idle[i] = l.dial()
		}
		defer closeAll(idle)
		wantAnswer(t, l, "GET /healthz"+end, "200 ok")
		c := l.dial()
		fmt.Fprint(c, "GET /v1/nodes"+end)
		answer, _ := io.ReadAll(c) // ends: the connection is closed
		if !bytes.Contains(answer, []byte("\r\nRetry-After: ")) || !bytes.Contains(answer, []byte("\r\nConnection: close\r\n")) {
			t.Errorf("%s", answer)
		}
		close(work)
		for i, c := range conns {
			if got, _ := answerOf(t, c); !strings.HasPrefix(got, "200 up") {
				t.Fatalf("connection %d: %s", i, got)
			}
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// An addrConn is a connection from some address.
type addrConn struct {
	net.Conn
	from   net.Addr
	closed bool
}

func (c *addrConn) RemoteAddr() net.Addr { return c.from }

func (c *addrConn) Close() error {
	c.closed = true
	return nil
}

// The address with most connections gives first, whatever waits longer elsewhere.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newConns(newPipeListener(), 200, slog.New(slog.DiscardHandler))
		dial := func(from string) *addrConn {
			a, err := net.ResolveTCPAddr("tcp", from+":80")
			if err != nil {
				t.Fatal(err)
			}
			nc := &addrConn{from: a}
			if l.admit(nc) == nil {
				t.Fatalf("no place for %s", from)
			}
			time.Sleep(time.Millisecond)
			return nc
		}
		few := []*addrConn{dial("192.0.2.1"), dial("192.0.2.1"), dial("[2001:db8::1]")}
		time.Sleep(time.Second)
		var many []*addrConn
		for i := range 1000 {
			many = append(many, dial(fmt.Sprintf("[2001:db8:1:1::%x]", i))) // one network
		}
		for i, c := range few {
			if c.closed {
				t.Errorf("connection %d of those from other addresses is closed", i)
			}
		}
		for i, c := range many {
			if want := i < 1000-197; c.closed != want {
				t.Errorf("connection %d of one address: closed %v, want %v", i, c.closed, want)
			}
		}
		if len(l.all) != 200 || l.spare != 0 || l.from[wire.HostOf(many[0].from)] != 197 {
			t.Errorf("%d connections, %d spare, %v", len(l.all), l.spare, l.from)
		}
	})
}

// A flood from one address does not reach a client at another one.
func TestFairnessOfSockets(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	from := func(ip string) net.Conn {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial("tcp", inner.Addr().String())
		if err != nil {
			inner.Close()
			t.Skipf("cannot dial from %s: %v", ip, err)
		}
		return c
	}
	honest := from("127.0.0.2")
	defer honest.Close()
	g := newGateway(newFake())
	l := newConns(inner, 40, g.log)
	s := newServer(t.Context(), g, l)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	ask := func() {
		t.Helper()
		io.WriteString(honest, "GET /v1/value/7 HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if got, _ := answerOf(t, honest); !strings.HasPrefix(got, "200 ") {
			t.Fatalf("honest client: %s", got)
		}
	}
	ask() // a connection that has yet to ask has less time
	for range 3 {
		for range 60 {
			c := from("127.0.0.1")
			defer c.Close()
			io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if got, _ := answerOf(t, c); !strings.HasPrefix(got, "200 ") {
				t.Fatalf("flood: %s", got)
			}
		}
		ask()
	}
	s.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if len(l.all) != 0 || len(l.from) != 0 {
		t.Errorf("%d connections from %d addresses are left", len(l.all), len(l.from))
	}
}

// A failing listener is one that has an error before each connection.
type failingListener struct {
	*pipeListener
	errs chan error
}

func (l failingListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	default:
		return l.pipeListener.Accept()
	}
}

// The gateway outlives a lack of descriptors, makes room, and says so once.
func TestAcceptErrors(t *testing.T) {
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := New(Config{Cluster: newFake(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, stop := context.WithCancel(t.Context())
		l := failingListener{newPipeListener(), make(chan error, 10)}
		served := make(chan error, 1)
		go func() { served <- g.Serve(ctx, l) }()
		idle := l.dial()
		time.Sleep(time.Second)
		const request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
		for i, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPROTO, syscall.EMFILE} {
			for range 5 {
				l.errs <- err
			}
			wantAnswer(t, l.pipeListener, request, "200 ") // the Accept before the errors
			began := time.Now()
			c := l.dial()
			if took := time.Since(began); took > time.Second {
				t.Errorf("%v: the next connection comes after %v", err, took)
			}
			io.WriteString(c, request)
			if got, _ := answerOf(t, c); !strings.HasPrefix(got, "200 ") {
				t.Errorf("%v: %s", err, got)
			}
			c.Close()
			if i == 0 {
				if got, took := answerOf(t, idle); got != "closed" || took != 0 {
					t.Errorf("an idle connection keeps its descriptor: %s after %v", got, took)
				}
			}
			if i == 4 {
				time.Sleep(2 * recovery)
			}
		}
		synctest.Wait() // until it is written
		if got := strings.Count(log.String(), "level=WARN"); got != 2 || !strings.Contains(log.String(), "ulimit -n") || !strings.Contains(log.String(), "too many open files") {
			t.Errorf("%d warnings:\n%s", got, &log)
		}
		for range 10 {
			l.errs <- syscall.EMFILE
		}
		l.dial().Close()
		synctest.Wait()
		stop() // while it pauses
		began := time.Now()
		if err := <-served; err != nil || time.Since(began) >= minPause {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestPlacesFor(t *testing.T) {
	t.Parallel()
	for files, want := range map[int]int{0: minPlaces, 64: minPlaces, 256: 112, 1024: 496, 2048: maxPlaces, 1 << 20: maxPlaces} {
		if got := placesFor(files); got != want {
			t.Errorf("%d files: %d places, want %d", files, got, want)
		}
	}
	if n := maxFiles(); n <= 0 || n > 2*maxConns {
		t.Errorf("%d files", n)
	}
}

// Clients who do not read share the value, hold little more, and are ended.
func TestUnreadAnswers(t *testing.T) {
	f := newFake()
	f.reply = worker.Reply{Value: worker.BytesValue(strings.Repeat("x", 1<<20)), Node: "2@127.0.0.1"}
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		g, l, served := newGateway(f), newPipeListener(), make(chan error, 1)
		go func() { served <- g.Serve(ctx, l) }()
		before := heap()
		conns := make([]net.Conn, 200)
		for i := range conns {
			conns[i] = l.dial()
			io.WriteString(conns[i], "GET /v1/value/7 HTTP/1.1\r\nHost: localhost\r\n\r\n")
			synctest.Wait()
		}
		if held := heap() - before; held > len(conns)*(128<<10) {
			t.Errorf("%d clients hold %d MiB", len(conns), held>>20)
		}
		if g.answers.TryAcquire(maxAnswers - 100<<20) {
			t.Error("answers have no place")
		}
		time.Sleep(writeTimeout)
		synctest.Wait()
		if !g.answers.TryAcquire(maxAnswers) {
			t.Error("answers are held still")
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		closeAll(conns)
	})
}

// Large answers that clients leave unread are bounded in bytes.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.reply = worker.Reply{Value: worker.BytesValue(strings.Repeat("x", 1<<20)), Node: "2@127.0.0.1"}
	g := newGateway(f)
	for _, target := range []string{"/v1/value/7", "/v1/request/7"} {
		g.answers = semaphore.NewWeighted(1 << 19)
		p := wantProblem(t, get(t, g, target), 503, "overloaded")
		if p.Outcome != "ran" {
			t.Errorf("%+v", p)
		}
		g.answers = semaphore.NewWeighted(2 << 20)
		for range 3 {
			if res := get(t, g, target); res.status != 200 || len(res.body) < 1<<20 {
				t.Errorf("status %d, %d bytes", res.status, len(res.body))
			}
		}
	}
}
