package gossip

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// The first byte of a stream says what the stream carries.
const (
	kindPackets = 'p' // packets, each after its length in two bytes; one stream per link each way
	kindState   = 's' // one comparison between two memberlists
	kindEcho    = 'e' // one byte, and back
)

const maxPacket = 1<<16 - 1

// open opens a stream. It returns when ctx ends, even if the link hangs.
func (t *transport) open(ctx context.Context, l *link, kind byte) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, errClosed
	}
	t.wg.Go(func() {
		conn, err := l.Open()
		if err == nil {
			deadline, _ := ctx.Deadline()
			conn.SetWriteDeadline(deadline)
			if _, err = conn.Write([]byte{kind}); err != nil {
				conn.Close()
			} else {
				conn.SetWriteDeadline(time.Time{})
			}
		}
		select {
		case results <- result{conn, err}:
		case <-ctx.Done():
			if err == nil {
				conn.Close()
			}
		}
	})
	t.mu.Unlock()
	select {
	case r := <-results:
		if r.err != nil {
			return nil, fmt.Errorf("open a stream to %s: %w", l.name, r.err)
		}
		l.touch()
		t.count.streamsSent.Add(1)
		return r.conn, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("open a stream to %s: %w", l.name, ctx.Err())
	}
}

// echo checks that the peer answers.
func (t *transport) echo(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, t.pace.stream)
	defer cancel()
	conn, err := t.open(ctx, l, kindEcho)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return fmt.Errorf("%s does not answer: %w", l.name, err)
	}
	return nil
}

// accept is the goroutine that accepts the peer's streams until the link ends.
func (t *transport) accept(l *link) {
	defer t.drop(l)
	defer l.close()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		l.touch()
		t.count.streamsReceived.Add(1)
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			conn.Close()
			return
		}
		t.wg.Go(func() { t.serve(l, conn) })
		t.mu.Unlock()
	}
}

// serve is the goroutine of one stream of a peer. Invalid data ends the link.
func (t *transport) serve(l *link, conn net.Conn) {
	conn.SetReadDeadline(time.Now().Add(t.pace.stream))
	var kind [1]byte
	if _, err := io.ReadFull(conn, kind[:]); err != nil {
		conn.Close()
		return
	}
	conn.SetReadDeadline(time.Time{})
	var err error
	switch kind[0] {
	case kindPackets:
		defer conn.Close()
		if l.reading.Swap(true) {
			err = errors.New("a second stream of packets")
		} else {
			err = t.read(l, conn)
		}
	case kindState:
		select {
		case t.streams <- newStateConn(conn, &t.count): // memberlist closes it
		case <-t.ctx.Done():
			conn.Close()
		}
	case kindEcho:
		defer conn.Close()
		conn.SetWriteDeadline(time.Now().Add(t.pace.stream))
		_, _ = conn.Write(kind[:]) // the asking peer has a timeout
	default:
		conn.Close()
		err = fmt.Errorf("a stream of kind %#x", kind[0])
	}
	if err != nil {
		t.log.Debug("bad gossip, link closed", "node", l.name, "why", err)
		l.close()
	}
}

// read passes the peer's packets to memberlist until the stream ends. It returns an error
// if the peer broke the protocol.
func (t *transport) read(l *link, conn io.Reader) error {
	r := bufio.NewReader(conn)
	for {
		b, err := readPacket(r)
		if errors.Is(err, errBadPacket) {
			return err
		}
		if err != nil {
			return nil //nolint:nilerr // the link has ended
		}
		l.touch()
		t.count.packetsReceived.Add(1)
		t.count.bytesReceived.Add(uint64(2 + len(b)))
		if !wanted(b) {
			t.log.Debug("gossip of a kind that no member sends", "node", l.name)
			continue
		}
		now := time.Now()
		if b = t.sieve.sift(b, now); b == nil {
			continue
		}
		select {
		case t.packets <- &memberlist.Packet{Buf: b, From: nodeAddr(l.name), Timestamp: now}:
		case <-t.ctx.Done():
			return nil
		}
	}
}

var errBadPacket = errors.New("an empty packet")

// readPacket reads one packet of at most maxPacket bytes.
func readPacket(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if len(b) == 0 {
		return nil, errBadPacket
	}
	_, err := io.ReadFull(r, b)
	return b, err
}

// A nodeAddr is the address of a peer for memberlist's log.
type nodeAddr string

func (nodeAddr) Network() string  { return "gossip" }
func (a nodeAddr) String() string { return string(a) }
