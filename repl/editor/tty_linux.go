package editor

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
	queued     = unix.TIOCINQ
	disabled   = 0 // a control character that no key has
)
