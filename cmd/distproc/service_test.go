//go:build unix

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A manager is a service manager that gets what a process tells it.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
	got  []string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, path: filepath.Join(t.TempDir(), "notify")}
	var err error
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	return m
}

// await returns the next line that begins with a text.
func (m *manager) await(start string) string {
	m.t.Helper()
	buf := make([]byte, 4096)
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	for {
		for i, line := range m.got {
			if strings.HasPrefix(line, start) {
				m.got = m.got[i+1:]
				return line
			}
		}
		m.got = nil
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("%s never came: %v", start, err)
		}
		m.got = strings.Split(string(buf[:n]), "\n")
	}
}

// TestServiceManager runs a node as systemd does: it is ready when it has joined, not
// before, says how many members there are, and that it stops.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	host := testHost()
	m := newManager(t)
	cmd := exec.Command("distproc", "node", "--name", "1@"+host, "--join", "2@"+host)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=8000000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	m.await("STATUS=starting")
	m.await("WATCHDOG=1")
	m.await("STATUS=not ready: the node has not joined the cluster yet") // READY=1 would come before
	startNode(t, "2@"+host)
	m.await("READY=1")
	m.await("STATUS=ready, 2 of 2 members alive")
	m.await("WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.await("STOPPING=1")
	m.await("STATUS=leaving the cluster")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestServiceWatchdog has a node that stops to answer itself, and one that is only not
// ready: the watchdog hears of the second one, not of the first.
func TestServiceWatchdog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []string      // guarded by mu, as the next two
		var ready, alive error // what the node says of itself
		is := func(of *error, err error) {
			mu.Lock()
			defer mu.Unlock()
			*of, told = err, nil
		}
		get := func(of *error) error {
			mu.Lock()
			defer mu.Unlock()
			return *of
		}
		s := &service{
			ready: func(context.Context) error { return get(&ready) },
			alive: func(ctx context.Context) error {
				err := get(&alive)
				if err != nil {
					<-ctx.Done() // it hangs
				}
				return err
			},
			describe: func(context.Context) string { return readyStatus + "1 of 1 members alive" },
			send: func(state string) error {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, strings.Split(state, "\n")...)
				return nil
			},
			log:      slog.New(slog.DiscardHandler),
			watchdog: 8 * time.Second,
		}
		is(&ready, errors.New("no\nleader"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.run(ctx); close(done) }()
		expect := func(after time.Duration, what string, want ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if got := slices.Compact(told); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
			told = nil
		}
		expect(time.Millisecond, "not ready yet", "WATCHDOG=1", "STATUS=not ready: no leader")
		is(&ready, nil)
		expect(time.Second, "ready", "WATCHDOG=1", "READY=1", "STATUS=ready, 1 of 1 members alive")
		expect(16*time.Second, "goes on", "WATCHDOG=1")
		is(&ready, errors.New("no leader"))
		expect(8*time.Second, "ready no more", "WATCHDOG=1", "STATUS=not ready: no leader", "WATCHDOG=1")
		is(&ready, nil)
		expect(8*time.Second, "ready again", "WATCHDOG=1", "STATUS=ready, 1 of 1 members alive", "WATCHDOG=1")
		is(&alive, errors.New("no answer"))
		time.Sleep(2 * time.Second) // a WATCHDOG=1 may be on its way
		is(&ready, nil)
		expect(time.Minute, "hangs")
		is(&alive, nil)
		expect(10*time.Second, "back", "WATCHDOG=1")
		cancel()
		<-done
	})
}
