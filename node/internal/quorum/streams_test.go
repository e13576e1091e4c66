package quorum

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func greeting(from, to string) string {
	hello := binary.BigEndian.AppendUint16(nil, uint16(len(from)))
	hello = binary.BigEndian.AppendUint16(append(hello, from...), uint16(len(to)))
	return string(append(hello, to...))
}

// TestStreamServe has peers open streams. Only a voter that means this one gets one.
func TestStreamServe(t *testing.T) {
	t.Parallel()
	const self = "1@h/a"
	long := "2@h/" + strings.Repeat("x", 600)
	voters := func(id raft.ServerID) bool { return id == "2@h/b" || id == "3@h/c" || string(id) == long }
	for _, test := range []struct {
		name, hello string
		end         bool // the peer closes the stream after hello
		answer      string
		taken       bool
		after       time.Duration
	}{
		{"a voter", greeting("2@h/b", self), false, "\x01", true, 0},
		{"another disk of a voter", greeting("2@h/x", self), false, "\x02", false, 0},
		{"a voter who is not the peer", greeting("3@h/c", self), false, "\x02", false, 0},
		{"for another disk", greeting("2@h/b", "1@h/old"), false, "\x02", false, 0},
		{"for another node", greeting("2@h/b", "3@h/c"), false, "\x02", false, 0},
		{"no names", "\x00\x00\x00\x00", false, "\x02", false, 0},
		{"a long name", greeting(long, self), false, "\x01", true, 0},
		{"a name that is too long", greeting(strings.Repeat("x", maxServer+1), self), false, "", false, 0},
		{"garbage", "GET / HTTP/1.1\r\n\r\n" + strings.Repeat("x", 300), false, "", false, 0},
		{"nothing", "", true, "", false, 0},
		{"half a name", "\x00\xff2@h", true, "", false, 0},
		{"silence", "", false, "", false, greetTime},
		{"silence after a name", greeting("2@h/b", self)[:8], false, "", false, greetTime},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStreams(self, nil)
				accepted := make(chan net.Conn, 1)
				go func() {
					if c, err := s.Accept(); err == nil {
						accepted <- c
					}
				}()
				peer, conn := net.Pipe()
				start, served := time.Now(), make(chan error, 1)
				go func() { served <- s.serve(conn, "2@h", voters) }()
				go func() {
					_, _ = io.WriteString(peer, test.hello)
					if test.end {
						peer.Close()
					}
				}()
				var answer [1]byte
				n, _ := io.ReadFull(peer, answer[:])
				err := <-served
				if string(answer[:n]) != test.answer || (err == nil) != test.taken {
					t.Errorf("answer %q, %v", answer[:n], err)
				}
				if took := time.Since(start); took != test.after {
					t.Errorf("it took %v", took)
				}
				if test.taken {
					time.Sleep(time.Minute) // no deadline is left
					go func() { _, _ = io.WriteString(peer, "x") }()
					if _, err := io.ReadFull(<-accepted, answer[:]); err != nil || answer[0] != 'x' {
						t.Errorf("%q, %v", answer, err)
					}
				} else if _, err := conn.Write(answer[:]); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the stream is open: %v", err)
				}
				s.Close()
				s.Close()
				synctest.Wait()
			})
		})
	}
}

// TestStreamDial opens streams to peers that answer or do not.
func TestStreamDial(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, answer string
		end          bool
		err          string
		after        time.Duration
	}{
		{"taken", "\x01", false, "", 0},
		{"refused", "\x02", false, "lost the disk", 0},
		{"garbage", "HTTP/1.1 400", false, "lost the disk", 0},
		{"closed", "", true, "EOF", 0},
		{"silence", "", false, "timeout", 3 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, peer := net.Pipe()
				s := newStreams("1@h/a", func(_ context.Context, name string) (net.Conn, error) {
					if name != "2@h" {
						t.Errorf("dials %q", name)
					}
					return conn, nil
				})
				hello := make([]byte, len(greeting("1@h/a", "2@h/b")))
				go func() {
					_, _ = io.ReadFull(peer, hello)
					if _, _ = io.WriteString(peer, test.answer); test.end {
						peer.Close()
					}
				}()
				start := time.Now()
				c, err := s.Dial("2@h/b", 3*time.Second)
				if took := time.Since(start); took != test.after {
					t.Errorf("it took %v", took)
				}
				if string(hello) != greeting("1@h/a", "2@h/b") {
					t.Errorf("says %q", hello)
				}
				if test.err != "" {
					if err == nil || !strings.Contains(err.Error(), test.err) {
						t.Errorf("%v", err)
					}
					if _, err := conn.Write(hello); !errors.Is(err, io.ErrClosedPipe) {
						t.Errorf("the stream is open: %v", err)
					}
				} else if err != nil || c != conn {
					t.Error(err)
				}
				peer.Close()
				conn.Close()
			})
		})
	}
	s := newStreams("1@h/a", func(ctx context.Context, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if _, err := s.Dial("2@h/b", time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// TestStreamsClose closes streams while one is served that nobody accepts.
func TestStreamsClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStreams("1@h/a", nil)
		peer, conn := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- s.serve(conn, "2@h", func(raft.ServerID) bool { return true }) }()
		_, _ = io.WriteString(peer, greeting("2@h/b", "1@h/a"))
		var answer [1]byte
		_, _ = io.ReadFull(peer, answer[:])
		synctest.Wait()
		s.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
		if _, err := peer.Read(answer[:]); !errors.Is(err, io.EOF) {
			t.Errorf("the stream is open: %v", err)
		}
		if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}
