// Package file reads the small files that a user names: secrets, certificates,
// configuration. Each file is read whole, up to a limit. A pipe, a device or a folder is
// refused, because reading one could take forever. A symbolic link stands for the file
// that it leads to.
package file

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Read returns the content of the regular file at path, which may have at most limit
// bytes. The error names the path, and wraps [fs.ErrNotExist] if there is no such file.
func Read(path string, limit int) ([]byte, error) { return read(path, limit, 0) }

// ReadSecret is [Read] for a secret. It refuses a file whose mode lets others than the
// owner read or write it. On Windows the mode does not say so, and any file will do.
//
// The group may read what lies in the folder of CREDENTIALS_DIRECTORY. Systemd sets that
// variable, makes the folder for one service only, and lets its user read by an access
// control list, which shows as a right of the group.
func ReadSecret(path string, limit int) ([]byte, error) {
	forbidden := fs.FileMode(0o077)
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		forbidden = 0o037
	}
	return read(path, limit, forbidden)
}

// read refuses a file whose mode has one of the forbidden bits.
func read(path string, limit int, forbidden fs.FileMode) ([]byte, error) {
	// Without O_NONBLOCK, opening a pipe waits for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s can be read by others (mode %#o); run: chmod 600 %s", path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(text) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes; is it the right file?", path, limit)
	}
	return text, nil
}
