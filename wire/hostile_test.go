package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

// TestHostilePeer has an authenticated peer send what no peer sends. The session ends
// with an error; the process goes on.
func TestHostilePeer(t *testing.T) {
	t.Parallel()
	frame := func(v any) string {
		var b strings.Builder
		if err := sendGob(&b, v); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	tests := map[string]string{
		"garbage":                 "\x01GET / HTTP/1.1\r\n\r\n",
		"oversized message":       "\x01\xff\xff\xff\xff",
		"empty message":           "\x01\x00\x00\x00\x00",
		"frame of no gob":         "\x01\x00\x00\x00\x04abcd",
		"another type":            "\x01" + frame("a string"),
		"columns do not fit":      "\x01" + frame(callBatch{Seq: []uint64{1}, Num: []int64{1, 2}}),
		"messages too short":      "\x01" + frame(callBatch{Seq: []uint64{1}, Len: []uint32{5}, Data: []byte("1234")}),
		"messages too long":       "\x01" + frame(callBatch{Seq: []uint64{1}, Len: []uint32{3}, Data: []byte("1234")}),
		"bytes without a message": "\x01" + frame(callBatch{Seq: []uint64{1}, Len: []uint32{4}, Data: []byte("1234")}),
		"long trace":              "\x01" + frame(callBatch{Seq: []uint64{1}, Trace: []string{strings.Repeat("x", maxTrace+1)}}),
		"long kind":               "\x01" + frame(callBatch{Seq: []uint64{1}, Kind: []string{strings.Repeat("x", maxKind+1)}}),
		"long type":               "\x01" + frame(callBatch{Seq: []uint64{1}, Type: []string{strings.Repeat("x", maxType+1)}}),
		"too many cancels":        "\x01" + frame(callBatch{Cancel: make([]uint64, 3*maxBatch)}),
		"unending message":        "\x01\x00\x00\x10\x00",
	}
	for name, bytes := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux, victim := rawPeer(t)
			stream, err := mux.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(stream, bytes)
			select {
			case <-victim.Done():
				t.Log(victim.Err())
			case <-time.After(10 * time.Second):
				t.Error("the session goes on")
			}
		})
	}
}

// TestManyStreams has a peer open streams and say nothing: they hold up no operation, and
// when there are too many, the session ends.
func TestManyStreams(t *testing.T) { bubble(t, testManyStreams) }

func testManyStreams(t *testing.T) {
	near, far := net.Pipe()
	mux, victim := rawPeerOn(t, near, far, echo{})
	open := func(bytes string) *yamux.Stream {
		stream, err := mux.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(stream, bytes)
		return stream
	}
	for range maxStreams / 2 {
		open("\x02")
	}
	stream := open("\x02")
	if err := sendGob(stream, opRequest{Op: 77}); err != nil {
		t.Fatal(err)
	}
	var reply opReply
	if err := recvGob(stream, &reply, MaxMessage); err != nil || reply.Code != UnknownOperation {
		t.Errorf("an operation beside silent ones = %+v, %v", reply, err)
	}
	for range maxStreams {
		stream, err := mux.OpenStream()
		if err != nil {
			break // the session has ended
		}
		io.WriteString(stream, "\x02")
	}
	select {
	case <-victim.Done():
		t.Log(victim.Err())
	case <-time.After(10 * time.Second):
		t.Error("a session with too many streams lives")
	}
}

// TestSecondStreamOfCalls has a peer open more streams of calls than one: they are
// closed.
func TestSecondStreamOfCalls(t *testing.T) { bubble(t, testSecondStreamOfCalls) }

func testSecondStreamOfCalls(t *testing.T) {
	near, far := net.Pipe()
	mux, victim := rawPeerOn(t, near, far, echo{})
	for i := range 2 * maxStreams {
		stream, err := mux.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(stream, "\x01")
		stream.SetReadDeadline(time.Now().Add(10 * time.Second))
		if i == 0 { // an answer shows that it is the one
			if err := sendGob(stream, callBatch{Seq: []uint64{1}}); err != nil {
				t.Fatal(err)
			}
			if err := recvGob(stream, new(replyBatch), MaxMessage); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := io.ReadAll(stream); err != nil {
			t.Fatalf("stream %d is not closed: %v", i, err)
		}
		stream.Close()
	}
	if victim.Err() != nil {
		t.Error(victim.Err())
	}
}

// TestManyOperations has a peer start more operations than may be in progress: the
// surplus is refused, and did not run.
func TestManyOperations(t *testing.T) { bubble(t, testManyOperations) }

func testManyOperations(t *testing.T) {
	release := make(chan struct{})
	a, _ := piped(t, echo{}, blocker{release: release})
	var refused atomic.Int32
	var wg sync.WaitGroup
	for range maxOperations + 10 {
		wg.Go(func() {
			var reply opReply
			err := operationOn(t, a.mux.OpenStream, nil, &reply) // Do would wait
			if err == nil && reply.Code == Overloaded && reply.Outcome == NotRun {
				if refused.Add(1) == 10 {
					close(release)
				}
			} else if err != nil || reply.Code != codeOK {
				t.Errorf("%+v, %v", reply, err)
			}
		})
	}
	wg.Wait()
	if n := refused.Load(); n != 10 {
		t.Errorf("%d operations refused, want 10", n)
	}
}

// TestOperationsWait starts more operations than a peer serves at once: the surplus
// waits, or ends with its context or the session.
func TestOperationsWait(t *testing.T) { bubble(t, testOperationsWait) }

func testOperationsWait(t *testing.T) {
	release := make(chan struct{})
	a, _ := piped(t, echo{}, blocker{release: release})
	var wg sync.WaitGroup
	for range maxOperations {
		wg.Go(func() {
			if err := a.Do(t.Context(), 1, nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	for len(a.doing) < maxOperations {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := a.Do(ctx, 1, nil, nil)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != DeadlineExceeded || e.Outcome != NotRun {
		t.Errorf("one more = %v, want %v, not run", err, DeadlineExceeded)
	}
	ended := make(chan error)
	go func() { ended <- a.Do(t.Context(), 1, nil, nil) }()
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("one that waited = %v", err)
	}
	wg.Wait()
}

// blocker holds operations until release is closed.
type blocker struct {
	echo
	release chan struct{}
}

func (b blocker) ServeOperation(context.Context, *Session, Op, func(any) error) (any, error) {
	<-b.release
	return nil, nil
}

// TestAmplification has a small message ask for many large values: the answers refer to
// one.
func TestAmplification(t *testing.T) { bubble(t, testAmplification) }

func testAmplification(t *testing.T) {
	big := strings.Repeat("x", MaxValue)
	var most atomic.Int64
	a, _ := piped(t, echo{}, handler{call: func(c Call) { c.Reply(&Reply{Data: big}) }})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := a.ask(t.Context(), &Request{}, long); err != nil {
				t.Error(err)
			}
			held.mu.Lock()
			most.Store(max(most.Load(), int64(held.bytes)))
			held.mu.Unlock()
		})
	}
	wg.Wait()
	if n := most.Load(); n > MaxValue {
		t.Errorf("%d bytes were held for answers with one value", n)
	}
}

// TestNewTypes has a peer define types after its first message, which its decoder would
// keep for ever.
func TestNewTypes(t *testing.T) {
	t.Parallel()
	mux, victim := rawPeer(t)
	stream, err := mux.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(stream, "\x01")
	w := newFrameWriter(stream)
	for range 3 {
		if err := w.write(callBatch{Seq: []uint64{1}}); err != nil {
			t.Fatal(err)
		}
	}
	w.write(struct{ Seq, Other []uint64 }{Seq: []uint64{2}}) // the victim may hang up before it is all written
	<-victim.Done()
	if !strings.Contains(victim.Err().Error(), "type definitions") {
		t.Errorf("the session ended with %v", victim.Err())
	}
}

// TestPingFlood has a peer send pings and read no answer: the session ends.
func TestPingFlood(t *testing.T) {
	t.Parallel()
	mux, victim := rawPeer(t)
	var pings sync.WaitGroup
	for range 10 * maxPings {
		pings.Go(func() { mux.Ping() }) // it fails when the session ends
	}
	select {
	case <-victim.Done():
		t.Log(victim.Err())
	case <-time.After(time.Minute):
		t.Error("the session goes on")
	}
	<-mux.CloseChan()
	pings.Wait()
}

// TestPingGuard cuts frames in all ways: bodies are skipped, and pings are counted.
func TestPingGuard(t *testing.T) {
	t.Parallel()
	data := append([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5}, "\x00\x02abc"...)
	ping := []byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9}
	update := []byte{0, 1, 0, 0, 0, 0, 0, 1, 0, 4, 0, 0} // a length that is no body
	pong := []byte{0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9}
	stream := slices.Concat(data, ping, update, data, pong, data, ping)
	for size := 1; size <= len(stream); size++ {
		var g pingGuard
		for chunk := range slices.Chunk(stream, size) {
			if err := g.look(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if g.pings != 2 && g.pings != 1 || g.have != 0 || g.body != 0 { // 1 if a second has just passed
			t.Errorf("in pieces of %d: %+v", size, g)
		}
	}
}
