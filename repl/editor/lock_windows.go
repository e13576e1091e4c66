package editor

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// noFollow is nothing here: only an administrator makes links, and there are no pipes among
// the files.
const noFollow = 0

func isLink(error) bool { return false }

// lock locks a file until it is closed. It does not wait. Others cannot even read what is
// locked, so it locks one byte far behind the end.
func lock(f *os.File) error {
	behind := windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &behind)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}
