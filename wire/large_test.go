package wire

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sized answers a call with as many bytes as its number says. It tells of each answer of
// more than 1,000.
type sized struct {
	echo
	given chan struct{}
}

func (h sized) ServeCall(c Call) {
	c.Reply(&Reply{Data: strings.Repeat("x", int(c.Request.Num)+len(c.Request.Data))})
	if c.Request.Num > 1000 {
		h.given <- struct{}{}
	}
}

// TestLargeApart has a value of 1 MiB come over a slow connection: small calls that are
// made meanwhile come back before it.
func TestLargeApart(t *testing.T) {
	for _, version := range []uint16{1, maxVersion} {
		bubble(t, func(t *testing.T) {
			h := sized{given: make(chan struct{}, 1)}
			a := slowPair(t, version, h, 8<<10)
			var wg sync.WaitGroup
			wg.Go(func() {
				if r, err := a.ask(t.Context(), &Request{Num: MaxValue}, long); err != nil || len(r.Data) != MaxValue {
					t.Errorf("version %d: the large one: %d bytes, %v", version, len(r.Data), err)
				}
			})
			<-h.given
			before := 0 // small answers
			for {
				if r, err := a.ask(t.Context(), &Request{Num: 3}, long); err != nil || r.Data != "xxx" {
					t.Fatalf("version %d: a small one: %q, %v", version, r.Data, err)
				}
				if inFlight(a.calls) == 0 { // the large one has come
					break
				}
				before++
			}
			wg.Wait()
			t.Logf("version %d: %d small answers before the large one", version, before)
			if version == 1 && before > 0 || version > 1 && before < 10 {
				t.Errorf("version %d: %d small answers came before the large one", version, before)
			}
		})
	}
}

// later answers a call with a text only when it may, and all others with 1 MiB.
type later struct {
	echo
	got chan<- struct{}
	may <-chan struct{}
}

func (h later) ServeCall(c Call) {
	if !c.Request.IsText {
		c.Reply(&Reply{Data: strings.Repeat("x", MaxValue)})
		return
	}
	close(h.got)
	go func() {
		<-h.may
		h.echo.ServeCall(c)
	}()
}

// TestLateAnswer has a small answer given while the reader waits for room for large ones:
// it goes before them.
func TestLateAnswer(t *testing.T) { bubble(t, testLateAnswer) }

func testLateAnswer(t *testing.T) {
	const large = 20
	got, may := make(chan struct{}), make(chan struct{})
	a := slowPair(t, maxVersion, later{got: got, may: may}, 64<<10)
	var wg sync.WaitGroup
	var came atomic.Int64
	answered := make(chan int64, 1)
	wg.Go(func() {
		if r, err := a.ask(t.Context(), &Request{Text: "small", IsText: true}, long); err != nil || r.Data != "small" {
			t.Errorf("%q, %v", r.Data, err)
		}
		answered <- came.Load()
	})
	<-got
	for range large {
		wg.Go(func() {
			if _, err := a.ask(t.Context(), &Request{}, long); err != nil {
				t.Error(err)
			}
			if came.Add(1) == 1 {
				close(may)
			}
		})
	}
	wg.Wait()
	if n := <-answered; n > large/4 {
		t.Errorf("a small answer came after %d large ones", n)
	} else {
		t.Logf("a small answer came after %d large ones", n)
	}
}

// TestLargeMessages sends large messages and small ones together, with both versions.
func TestLargeMessages(t *testing.T) { bubble(t, testLargeMessages) }

func testLargeMessages(t *testing.T) {
	for _, version := range []uint16{1, maxVersion} {
		near, far := net.Pipe()
		a, _ := connect(t, near, far, version, echo{}, sized{})
		var wg sync.WaitGroup
		for i := range 20 {
			message := strings.Repeat("m", i%4*largeValue)
			wg.Go(func() {
				r, err := a.ask(t.Context(), &Request{Num: int64(i), IsCall: true, Data: message}, long)
				if err != nil || len(r.Data) != i+len(message) {
					t.Errorf("version %d: call %d: %d bytes, %v", version, i, len(r.Data), err)
				}
			})
		}
		wg.Wait()
	}
}

// TestLargeStreamAlone has a peer open only the stream for large values: its calls wait,
// and the session ends all the same.
func TestLargeStreamAlone(t *testing.T) { bubble(t, testLargeStreamAlone) }

func testLargeStreamAlone(t *testing.T) {
	near, far := net.Pipe()
	mux, victim := rawPeerOn(t, near, far, echo{})
	stream, err := mux.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	stream.Write([]byte{streamLarge})
	if err := sendGob(stream, callBatch{Seq: []uint64{1}}); err != nil {
		t.Fatal(err)
	}
	calls, err := mux.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	stream.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := stream.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("an answer came")
	}
	calls.Write([]byte{streamCalls}) // on which the answer comes, as it is small
	calls.SetReadDeadline(time.Now().Add(10 * time.Second))
	if err := recvGob(calls, new(replyBatch), MaxMessage); err != nil {
		t.Error(err)
	}
	victim.Close()
}

// TestNoLargeStream has a peer ask for large values and not open the stream for them: the
// session ends, and nothing waits for more.
func TestNoLargeStream(t *testing.T) { bubble(t, testNoLargeStream) }

func testNoLargeStream(t *testing.T) {
	near, far := net.Pipe()
	mux, victim := rawPeerOn(t, near, far, echo{})
	calls, err := mux.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	calls.Write([]byte{streamCalls})
	if err := sendGob(calls, callBatch{Seq: []uint64{1}, Flags: []uint8{callText}, Text: []string{strings.Repeat("x", largeValue+1)}}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if total, open := victim.answers.served(); total != 1 || open != 0 {
		t.Fatalf("%d calls arrived, %d of them have no answer", total, open)
	}
	victim.Flush()
	if err := victim.Err(); err == nil || !strings.Contains(err.Error(), "large values") {
		t.Errorf("the session: %v", err)
	}
	victim.Close()
}

// slowPair returns one end of a session over a connection that carries so many bytes to
// it every 4 ms, and holds none on the way.
func slowPair(t *testing.T, version uint16, acceptor Handler, bytes int) *Session {
	t.Helper()
	near, far := net.Pipe()
	a, _ := connect(t, near, slowConn{far, bytes}, version, echo{}, acceptor)
	return a
}

type slowConn struct {
	net.Conn
	bytes int // every 4 ms
}

func (c slowConn) Write(b []byte) (int, error) {
	time.Sleep(4 * time.Millisecond * time.Duration(len(b)) / time.Duration(c.bytes))
	return c.Conn.Write(b)
}
