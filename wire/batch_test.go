package wire

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

// TestBatchColumns gives each column of a batch more entries than there are calls.
func TestBatchColumns(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Flags", "Num", "Text", "Kind", "Timeout", "Trace", "Len", "Type", "Chain", "Baggage"} {
		for extra := range 2 {
			var b callBatch
			b.add(1, &Request{}, long)
			pack(b.Seq)
			column := reflect.ValueOf(&b).Elem().FieldByName(name)
			column.Set(reflect.MakeSlice(column.Type(), 1+extra, 1+extra))
			if err := b.unpack(); (err != nil) != (extra > 0) {
				t.Errorf("1 call with %d entries of %s: %v", 1+extra, name, err)
			}
		}
	}
}

// TestTokens sends replies with tokens and without, and an error amid them.
func TestTokens(t *testing.T) {
	t.Parallel()
	var b replyBatch
	want := []Reply{{Epoch: 5, Count: 1}, {}, {Epoch: math.MaxUint64, Count: math.MaxUint64}, {}, {Epoch: 300}}
	for i, r := range want {
		if i == 3 {
			b.addError(uint64(i), &Error{Code: Leaving})
		} else {
			b.add(uint64(i), &r)
		}
	}
	b.pack()
	if err := b.unpack(); err != nil {
		t.Fatal(err)
	}
	it := b.replies("1@h")
	for i, w := range want {
		r := Reply{Epoch: 1, Count: 1} // of a call before
		if it.next(&r); r.Epoch != w.Epoch || r.Count != w.Count {
			t.Errorf("reply %d: token %d/%d, want %d/%d", i, r.Epoch, r.Count, w.Epoch, w.Count)
		}
	}
	for _, tokens := range []string{"", "\x05", "\x05\x81", "\x05\x01\x02", strings.Repeat("\xff", 11) + "\x01"} {
		b := replyBatch{Seq: []uint64{1}, Flags: []uint8{replyToken}, Tokens: []byte(tokens)}
		if err := b.unpack(); err == nil {
			t.Errorf("tokens %x are taken", tokens)
		}
	}
	if err := (&replyBatch{Seq: []uint64{1}, Tokens: []byte{5, 1}}).unpack(); err == nil {
		t.Error("a token of no reply is taken")
	}
}
