//go:build unix

package editor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// noFollow opens no link, and does not wait for a pipe to have a writer.
const noFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

// isLink reports whether a file was not opened because it is a link.
func isLink(err error) bool { return errors.Is(err, unix.ELOOP) }

// lock locks a file until it is closed. It does not wait.
func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
