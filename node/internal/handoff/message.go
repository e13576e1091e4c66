package handoff

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A message has its answers one after the other, because a gob of many structs takes
// several times as long and leaves much garbage (BenchmarkMessage). Each is a byte of
// flags; its kind, if another one than that of the answer before; its id; its value; the
// media type, if another one than before; and Age and Left in nanoseconds. Numbers are
// varints of encoding/binary. A string has its length before it.

const (
	otherKind = 1 << iota // the kind is another one than before, at first ""
	otherType             // so is the media type
	textID                // the id is a string, else a varint
	isInt                 // the value is an integer
	allFlags  = 1<<iota - 1
)

var errMessage = errors.New("answers that are cut short, or no answers")

// appendAnswers appends the encoding of answers.
func appendAnswers(b []byte, list []registry.Answer) []byte {
	var kind, mediaType string
	for i := range list {
		a := &list[i]
		at := len(b)
		b = append(b, 0)
		if a.Kind != kind {
			kind = a.Kind
			b[at] |= otherKind
			b = appendString(b, kind)
		}
		if n, ok := a.ID.Int64(); ok {
			b = binary.AppendVarint(b, n)
		} else {
			b[at] |= textID
			b = appendString(b, a.ID.String())
		}
		b = appendString(b, a.Data)
		if a.IsInt {
			b[at] |= isInt
		}
		if a.Type != mediaType {
			mediaType = a.Type
			b[at] |= otherType
			b = appendString(b, mediaType)
		}
		b = binary.AppendVarint(b, int64(a.Age))
		b = binary.AppendVarint(b, int64(a.Left))
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// readAnswers decodes a message, which may come from a peer that lies. It calls take with
// some answers at a time, and keeps nothing of them. Answers before a fault are taken.
func readAnswers(message []byte, take func([]registry.Answer)) error {
	r := reader{rest: message}
	var kind, mediaType string
	list := make([]registry.Answer, 0, chunk)
	for n := 0; len(r.rest) > 0; n++ {
		if n == MaxAnswers {
			return fmt.Errorf("more than %d answers", MaxAnswers)
		}
		flags := r.rest[0]
		r.rest = r.rest[1:]
		if flags&otherKind != 0 {
			kind = r.string()
		}
		a := registry.Answer{Kind: kind, ID: r.id(flags&textID != 0), Data: r.string(), IsInt: flags&isInt != 0}
		if flags&otherType != 0 {
			mediaType = r.string()
		}
		a.Type, a.Age, a.Left = mediaType, time.Duration(r.varint()), time.Duration(r.varint())
		if r.bad || flags > allFlags {
			return errMessage
		}
		if list = append(list, a); len(list) == chunk {
			take(list)
			list = list[:0]
		}
	}
	if len(list) > 0 {
		take(list)
	}
	return nil
}

// A reader reads what appendAnswers has written. Once it is bad, all is zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) fail() { r.rest, r.bad = nil, true }

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) string() string {
	size, n := binary.Uvarint(r.rest)
	if n <= 0 || size > uint64(len(r.rest)-n) {
		r.fail()
		return ""
	}
	s := string(r.rest[n:][:size])
	r.rest = r.rest[n:][size:]
	return s
}

func (r *reader) id(text bool) worker.ID {
	if !text {
		return worker.IntID(r.varint())
	}
	id, err := worker.ParseID(r.string())
	if err != nil {
		r.fail()
	}
	return id
}

// messages has buffers of messages that have been sent.
var messages = sync.Pool{New: func() any { return new([]byte) }}

// A session is what Send needs of a [wire.Session].
type session interface {
	Do(ctx context.Context, op wire.Op, args, result any) error
}

// Send gives answers to the peer of a session.
func Send(ctx context.Context, s session, list []registry.Answer) error {
	b := messages.Get().(*[]byte)
	*b = appendAnswers((*b)[:0], list)
	err := s.Do(ctx, protocol.OpAnswers, *b, nil)
	if cap(*b) <= maxBytes {
		messages.Put(b)
	}
	if errors.Is(err, wire.UnknownOperation) { // the peer is older
		return s.Do(ctx, protocol.OpHandOff, list, nil)
	}
	return err
}

// Receive decodes the arguments of [protocol.OpAnswers], or of the older
// [protocol.OpHandOff]. It calls take with some answers at a time, which takes nothing of
// the list. Answers before a fault in the message are taken.
//
// It takes none that have waited here while this node was paused: the sender, which does not
// answer ping then, has given up, and may have handed them off again. The sender may know of a
// view that this node has yet to hear of, so take is given answers for any id.
func Receive(ctx context.Context, ping func(context.Context) error, op wire.Op, args func(any) error, take func([]registry.Answer)) error {
	ctx, cancel := context.WithTimeout(ctx, registry.AnswerTimeout)
	defer cancel()
	if err := ping(ctx); err != nil {
		return err
	}
	if op == protocol.OpHandOff {
		if err := protocol.AtMost(args, MaxAnswers, func(list []registry.AnswerShape) int { return len(list) }); err != nil {
			return err
		}
		var list []registry.Answer
		if err := args(&list); err != nil {
			return err
		}
		take(list)
		return nil
	}
	var message []byte
	if err := args(&message); err != nil {
		return err
	}
	if err := readAnswers(message, take); err != nil {
		return wire.Errorf(wire.BadRequest, wire.Unknown, "%v", err)
	}
	return nil
}
