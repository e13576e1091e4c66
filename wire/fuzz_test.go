package wire

import (
	"bytes"
	"encoding/gob"
	"net"
	"testing"
	"time"
)

// discard is the part of a connection that a frameReader needs for its deadlines.
type discard struct {
	net.Conn
	*bytes.Reader
}

func (d discard) Read(p []byte) (int, error)      { return d.Reader.Read(p) }
func (discard) SetReadDeadline(_ time.Time) error { return nil }

func seedFrames(f *testing.F, values ...any) {
	var b bytes.Buffer
	w := newFrameWriter(&b)
	for _, v := range values {
		if err := w.write(v); err != nil {
			f.Fatal(err)
		}
		b.Write(w.buf.Bytes()) // twice: with the types, and a repetition
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()/2])
	f.Add([]byte{0, 0, 0, 1, 0})
	f.Add([]byte{255, 255, 255, 255})
}

// FuzzCalls reads what a peer may send as calls.
func FuzzCalls(f *testing.F) {
	b := new(callBatch)
	b.add(1, &Request{Num: 7}, time.Second)
	b.add(2, &Request{Text: "seven", IsText: true, Kind: "price"}, time.Second)
	b.add(3, &Request{Num: 8, IsCall: true, Data: "deposit 5", Type: "text/plain", Trace: "00-01"}, time.Second)
	b.Cancel = []uint64{1}
	seedFrames(f, b)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newFrameReader(discard{Reader: bytes.NewReader(data)}, smallBuffer)
		var b callBatch
		for {
			b.reset()
			if r.read(&b) != nil || b.unpack() != nil {
				return
			}
			for i := range b.Seq {
				b.request(i)
			}
		}
	})
}

// FuzzReplies reads what a peer may send as answers.
func FuzzReplies(f *testing.F) {
	b := new(replyBatch)
	b.add(1, &Reply{Data: "42", IsInt: true, TTL: time.Second})
	b.addError(2, &Error{Code: NotOwner, Members: []Member{{Name: "1@h"}}})
	b.add(3, &Reply{Epoch: 5, Count: 1 << 40})
	seedFrames(f, b)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newFrameReader(discard{Reader: bytes.NewReader(data)}, smallBuffer)
		var b replyBatch
		for {
			b.reset()
			if r.read(&b) != nil || b.unpack() != nil {
				return
			}
			it := b.replies("peer")
			for range b.Seq {
				it.next(new(Reply))
			}
		}
	})
}

// FuzzHandshake reads what a peer may say of itself, which is the first gob that is
// decoded.
func FuzzHandshake(f *testing.F) {
	seedFrames(f, Hello{Name: "1@h", MaxVersion: 1}, welcome{Code: NameTaken}, opRequest{Op: 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var h Hello
		if recvGob(bytes.NewReader(data), &h, maxHello) == nil {
			versionRange{minVersion, maxVersion}.common(h, "peer", "own")
		}
		var w welcome
		recvGob(bytes.NewReader(data), &w, maxHello)
		var r opRequest
		if recvGob(bytes.NewReader(data), &r, MaxMessage) == nil {
			var list []Member
			buf := bytes.NewBuffer(r.Args)
			decode(gob.NewDecoder(buf), buf, &list)
		}
	})
}

// FuzzBatch checks that a batch arrives as it was sent, whatever fields it uses.
func FuzzBatch(f *testing.F) {
	f.Add(uint64(1), int64(7), "text", true, "kind", int64(5_000_000))
	f.Add(uint64(0), int64(0), "", false, "", int64(0))
	f.Fuzz(func(t *testing.T, seq uint64, num int64, text string, isText bool, kind string, timeout int64) {
		requests := []Request{{}, {Num: num, Text: text, IsText: isText, Kind: kind}, {}, {Kind: kind, Forward: true}}
		if len(text)+2*len(kind) > maxData || len(kind) > maxKind {
			return // a call like this is refused before it is sent
		}
		sent := new(callBatch)
		for i, r := range requests {
			sent.add(seq+uint64(i), &r, time.Duration(timeout))
		}
		sent.pack()
		var wire bytes.Buffer
		if err := sendGob(&wire, sent); err != nil {
			t.Fatal(err)
		}
		var got callBatch
		if err := recvGob(&wire, &got, MaxMessage); err != nil {
			t.Fatal(err)
		}
		if err := got.unpack(); err != nil {
			t.Fatal(err)
		}
		for i, want := range requests {
			if r := got.request(i); r != want || got.Seq[i] != seq+uint64(i) {
				t.Errorf("call %d arrived as %d %+v, want %d %+v", i, got.Seq[i], r, seq+uint64(i), want)
			}
		}
	})
}
