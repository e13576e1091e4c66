package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestAcceptTrouble runs out of file descriptors twice: it is told once each time, with
// what to do, and a silent connection makes room.
func TestAcceptTrouble(t *testing.T) {
	c := credentials(t, testCookie)
	synctest.Test(t, func(t *testing.T) {
		var told, refused []error
		f := &fakeListener{accept: make(chan any)}
		l := serve(f, c, events{
			refused: func(_ net.Addr, err error) { refused = append(refused, err) },
			trouble: func(err error) { told = append(told, err) },
		})
		near, far := net.Pipe()
		defer near.Close()
		f.accept <- far
		synctest.Wait()
		run := func() {
			for range 100 {
				f.accept <- os.NewSyscallError("accept4", syscall.EMFILE)
			}
			synctest.Wait()
		}
		start := time.Now()
		run()
		if len(told) != 1 || !errors.Is(told[0], syscall.EMFILE) || !strings.Contains(told[0].Error(), "ulimit -n") {
			t.Errorf("told %v, want once that the file descriptors are used up, and ulimit -n", told)
		}
		if took := time.Since(start); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("100 errors took %v, want 50 ms each", took)
		}
		if len(refused) != 1 || !errors.Is(refused[0], errPutOut) {
			t.Errorf("refused %v, want %v", refused, errPutOut)
		}
		time.Sleep(troubleEpisode / 2)
		run()
		if len(told) != 1 {
			t.Errorf("told %d times within a minute", len(told))
		}
		time.Sleep(2 * troubleEpisode)
		run()
		if len(told) != 2 {
			t.Errorf("told %d times, want 2", len(told))
		}
		l.Close()
	})
}

// TestListenerDies closes the socket under a listener: Accept ends.
func TestListenerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []error
		f := &fakeListener{accept: make(chan any)}
		l := serve(f, &Credentials{}, events{trouble: func(err error) { told = append(told, err) }})
		f.Close()
		if _, err := l.Accept(); err != Closed {
			t.Errorf("Accept = %v, want %v", err, Closed)
		}
		time.Sleep(time.Hour)
		if n := f.calls.Load(); n != 1 || len(told) != 1 {
			t.Errorf("accepted %d times, told %v; want once each", n, told)
		}
		l.wg.Wait()
	})
}

// TestListenerCloses has a listener that closes drop a silent connection, and not wait
// for it.
func TestListenerCloses(t *testing.T) {
	c := credentials(t, testCookie)
	synctest.Test(t, func(t *testing.T) {
		f := &fakeListener{accept: make(chan any)}
		l := serve(f, c, nil)
		near, far := net.Pipe()
		defer near.Close()
		f.accept <- far
		synctest.Wait()
		start := time.Now()
		l.Close()
		if _, err := l.Accept(); err != Closed {
			t.Errorf("Accept after Close = %v, want %v", err, Closed)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("Close took %v: it waits for a silent connection", took)
		}
	})
}

// TestSilentTimeout has a peer say nothing, and another one nothing after its
// ClientHello.
func TestSilentTimeout(t *testing.T) {
	c, hello := credentials(t, testCookie), recordHello(t, []string{alpn})
	for want, text := range map[time.Duration][]byte{helloTimeout: hello[:20], handshakeTimeout: hello} {
		synctest.Test(t, func(t *testing.T) {
			refused := make(chan error)
			f := &fakeListener{accept: make(chan any)}
			l := serve(f, c, events{refused: func(_ net.Addr, err error) { refused <- err }})
			near, far := net.Pipe()
			defer near.Close()
			start := time.Now()
			f.accept <- far
			near.Write(text)
			go io.Copy(io.Discard, near)
			err := <-refused
			if class, _ := DescribeRefusal(err); class != "timeout" || time.Since(start) != want {
				t.Errorf("%d bytes: refused after %v as %q, want after %v: %v", len(text), time.Since(start), class, want, err)
			}
			l.Close()
		})
	}
}
