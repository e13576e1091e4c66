package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// An operator serves operations by a function.
type operator struct {
	echo
	serve func(ctx context.Context, args func(any) error) (any, error)
}

func (o operator) ServeOperation(ctx context.Context, _ *Session, _ Op, args func(any) error) (any, error) {
	return o.serve(ctx, args)
}

// TestOperationContext has a caller give up: the context of the peer's handler ends.
func TestOperationContext(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan error, 1)
	a, _ := pair(t, echo{}, operator{serve: func(ctx context.Context, _ func(any) error) (any, error) {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Do(ctx, 1, nil, nil) }()
	<-began
	cancel()
	if err := <-done; !errors.Is(err, Canceled) {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestOperationContextOfSession has the session end instead.
func TestOperationContextOfSession(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	a, _ := pair(t, echo{}, operator{serve: func(ctx context.Context, _ func(any) error) (any, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil, nil
	}})
	done := make(chan error)
	go func() { done <- a.Do(t.Context(), 1, nil, nil) }()
	<-began
	a.Close()
	if err := <-done; err == nil {
		t.Error("the operation succeeded")
	}
	<-ended
}

// TestSlowOperation has an operation take longer than its request may take to come: its
// context goes on.
func TestSlowOperation(t *testing.T) { bubble(t, testSlowOperation) }

func testSlowOperation(t *testing.T) {
	a, _ := piped(t, echo{}, operator{serve: func(ctx context.Context, _ func(any) error) (any, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(giveUp + giveUp/4):
			return nil, nil
		}
	}})
	if err := a.Do(t.Context(), 1, nil, nil); err != nil {
		t.Error(err)
	}
}

// TestUnfinishedOperations has a peer begin many large operations and not finish them:
// none of them is served or kept beyond its time, and an honest one is served before
// that.
func TestUnfinishedOperations(t *testing.T) { bubble(t, testUnfinishedOperations) }

func testUnfinishedOperations(t *testing.T) {
	near, far := net.Pipe()
	mux, victim := rawPeerOn(t, near, far, operator{serve: func(_ context.Context, args func(any) error) (any, error) {
		var s string
		return s, args(&s)
	}})
	part := append(binary.BigEndian.AppendUint32([]byte{streamOperation}, MaxMessage), bytes.Repeat([]byte{'x'}, 200<<10)...)
	before := heap()
	for range maxOperations / 2 {
		stream, err := mux.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		go func() { stream.Write(part) }()
	}
	var reply opReply
	if err := operationOn(t, mux.OpenStream, encoded(t, "hello"), &reply); err != nil || reply.Code != codeOK {
		t.Errorf("an honest operation: %+v, %v", reply, err)
	}
	time.Sleep(2 * giveUp) // for the length of a request, and for the rest of it
	if n := len(victim.ops); n > 0 {
		t.Errorf("%d operations still wait to be finished", n)
	}
	if grown := heap() - before; grown > 40<<20 {
		t.Errorf("%d MB are held", grown>>20)
	}
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	b, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestClientArgs has a client send more than clients may: it is refused before that is
// kept, while a member may send as much as fits a message.
func TestClientArgs(t *testing.T) {
	t.Parallel()
	echoed := operator{serve: func(_ context.Context, args func(any) error) (any, error) {
		var s string
		err := args(&s)
		return len(s), err
	}}
	for _, role := range []Role{RoleClient, RoleMember} {
		a, b := pair(t, echo{}, echoed)
		b.peer.Role = role
		var n int
		err := a.Do(t.Context(), 1, strings.Repeat("x", 2*maxClientArgs), &n)
		if role == RoleMember && (err != nil || n != 2*maxClientArgs) {
			t.Errorf("a member: %d, %v", n, err)
		}
		if e, ok := errors.AsType[*Error](err); role == RoleClient && (!ok || e.Code != BadRequest || e.Outcome != NotRun) {
			t.Errorf("a client: %v", err)
		}
		if err := a.Do(t.Context(), 1, "x", &n); err != nil || n != 1 {
			t.Errorf("afterwards: %d, %v", n, err)
		}
	}
}

// TestOperationGoesOn has a peer send more after a request, which would stay in memory
// for as long as the operation takes: the session ends.
func TestOperationGoesOn(t *testing.T) {
	t.Parallel()
	mux, victim := rawPeerOf(t, operator{serve: func(ctx context.Context, _ func(any) error) (any, error) {
		<-ctx.Done()
		return nil, nil
	}})
	stream, err := mux.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	stream.Write([]byte{streamOperation})
	if err := sendGob(stream, opRequest{Op: 1}); err != nil {
		t.Fatal(err)
	}
	stream.Write([]byte("more"))
	select {
	case <-victim.Done():
	case <-time.After(10 * time.Second):
		t.Error("the session lives")
	}
}

// TestLargeOperations has many large operations come at once: they share a bound, and
// those for which there is no room in time are refused. No parallel test may have large
// operations.
func TestLargeOperations(t *testing.T) { bubble(t, testLargeOperations) }

func testLargeOperations(t *testing.T) {
	if !operationBytes.TryAcquire(64 << 20) {
		t.Fatal("something is held")
	}
	a, _ := piped(t, echo{}, echo{})
	large := strings.Repeat("x", largeOperation)
	err := a.Do(t.Context(), 1, large, nil)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != Overloaded || e.Outcome != NotRun {
		t.Errorf("without room: %v", err)
	}
	if err := a.Do(t.Context(), 1, "small", nil); err != nil {
		t.Errorf("a small one: %v", err)
	}
	operationBytes.Release(64 << 20)
	if err := a.Do(t.Context(), 1, large, nil); err != nil {
		t.Errorf("with room: %v", err)
	}
}

// TestManyTypes has a message define many types, which take more memory than it does: it
// is refused.
func TestManyTypes(t *testing.T) {
	t.Parallel()
	one := encoded(t, opReply{Text: "x"})
	if n := countTypes(one); n < 1 || n > 3 {
		t.Errorf("%d types in a message with one or two", n)
	}
	if n := countTypes(encoded(t, 7)); n != 0 {
		t.Errorf("%d types in a number", n)
	}
	length, _ := gobUint(one)
	definition := one[:len(one)-len(suffixAfter(one, length))]
	hostile := bytes.NewBuffer(bytes.Repeat(definition, maxTypes+1))
	if n := countTypes(hostile.Bytes()); n != maxTypes+1 {
		t.Errorf("%d types are counted, want %d", n, maxTypes+1)
	}
	err := decode(gob.NewDecoder(hostile), hostile, new(opReply))
	if err == nil || !strings.Contains(err.Error(), "definitions of types") {
		t.Error(err)
	}
}

// suffixAfter returns what follows the first message of gob bytes, which has that length.
func suffixAfter(b []byte, length uint64) []byte {
	_, rest := gobUint(b)
	return rest[length:]
}
