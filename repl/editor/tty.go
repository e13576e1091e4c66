//go:build unix

package editor

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A tty is the terminal of the process. It remembers the initial state of the terminal,
// to restore it.
type tty struct {
	fd     int
	out    *os.File
	dumb   bool // it knows no sequences
	found  unix.Termios
	stops  chan os.Signal // gets SIGTSTP, as stopping needs a sane terminal
	mu     sync.Mutex
	mode   ttyMode // guarded by mu
	closed bool    // guarded by mu
}

const (
	markPastes   = "\x1b[?2004h"
	unmarkPastes = "\x1b[?2004l"
)

func newTTY(in, out *os.File, dumb bool) (*tty, error) {
	t := &tty{fd: int(in.Fd()), out: out, dumb: dumb, stops: make(chan os.Signal, 1)}
	state, err := unix.IoctlGetTermios(t.fd, getTermios)
	if err != nil {
		return nil, err
	}
	t.found = *state
	return t, nil
}

// set changes the mode. After close it does nothing.
func (t *tty) set(mode ttyMode) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	return t.setLocked(mode)
}

func (t *tty) setLocked(mode ttyMode) error {
	var marks string
	switch {
	case t.dumb:
	case mode == editing && t.mode != editing:
		marks = markPastes
	case mode != editing && t.mode == editing:
		marks = unmarkPastes
	}
	_, err := t.out.WriteString(marks)
	t.mode = mode
	state := t.found
	if mode != found {
		state.Iflag &^= unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		state.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.IEXTEN | unix.ISIG
		state.Oflag |= unix.OPOST | unix.ONLCR
		state.Cc[unix.VMIN], state.Cc[unix.VTIME] = 1, 0
	}
	if mode == running {
		state.Lflag |= unix.ISIG
		state.Cc[unix.VQUIT] = disabled // SIGQUIT would end the process without restoring the terminal
	}
	return errors.Join(err, unix.IoctlSetTermios(t.fd, setTermios, &state))
}

// close restores the initial state of the terminal.
func (t *tty) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		_ = t.setLocked(found) // it fails if the terminal has gone
		t.closed = true
	}
}

// watchStops makes stops get SIGTSTP, until signal.Stop.
func (t *tty) watchStops() { signal.Notify(t.stops, syscall.SIGTSTP) }

// suspend restores the terminal, stops the process group as Ctrl-Z does, and returns when
// it is continued. Without a shell that could continue it, suspend does nothing. It sends
// SIGSTOP, because Go keeps a handler of SIGTSTP even after signal.Reset.
func (t *tty) suspend() {
	if sid, err := unix.Getsid(0); err != nil || sid == unix.Getpgrp() {
		return // the session leader's group: no shell has made one for this process
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	mode := t.mode
	if mode != found && t.setLocked(found) != nil {
		return
	}
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	_ = syscall.Kill(0, syscall.SIGSTOP) // to the own group: never refused
	select {
	case <-resumed:
	case <-time.After(time.Second): // SIGSTOP reaches us at once, so this runs after SIGCONT, too
	}
	if !t.closed && mode != found { // else another program has the terminal
		_ = t.setLocked(mode) // the next line sets it again, and reports
	}
}

// size returns the rows and columns of the terminal, or 24 and 80 if it does not report
// them.
func (t *tty) size() (rows, cols int) {
	ws, err := unix.IoctlGetWinsize(t.fd, unix.TIOCGWINSZ)
	if err != nil || ws.Row == 0 || ws.Col == 0 {
		return 24, 80
	}
	return int(ws.Row), int(ws.Col)
}

// wait returns when there are typed bytes to read, the terminal has gone, or after d.
func (t *tty) wait(d time.Duration) {
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}, int(d.Milliseconds()))
}

// waiting returns how many typed bytes there are to read.
func (t *tty) waiting() int {
	n, err := unix.IoctlGetInt(t.fd, queued)
	if err != nil {
		return 0
	}
	return n
}

// gone reports whether the terminal has hung up.
func (t *tty) gone() bool {
	fds := []unix.PollFd{{Fd: int32(t.fd)}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// is reports whether the terminal is in a mode.
func (t *tty) is(mode ttyMode) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mode == mode && !t.closed
}

// read appends the typed bytes that wait to buf. eof means that no more will arrive. Only
// one goroutine may call it at a time, as it would block if another one took the bytes.
func (t *tty) read(buf []byte) (_ []byte, eof bool) {
	fds := []unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); n <= 0 {
		return buf, err != nil && err != unix.EINTR
	}
	var part [64 << 10]byte
	n, err := unix.Read(t.fd, part[:])
	if err == unix.EINTR || err == unix.EAGAIN {
		return buf, false
	}
	return append(buf, part[:max(n, 0)]...), n <= 0
}
