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
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/wire/text"
)

// A frame is a length (4 bytes, big endian, at most MaxMessage) and that many bytes of
// gob. The length bounds what the decoder allocates. Gob sends the definition of a type
// once per stream.

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

	typed bool // the first message, which defines all types, has been read
}

// newFrameReader returns a reader with a buffer of so many bytes for small frames that
// arrive together.
func newFrameReader(conn net.Conn, size int) *frameReader {
	f := &frameReader{conn: conn, br: bufio.NewReaderSize(conn, size)}
	f.dec = gob.NewDecoder(&f.buf)
	return f
}

// maxUnfinished bounds the bytes of incomplete frames in memory. Beyond it, a slow frame
// ends its session.
const maxUnfinished = 128 << 20

// unfinished counts these bytes. Sessions share it because they share the memory of the
// process.
var unfinished atomic.Int64

// read waits for a frame without a limit, then for each chunk of the rest of it for at
// most giveUp: after a failed write of the peer, the rest may never arrive
// (hashicorp/yamux#142).
func (f *frameReader) read(v any) error {
	head, err := f.br.Peek(4)
	if err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(head))
	if n == 0 || n > MaxMessage {
		return fmt.Errorf("message of %d bytes, limit %d", n, MaxMessage)
	}
	_, _ = f.br.Discard(4) // the bytes are buffered
	f.buf.Reset()
	if f.br.Buffered() < n {
		err = f.readSlowly(n)
	} else {
		_, err = io.CopyN(&f.buf, f.br, int64(n))
	}
	if err != nil {
		return err
	}
	if f.typed && countTypes(f.buf.Bytes()) > 0 {
		return errors.New("type definitions after the first message")
	}
	f.typed = true
	err = decode(f.dec, &f.buf, v)
	if f.buf.Cap() > maxData {
		f.buf = bytes.Buffer{} // one large message must not stay in memory
	}
	return err
}

// readSlowly reads a frame of n bytes that has not arrived completely.
func (f *frameReader) readSlowly(n int) error {
	began := time.Now()
	defer f.conn.SetReadDeadline(time.Time{})
	defer func() { unfinished.Add(-int64(f.buf.Len())) }()
	for f.buf.Len() < n {
		now := time.Now()
		if now.Sub(began) > giveUp && unfinished.Load() > maxUnfinished {
			return errors.New("a message comes too slowly while memory is short")
		}
		if err := f.conn.SetReadDeadline(now.Add(giveUp)); err != nil {
			return err
		}
		chunk, err := io.CopyN(&f.buf, f.br, int64(min(n-f.buf.Len(), chunkSize)))
		unfinished.Add(chunk)
		if err != nil {
			return err
		}
	}
	return nil
}

// maxTypes is how many types one message may define. A decoder keeps all definitions.
const maxTypes = 64

// countTypes returns the number of type definitions in gob bytes (encoding/gob, "Encoding
// Details"). Each message begins with a length and a type id, which is negative for a
// definition.
func countTypes(b []byte) (n int) {
	for len(b) > 0 {
		length, rest := gobUint(b)
		if length == 0 || length > uint64(len(rest)) {
			return n // not gob: the decoder reports it
		}
		if id, _ := gobUint(rest); id&1 != 0 { // a signed number has its sign in the lowest bit
			n++
		}
		b = rest[length:]
	}
	return n
}

// gobUint reads an unsigned number: below 128 a byte; otherwise a byte with the negated
// count of the bytes that follow, the most significant first.
func gobUint(b []byte) (n uint64, rest []byte) {
	if len(b) == 0 {
		return 0, nil
	}
	if b[0] < 128 {
		return uint64(b[0]), b[1:]
	}
	size := -int(int8(b[0]))
	if size > 8 || size >= len(b) {
		return 0, nil
	}
	for _, c := range b[1 : 1+size] {
		n = n<<8 | uint64(c)
	}
	return n, b[1+size:]
}

// decode decodes one value that must fill the buffer. A panic becomes an error of this
// peer, because gob is documented as not hardened against hostile bytes.
func decode(dec *gob.Decoder, buf *bytes.Buffer, v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decode: %s", text.Line(fmt.Sprint(r), maxLogText))
		}
	}()
	if n := countTypes(buf.Bytes()); n > maxTypes {
		return fmt.Errorf("message with %d definitions of types, limit %d", n, maxTypes)
	}
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode: %s", text.Line(err.Error(), maxLogText)) // the error may quote the peer
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

// recvGob reads a value from sendGob, and no byte after it.
func recvGob(r io.Reader, v any, limit int) error {
	n, err := recvLength(r)
	if err != nil {
		return err
	}
	if n > limit {
		return fmt.Errorf("message of %d bytes, limit %d", n, limit)
	}
	return recvBody(r, n, v)
}

// recvLength reads the length of a frame, which is at most MaxMessage.
func recvLength(r io.Reader) (int, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n == 0 || n > MaxMessage {
		return 0, fmt.Errorf("message of %d bytes, limit %d", n, MaxMessage)
	}
	return n, nil
}

// recvBody reads the rest of a frame of n bytes.
func recvBody(r io.Reader, n int, v any) error {
	var buf bytes.Buffer
	buf.Grow(min(n, largeOperation) + bytes.MinRead) // rather than have it grow again and again
	if _, err := io.CopyN(&buf, r, int64(n)); err != nil {
		return err
	}
	return decode(gob.NewDecoder(&buf), &buf, v)
}
