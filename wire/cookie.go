package wire

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const maxCookie = 4096 // bytes of a cookie file

// LoadCookie returns the secret that the nodes of a cluster share, from the file at path without
// surrounding white space. If there is no such file, it is created with 32 random bytes in hex, and
// its folder too, for this user only. When several processes do that at once, all return the same.
func LoadCookie(path string) ([]byte, error) {
	cookie, err := readCookie(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return cookie, err
	}
	if err := createCookie(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create cookie file: %w", err)
	}
	return readCookie(path)
}

func readCookie(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // not to wait for a pipe
	if err != nil {
		return nil, fmt.Errorf("cookie file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cookie file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cookie file %s is not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cookie file %s can be read by others (mode %#o); run: chmod 600 %s",
			path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxCookie+1))
	if err != nil {
		return nil, fmt.Errorf("cookie file: %w", err)
	}
	if len(text) > maxCookie {
		return nil, fmt.Errorf("cookie file %s is larger than %d bytes; is it the right file?", path, maxCookie)
	}
	cookie := bytes.TrimSpace(text)
	if len(cookie) == 0 {
		return nil, fmt.Errorf("cookie file %s is empty; remove it to have a new one made", path)
	}
	return cookie, nil
}

// createCookie makes the file appear at once and whole, by a link, so that nobody reads half of it.
func createCookie(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".cookie-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: crypto/rand
	_, err = fmt.Fprintln(f, hex.EncodeToString(secret))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
