package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// A Session is one authenticated connection to a peer. All its methods may be called from
// any number of goroutines.
type Session struct {
	mux     *mux
	own     Hello
	peer    Hello
	version uint16
	dialed  bool
	handler Handler
	calls   *calls
	answers *answers

	drained chan struct{} // closed when all answers have been read
	done    chan struct{} // closed when the session has ended and every call has failed
	closing sync.Once
	err     *Error // why; set before done is closed
	wg      sync.WaitGroup
	ops     chan struct{} // has an element for each running operation of the peer
	doing   chan struct{} // has an element for each running operation of this side
	begun   atomic.Uint64 // operations of both sides so far
}

// The first byte of a stream says what the stream carries.
const (
	streamCalls     = 1 // batches of calls, and their answers the other way
	streamOperation = 2 // one operation
	streamLarge     = 3 // like streamCalls, for large values; since version 2
)

// Sizes of the buffers for small frames that arrive together. Large frames bypass them.
const (
	smallBuffer = 32 << 10
	largeBuffer = 4 << 10
)

// newSession starts a session on an authenticated connection, which it closes at the end.
func newSession(conn *tls.Conn, own, peer Hello, version uint16, dialed bool, h Handler) (*Session, error) {
	mux, signs, err := multiplex(conn, dialed)
	if err != nil {
		return nil, err
	}
	s := &Session{
		mux: mux, own: own, peer: peer, version: version, dialed: dialed, handler: h,
		calls:   newCalls(peer.Name),
		drained: make(chan struct{}),
		done:    make(chan struct{}),
		ops:     make(chan struct{}, maxOperations),
		doing:   make(chan struct{}, maxOperations),
	}
	s.answers = newAnswers(s, h)
	if version < 2 {
		s.calls.large = s.calls.small
	}
	s.wg.Go(func() {
		s.call()
		close(s.drained)
	})
	s.wg.Go(func() { s.end(s.accept()) })
	s.wg.Go(func() {
		if err := signs.watch(mux.Session, s.busy); err != nil {
			s.end(err)
		}
	})
	return s, nil
}

// Own returns this side's hello.
func (s *Session) Own() Hello { return s.own }

// Peer returns the peer's hello.
func (s *Session) Peer() Hello { return s.peer }

// RemoteAddr returns the network address of the peer.
func (s *Session) RemoteAddr() net.Addr { return s.mux.RemoteAddr() }

// Dialed reports whether this side dialed.
func (s *Session) Dialed() bool { return s.dialed }

// Done returns a channel that is closed when the session has ended. Err then returns the
// reason.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns nil while the session lives, and then the reason for its end: Closed if
// this side closed it.
func (s *Session) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Used returns how many calls and operations both sides have made, and whether any is in
// progress.
func (s *Session) Used() (n uint64, busy bool) {
	made, open := s.calls.made()
	served, serving := s.answers.served()
	n = made + served + s.begun.Load()
	return n, open+serving > 0 || len(s.doing)+len(s.ops) > 0
}

func (s *Session) busy() bool {
	_, busy := s.Used()
	return busy
}

// Flush waits until all answers so far have been written, or the session has ended. A
// peer that does not read ends it within 3 s.
func (s *Session) Flush() {
	s.answers.small.flush()
	s.answers.large.flush()
}

// Close ends the session and waits for its goroutines. Calls in flight fail with Closed.
// It does not wait for the peer. A Handler must not call it; it calls Shut instead.
func (s *Session) Close() error {
	s.Shut()
	s.wg.Wait()
	return nil
}

// Shut ends the session like Close, but does not wait.
func (s *Session) Shut() { s.end(&Error{Code: Closed}) }

// end ends the session. Only the first call has an effect.
func (s *Session) end(why error) {
	s.closing.Do(func() {
		e, ok := errors.AsType[*Error](why)
		if !ok {
			e = &Error{Code: Unreachable}
			if why != nil && !errors.Is(why, io.EOF) {
				e.Text = why.Error()
			}
			switch {
			case errors.Is(why, yamux.ErrKeepAliveTimeout):
				e.Text = "no sign of life"
			case errors.Is(why, yamux.ErrSessionShutdown), errors.Is(why, io.EOF):
				e.Text = "connection lost"
			}
		}
		s.err = e
		s.wg.Go(func() {
			s.mux.Close()
			<-s.drained // answers that have arrived still reach their callers
			s.calls.fail(e)
			close(s.done)
			s.answers.end()
		})
	})
}

// Call makes a call and stores the answer in reply. It fails when ctx ends or the timeout
// passes, with a precision of 40 ms. It then cancels the call at the peer, and waits for
// the outcome for about 250 ms at most. The error is an [*Error]. After an error, only
// reply.Took is set.
func (s *Session) Call(ctx context.Context, r *Request, timeout time.Duration, reply *Reply) error {
	return s.calls.do(ctx, r, timeout, reply)
}

// Ping returns nil if the peer gives a sign of life. By then the peer has received all that
// was written before. It fails after 2 s, or when ctx ends. The error is an [*Error]. The
// answer comes from the multiplexer, not from the peer's Handler, so its time says little of
// that of a call.
func (s *Session) Ping(ctx context.Context) error {
	pong := make(chan error, 1)
	go func() { // for 2 s at most
		_, err := s.mux.Ping()
		pong <- err
	}()
	select {
	case err := <-pong:
		if err != nil {
			return &Error{Code: Unreachable, Outcome: NotRun, Node: s.peer.Name, Text: "no sign of life"}
		}
		return nil
	case <-ctx.Done():
		return &Error{Code: asError(ctx.Err()).Code, Outcome: NotRun, Node: s.peer.Name}
	}
}

// call opens the streams for this side's calls and reads the answers until the session
// ends.
func (s *Session) call() {
	var wg sync.WaitGroup
	if s.calls.large != s.calls.small {
		wg.Go(func() { s.end(s.callOn(streamLarge, s.calls.large, largeBuffer)) })
	}
	s.end(s.callOn(streamCalls, s.calls.small, smallBuffer))
	wg.Wait()
}

func (s *Session) callOn(kind byte, lane *callLane, buffer int) error {
	stream, err := s.mux.OpenStream()
	if err != nil {
		return err
	}
	defer stream.Close()
	if _, err := stream.Write([]byte{kind}); err != nil {
		return err
	}
	lane.out.write = s.writer(stream)
	s.wg.Go(func() { s.end(lane.out.run(s.done)) })
	return s.calls.receive(newFrameReader(stream, buffer).read)
}

// writer returns a function that writes frames. It ends the session if the peer does not
// read.
func (s *Session) writer(stream *stream) func(any) error {
	return newFrameWriter(patient{stream, s.end}).write
}

// patient is a writer that fails if the peer reads nothing for giveUp. A slow link is not
// an error.
type patient struct {
	*stream
	end func(error) // ends the session
}

func (p patient) Write(b []byte) (n int, err error) {
	defer writing.begin(len(b), p.end)()
	for chunk := range slices.Chunk(b, chunkSize) {
		if err := p.SetWriteDeadline(time.Now().Add(giveUp)); err != nil {
			return n, err
		}
		m, err := p.stream.Write(chunk)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// accept serves the streams that the peer opens.
func (s *Session) accept() error {
	var calls, large atomic.Bool // a peer has one stream of each
	called := make(chan struct{})
	late := time.AfterFunc(2*giveUp, func() { // large answers wait for this stream
		if s.version >= 2 && !large.Load() {
			s.end(fmt.Errorf("the peer has not opened a stream for large values within %s", 2*giveUp))
		}
	})
	defer late.Stop()
	for {
		stream, err := s.mux.AcceptStream()
		if err != nil {
			return err
		}
		if s.mux.NumStreams() > maxStreams {
			return fmt.Errorf("the peer has more than %d streams open", maxStreams)
		}
		s.wg.Go(func() {
			defer stream.Close()
			kind := make([]byte, 1)
			stream.SetReadDeadline(time.Now().Add(giveUp))
			if _, err := io.ReadFull(stream, kind); err != nil {
				return
			}
			stream.SetReadDeadline(time.Time{})
			switch kind[0] {
			case streamCalls:
				if calls.CompareAndSwap(false, true) {
					s.answers.use(s.answers.small, stream)
					close(called)
					s.end(s.answer(stream, s.answers.small, smallBuffer))
				}
			case streamLarge:
				if s.version >= 2 && large.CompareAndSwap(false, true) {
					select {
					case <-called: // as errors and small answers need that one
					case <-s.done:
						return
					}
					s.answers.use(s.answers.large, stream)
					s.end(s.answer(stream, s.answers.large, largeBuffer))
				}
			case streamOperation:
				s.operate(stream)
			}
		})
	}
}

// answer serves one of the peer's streams of calls.
func (s *Session) answer(stream *stream, out *outbox[*replyBatch], buffer int) error {
	s.wg.Go(func() { s.end(out.run(s.done)) })
	last := &s.answers.last
	if out != s.answers.small {
		last = &s.answers.lastLarge
	}
	return s.answers.receive(newFrameReader(stream, buffer).read, last)
}
