package wire

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/distproc/distproc/wire/file"
)

const (
	minCookie = 16   // bytes; a peer that is dialed can test guesses offline
	maxCookie = 4096 // bytes of a cookie file

	newCookie = `head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'` // prints one
)

// ParseCookie returns text without surrounding white space. At least 16 bytes must be
// left.
func ParseCookie(text []byte) ([]byte, error) {
	cookie := bytes.TrimSpace(text)
	return cookie, checkCookie(cookie)
}

func checkCookie(cookie []byte) error {
	if len(cookie) < minCookie {
		return fmt.Errorf("the cookie has %d bytes, at least %d are needed; make one with: %s", len(cookie), minCookie, newCookie)
	}
	return nil
}

// LoadCookie is [ReadCookie] for a node. If the file does not exist, LoadCookie creates
// it and its folder, for this user only, with 32 random bytes in hex. Concurrent
// processes get the same cookie.
func LoadCookie(path string) ([]byte, error) {
	cookie, err := ReadCookie(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return cookie, err
	}
	if err := createCookie(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create cookie file: %w", err)
	}
	return ReadCookie(path)
}

// ReadCookie returns the cookie in the file at path; see [ParseCookie]. It refuses a file
// that other users can read, and one with more than 4,096 bytes. The error wraps
// [fs.ErrNotExist] if there is no such file.
func ReadCookie(path string) ([]byte, error) {
	text, err := file.ReadSecret(path, maxCookie)
	if err != nil {
		return nil, fmt.Errorf("cookie file: %w", err)
	}
	cookie, err := ParseCookie(text)
	if err != nil {
		return nil, fmt.Errorf("cookie file %s: %w; or remove the file, and a node that starts makes a new one", path, err)
	}
	return cookie, nil
}

// createCookie links a complete file to path, so that no other process reads half of it.
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
