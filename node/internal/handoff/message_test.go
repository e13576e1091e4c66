package handoff

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// various returns answers of all shapes.
func various(tb testing.TB) []registry.Answer {
	tb.Helper()
	big, err := worker.BigID(new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		tb.Fatal(err)
	}
	text, err := worker.ParseID("a string\x00\xff")
	if err != nil {
		tb.Fatal(err)
	}
	return []registry.Answer{
		{ID: worker.IntID(7), Data: "12", IsInt: true, Age: time.Second, Left: time.Hour},
		{},
		{Kind: "price", ID: worker.IntID(-1), Data: "{}", Type: "application/json", Age: -1, Left: math.MaxInt64},
		{Kind: "price", ID: big, Type: "application/json", Left: math.MinInt64},
		{Kind: "price", ID: text, Data: strings.Repeat("x", 300), Type: "text/plain"},
		{Kind: "other", ID: worker.IntID(math.MinInt64), Data: "\x00"},
	}
}

// decoded returns the answers of a message.
func decoded(message []byte) (list []registry.Answer, err error) {
	err = readAnswers(message, func(some []registry.Answer) { list = append(list, some...) })
	return list, err
}

// TestMessage encodes answers and decodes them.
func TestMessage(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, chunk, chunk + 1, MaxAnswers} {
		var list []registry.Answer
		for len(list) < n {
			list = append(list, various(t)...)
		}
		list = list[:n]
		if got, err := decoded(appendAnswers(nil, list)); err != nil || !slices.Equal(got, list) {
			t.Errorf("%d of %d answers, %v", len(got), n, err)
		}
	}
}

// TestFaultyMessage decodes what a peer that lies may send.
func TestFaultyMessage(t *testing.T) {
	t.Parallel()
	whole := appendAnswers(nil, various(t))
	for n := range len(whole) {
		list, err := decoded(whole[:n])
		if !bytes.Equal(appendAnswers(nil, list), whole[:n]) && err == nil {
			t.Errorf("no error, though the message is cut after %d bytes", n)
		}
	}
	long := []byte{textID, 0x81, 0x02} // an id of 257 bytes
	long = append(append(long, strings.Repeat("i", worker.MaxIDLen+1)...), 0, 0, 0)
	for what, message := range map[string][]byte{
		"an unknown flag":   {allFlags + 1, 0, 0, 0, 0},
		"a long id":         long,
		"a string too far":  {0, 0, 5, 'x', 0, 0},
		"a huge string":     {0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"an endless number": append([]byte{0}, bytes.Repeat([]byte{0xff}, 20)...),
		"too many answers":  bytes.Repeat([]byte{0, 0, 0, 0, 0}, MaxAnswers+1),
	} {
		if list, err := decoded(message); err == nil || len(list) > MaxAnswers {
			t.Errorf("%s: %d answers, %v", what, len(list), err)
		}
	}
}

// FuzzMessage decodes what a peer may send. What can be decoded is the same after it has
// been encoded and decoded again.
func FuzzMessage(f *testing.F) {
	whole := appendAnswers(nil, various(f))
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Fuzz(func(t *testing.T, message []byte) {
		list, err := decoded(message)
		if err != nil {
			return
		}
		if again, err := decoded(appendAnswers(nil, list)); err != nil || !slices.Equal(again, list) {
			t.Errorf("%+v, then %+v, %v", list, again, err)
		}
	})
}

// A version is a peer that may be older.
type version struct {
	old   bool
	taken []registry.Answer
}

func (v *version) Do(_ context.Context, op wire.Op, args, _ any) error {
	if v.old && op == protocol.OpAnswers {
		return wire.UnknownOperation
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(args); err != nil {
		return err
	}
	decode := func(to any) error { return gob.NewDecoder(bytes.NewReader(b.Bytes())).Decode(to) }
	return Receive(context.Background(), pong, op, decode, func(list []registry.Answer) { v.taken = append(v.taken, list...) })
}

// TestSend sends answers to a peer of this version, and to an older one.
func TestSend(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{false, true} {
		v := &version{old: old}
		list := various(t)
		if err := Send(t.Context(), v, list); err != nil || !slices.Equal(v.taken, list) {
			t.Errorf("old %v: %v, %+v", old, err, v.taken)
		}
	}
	bad := func(to any) error { *to.(*[]byte) = []byte{0}; return nil }
	err := Receive(t.Context(), pong, protocol.OpAnswers, bad, func([]registry.Answer) {})
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != wire.BadRequest {
		t.Errorf("a message that is cut short: %v", err)
	}
}

// BenchmarkMessage encodes and decodes a message of answers, as it is and as gob.
func BenchmarkMessage(b *testing.B) {
	list := answers(0, fewAnswers, "4611686018427387904")
	b.Run("flat", func(b *testing.B) {
		b.ReportAllocs()
		var message []byte
		for b.Loop() {
			message = appendAnswers(message[:0], list)
			if err := readAnswers(message, func([]registry.Answer) {}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gob", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var buf bytes.Buffer
			var decoded []registry.Answer
			if err := gob.NewEncoder(&buf).Encode(list); err != nil {
				b.Fatal(err)
			}
			if err := gob.NewDecoder(&buf).Decode(&decoded); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// pong is the ping of a peer that answers.
func pong(context.Context) error { return nil }
