package wire

import (
	"io"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

// A stuckConn takes what is written. Its Read returns when release is closed, whoever
// closes it.
type stuckConn struct{ release chan struct{} }

func (c stuckConn) Read([]byte) (int, error) {
	<-c.release
	return 0, io.EOF
}
func (stuckConn) Write(p []byte) (int, error) { return len(p), nil }
func (stuckConn) Close() error                { return nil }

// TestReadsEnd closes a mux whose connection takes its time: the reads of its streams do
// not wait for that, as they would do so without a pause. Those that begin later end,
// too.
func TestReadsEnd(t *testing.T) {
	t.Parallel()
	c := stuckConn{make(chan struct{})}
	config := yamux.DefaultConfig()
	config.EnableKeepAlive, config.LogOutput = false, io.Discard
	session, err := yamux.Client(c, config)
	if err != nil {
		t.Fatal(err)
	}
	m := &mux{Session: session, streams: map[*stream]bool{}}
	s, err := m.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error)
	go func() {
		for range 2 {
			_, err := s.Read(make([]byte, 1))
			read <- err
			s.SetReadDeadline(time.Time{})
		}
	}()
	closed := make(chan struct{})
	go func() {
		m.Close()
		close(closed)
	}()
	for range 2 {
		select {
		case err := <-read:
			if err == nil {
				t.Error("bytes have come")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a read waits for the connection")
		}
	}
	if _, err := m.OpenStream(); err == nil {
		t.Error("a stream can be opened")
	}
	close(c.release)
	<-closed
}
