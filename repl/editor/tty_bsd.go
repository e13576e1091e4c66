//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package editor

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
	queued     = 0x4004667f // FIONREAD
	disabled   = 0xff       // a control character that no key has
)
