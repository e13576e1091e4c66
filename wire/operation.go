package wire

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/distproc/distproc/internal/text"
)

// An Op numbers an operation. Numbers are only ever appended; what they mean is the handler's.
type Op uint16

type opRequest struct {
	Op   Op
	Args []byte // gob
}

type opReply struct {
	Code    Code
	Outcome Outcome
	Text    string
	Result  []byte // gob
}

const (
	maxOperations  = 64       // in progress for one peer
	maxClientArgs  = 16 << 10 // bytes that a client may send for one operation; a member may send MaxMessage
	largeOperation = 64 << 10 // bytes from which a request or a result takes a share of operationBytes
)

// operationBytes limits the bytes of large requests and results, of all sessions of the process, as
// its memory is one.
var operationBytes = semaphore.NewWeighted(64 << 20)

// reserve takes a share of operationBytes for a message of n bytes. It waits for at most giveUp.
func reserve(ctx context.Context, n int) (release func(), err error) {
	if n < largeOperation {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	if operationBytes.Acquire(ctx, int64(n)) != nil {
		return nil, Errorf(Overloaded, NotRun, "too many large operations at once")
	}
	return func() { operationBytes.Release(int64(n)) }, nil
}

// Do asks the peer for one operation, on a stream of its own. The 65th at a time waits for one of the
// others. When ctx ends, so does the context of the peer's handler, and Do waits about 250 ms at most for
// what that answers. Args is encoded; the result is decoded into result, a pointer or a [Result]. A nil
// result is not looked at. The error is an *Error.
func (s *Session) Do(ctx context.Context, op Op, args, result any) error {
	body, err := encode(args)
	if err != nil {
		return asError(err)
	}
	if err := ctx.Err(); err != nil {
		return &Error{Code: asError(err).Code, Outcome: NotRun, Node: s.peer.Name}
	}
	s.begun.Add(1)
	select {
	case s.doing <- struct{}{}: // the peer refuses more at once
		defer func() { <-s.doing }()
	case <-s.done:
		return &Error{Code: s.err.Code, Outcome: NotRun, Node: s.peer.Name, Text: s.err.Text}
	case <-ctx.Done():
		return &Error{Code: asError(ctx.Err()).Code, Outcome: NotRun, Node: s.peer.Name}
	}
	stream, err := s.mux.OpenStream()
	if err != nil {
		return &Error{Code: Unreachable, Outcome: NotRun, Node: s.peer.Name, Text: err.Error()}
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, func() {
		stream.SetReadDeadline(time.Now().Add(verdictTime))
		stream.SetWriteDeadline(time.Unix(1, 0))
		stream.Stream.Close() // this side's half: the peer sees it and answers
	})
	defer stop()
	var reply opReply
	if err := exchange(stream, opRequest{op, body}, &reply); err != nil {
		e := &Error{Code: Unreachable, Node: s.peer.Name, Text: err.Error()}
		if ctx.Err() != nil {
			e.Code, e.Text = asError(ctx.Err()).Code, ""
		}
		return e
	}
	if reply.Code != codeOK {
		e := &Error{Code: reply.Code, Outcome: reply.Outcome, Node: s.peer.Name, Text: text.Line(reply.Text, maxText)}
		if ctx.Err() != nil && e.Outcome != Ran {
			e.Code = asError(ctx.Err()).Code
		}
		return e
	}
	if err := takeResult(result, decoderOf(reply.Result)); err != nil {
		return &Error{Code: Internal, Outcome: Ran, Node: s.peer.Name, Text: err.Error()}
	}
	return nil
}

// A Result of an operation decodes itself, to look at what came before it makes all of it.
type Result interface {
	// Take is called once. Each call of decode decodes the result anew, into a pointer.
	Take(decode func(any) error) error
}

func takeResult(result any, decode func(any) error) error {
	if result == nil {
		return nil
	}
	if r, ok := result.(Result); ok {
		return r.Take(decode)
	}
	return decode(result)
}

// decoderOf returns a function that decodes body anew each time.
func decoderOf(body []byte) func(any) error {
	return func(v any) error {
		buf := bytes.NewBuffer(body)
		return decode(gob.NewDecoder(buf), buf, v)
	}
}

func exchange(stream net.Conn, request opRequest, reply *opReply) error {
	if _, err := stream.Write([]byte{streamOperation}); err != nil {
		return err
	}
	if err := sendGob(stream, request); err != nil {
		return err
	}
	return recvGob(stream, reply, MaxMessage)
}

// operate serves one operation of the peer.
func (s *Session) operate(stream *stream) {
	stream.SetReadDeadline(time.Now().Add(giveUp))
	n, err := recvLength(stream)
	if err != nil {
		return // it has asked for nothing
	}
	reply := refusal(Errorf(Overloaded, NotRun, "more than %d operations at once", maxOperations))
	select {
	case s.ops <- struct{}{}: // before more is read
		s.begun.Add(1)
		defer func() { <-s.ops }()
		reply = s.operation(stream, n)
	default:
		_, _ = io.CopyN(io.Discard, stream, int64(n)) // or the peer could not read the refusal
	}
	release, err := reserve(context.Background(), len(reply.Result))
	if err != nil {
		reply = refusal(Errorf(Overloaded, Ran, "too many large results at once"))
	} else {
		defer release()
	}
	stream.SetWriteDeadline(time.Now().Add(giveUp))
	_ = sendGob(stream, reply) // a peer that does not read it sees the stream end
}

// operation reads a request of n bytes, of which the length has come, and has the handler serve it.
func (s *Session) operation(stream *stream, n int) opReply {
	limit := MaxMessage
	if s.peer.Role == RoleClient {
		limit = maxClientArgs
	}
	if n > limit {
		_, _ = io.CopyN(io.Discard, stream, int64(n))
		return refusal(Errorf(BadRequest, NotRun, "operation of %d bytes, limit %d", n, limit))
	}
	release, err := reserve(context.Background(), n)
	if err != nil {
		return refusal(err)
	}
	defer release()
	stream.SetReadDeadline(time.Now().Add(giveUp))
	var request opRequest
	if err := recvBody(stream, n, &request); err != nil {
		return refusal(Errorf(BadRequest, NotRun, "%v", err))
	}
	ctx, stop := s.watch(stream)
	defer stop()
	return s.serve(ctx, request)
}

// watch returns a context that ends when the peer has closed the stream of an operation, so nobody
// waits for it any more, or when stop is called. A peer that goes on sending loses the session, as
// what it sends would stay in memory until the operation ends.
func (s *Session) watch(stream *stream) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	stream.SetReadDeadline(time.Time{})
	ended := make(chan struct{})
	s.wg.Go(func() {
		defer close(ended)
		defer cancel()
		if n, _ := stream.Read(make([]byte, 1)); n > 0 {
			s.end(errors.New("the peer sends more than it has announced"))
		}
	})
	return ctx, func() {
		stream.SetReadDeadline(time.Unix(1, 0))
		<-ended
	}
}

func (s *Session) serve(ctx context.Context, request opRequest) opReply {
	decodeArgs := decoderOf(request.Args)
	result, err := s.handler.ServeOperation(ctx, s, request.Op, func(args any) error {
		if err := decodeArgs(args); err != nil {
			return &Error{Code: BadRequest, Outcome: NotRun, Text: err.Error()}
		}
		return nil
	})
	if err != nil {
		return refusal(err)
	}
	body, err := encode(result)
	if err == nil && len(body) > MaxMessage-1024 {
		err = Errorf(Internal, Ran, "the result has %d bytes, limit %d", len(body), MaxMessage-1024)
	}
	if err != nil {
		return refusal(err)
	}
	return opReply{Result: body}
}

// refusal is the reply to an operation that has failed.
func refusal(err error) opReply {
	e := asError(err)
	return opReply{Code: e.Code, Outcome: e.Outcome, Text: e.Text}
}

func encode(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	var buf bytes.Buffer
	err := gob.NewEncoder(&buf).Encode(v)
	return buf.Bytes(), err
}
