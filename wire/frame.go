package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A frame is a length (4 bytes, big endian, at most MaxMessage) and that many bytes of gob. The
// length stands before what gob says of itself, so that nothing is allocated on a peer's word, and
// types are sent once per stream, as gob does.

// frameWriter writes frames. It is used by one goroutine, which sets the deadlines.
type frameWriter struct {
	w   io.Writer
	buf bytes.Buffer
	enc *gob.Encoder
}

func newFrameWriter(w io.Writer) *frameWriter {
	f := &frameWriter{w: w}
	f.enc = gob.NewEncoder(&f.buf)
	return f
}

func (f *frameWriter) write(v any) error {
	f.buf.Reset()
	f.buf.Write([]byte{0, 0, 0, 0})
	if err := f.enc.Encode(v); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	n := f.buf.Len() - 4
	if n > MaxMessage {
		return fmt.Errorf("message of %d bytes, limit %d", n, MaxMessage)
	}
	binary.BigEndian.PutUint32(f.buf.Bytes(), uint32(n))
	_, err := f.w.Write(f.buf.Bytes())
	if f.buf.Cap() > maxData {
		f.buf = bytes.Buffer{} // one large value must not stay in memory
	}
	return err
}

// frameReader reads frames from a stream. It is used by one goroutine.
type frameReader struct {
	conn net.Conn
	br   *bufio.Reader
	buf  bytes.Buffer
	dec  *gob.Decoder

	typed bool // the first message has come, and with it all types
}

// newFrameReader returns a reader with a buffer of so many bytes, in which small frames that came together wait.
func newFrameReader(conn net.Conn, size int) *frameReader {
	f := &frameReader{conn: conn, br: bufio.NewReaderSize(conn, size)}
	f.dec = gob.NewDecoder(&f.buf)
	return f
}

// read waits for a frame for as long as it takes, then for the rest of it for at most giveUp:
// after a failed write of the peer the rest may never come (hashicorp/yamux#142).
func (f *frameReader) read(v any) error {
	head, err := f.br.Peek(4)
	if err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(head))
	if n == 0 || n > MaxMessage {
		return fmt.Errorf("message of %d bytes, limit %d", n, MaxMessage)
	}
	_, _ = f.br.Discard(4) // they are there
	if f.br.Buffered() < n {
		if err := f.conn.SetReadDeadline(time.Now().Add(giveUp)); err != nil {
			return err
		}
		defer f.conn.SetReadDeadline(time.Time{})
	}
	if f.buf.Cap() > maxData {
		f.buf = bytes.Buffer{}
	}
	f.buf.Reset()
	for f.buf.Len() < n {
		if f.buf.Len() > 0 { // it goes on
			f.conn.SetReadDeadline(time.Now().Add(giveUp))
		}
		if _, err := io.CopyN(&f.buf, f.br, int64(min(n-f.buf.Len(), chunkSize))); err != nil {
			return err
		}
	}
	if f.typed && definesType(f.buf.Bytes()) {
		return errors.New("type definitions after the first message")
	}
	f.typed = true
	return decode(f.dec, &f.buf, v)
}

// definesType reports whether gob bytes begin with the definition of a type, which has a negative id
// (encoding/gob, "Encoding Details"). A decoder keeps all that it was told of, for ever.
func definesType(b []byte) bool {
	_, b = gobUint(b) // the length
	id, _ := gobUint(b)
	return id&1 != 0 // a signed number has its sign in the lowest bit
}

// gobUint reads an unsigned number: below 128 a byte; otherwise a byte with the negated count of the
// bytes that follow, of which here only the last one matters.
func gobUint(b []byte) (last byte, rest []byte) {
	if len(b) == 0 {
		return 0, nil
	}
	if b[0] < 128 {
		return b[0], b[1:]
	}
	n := 1 - int(int8(b[0]))
	if n > len(b) {
		return 0, nil
	}
	return b[n-1], b[n:]
}

// decode reads one value that must fill the buffer. gob promises no panic on hostile bytes, but
// says itself that it is not hardened against them, so a panic is kept to this peer.
func decode(dec *gob.Decoder, buf *bytes.Buffer, v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decode: %s", clip(fmt.Sprint(r), maxLogText))
		}
	}()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode: %s", clip(err.Error(), maxLogText)) // it may quote the peer
	}
	if buf.Len() != 0 {
		return fmt.Errorf("decode: %d bytes too many", buf.Len())
	}
	return nil
}

// sendGob writes one value as a frame of its own, types included.
func sendGob(w io.Writer, v any) error {
	return newFrameWriter(w).write(v)
}

// recvGob reads what sendGob wrote, and not a byte more.
func recvGob(r io.Reader, v any, limit int) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n == 0 || n > limit {
		return fmt.Errorf("message of %d bytes, limit %d", n, limit)
	}
	var buf bytes.Buffer
	if _, err := io.CopyN(&buf, r, int64(n)); err != nil {
		return err
	}
	return decode(gob.NewDecoder(&buf), &buf, v)
}
