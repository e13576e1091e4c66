package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace replaces the content of the file at path, which must exist. A reader finds the
// old content or the new one, never a part. The file keeps its mode, its owner and its
// group; Replace fails if this user may not give them away. A symbolic link stays, and the
// file that it leads to is replaced.
func Replace(path string, data []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	if err = write(f, data, info); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// write fills a new file, gives it the rights of another one, and closes it.
func write(f *os.File, data []byte, as fs.FileInfo) error {
	_, err := f.Write(data)
	if err == nil {
		err = own(f, as)
	}
	if err == nil {
		err = f.Chmod(as.Mode().Perm())
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
