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

	"github.com/distproc/distproc/wire/text"
)

// An Op is the number of an operation. The handler gives the numbers their meanings. New
// ones are appended; a number is never reused.
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
	largeOperation = 64 << 10 // bytes; larger requests and results take a share of operationBytes
)

// operationBytes limits the bytes of large requests and results. Sessions share it
// because they share the memory of the process.
var operationBytes = semaphore.NewWeighted(64 << 20)

// reserve takes a share of operationBytes for a message of n bytes. It waits for at most
// giveUp.
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

// Do has the peer perform one operation, on a stream of its own. At most 64 operations of
// a session run at a time; others wait. When ctx ends, the context of the peer's handler
// ends, too, and Do waits for the handler's answer for at most about 250 ms. Args is
// encoded by gob. The result is decoded into result, a pointer or a [Result], or ignored
// if result is nil. The error is an [*Error].
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
		stream.Stream.Close() // closes this side's half, which cancels the operation
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

// A Result decodes itself, so that it can check the beginning of a result before it
// decodes all of it.
type Result interface {
	// Take is called once. Each call of decode decodes the whole result into a pointer.
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
		return // there is no request
	}
	reply := refusal(Errorf(Overloaded, NotRun, "more than %d operations at once", maxOperations))
	select {
	case s.ops <- struct{}{}: // before more is read
		s.begun.Add(1)
		defer func() { <-s.ops }()
		reply = s.operation(stream, n)
	default:
		_, _ = io.CopyN(io.Discard, stream, int64(n)) // so that the peer can read the refusal
	}
	release, err := reserve(context.Background(), len(reply.Result))
	if err != nil {
		reply = refusal(Errorf(Overloaded, Ran, "too many large results at once"))
	} else {
		defer release()
	}
	stream.SetWriteDeadline(time.Now().Add(giveUp))
	_ = sendGob(stream, reply) // if this fails, the peer sees the end of the stream
}

// operation reads a request of n bytes, whose length has been read, and has the handler
// serve it.
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

// watch returns a context that ends when the peer has closed the stream of an operation
// and so no longer waits, or when stop is called. If the peer sends more data, the
// session ends, because the data would stay in memory until the operation ends.
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

// refusal is the reply to an operation that failed.
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
