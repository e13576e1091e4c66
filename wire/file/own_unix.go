//go:build unix

package file

import (
	"io/fs"
	"os"
	"syscall"
)

// own gives a file the owner and the group of another one.
func own(f *os.File, as fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	is, want := info.Sys().(*syscall.Stat_t), as.Sys().(*syscall.Stat_t)
	if is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}
