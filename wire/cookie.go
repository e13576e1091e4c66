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
	minCookie = 16   // bytes; the peer that a node dials can test guesses at its own speed
	maxCookie = 4096 // bytes of a cookie file

	newCookie = `head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'` // prints one
)

// ParseCookie returns the secret in text: what is left without surrounding white space. The
// secret must have at least 16 bytes.
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

// LoadCookie is [ReadCookie] for a node. If there is no such file, it is created with 32 random
// bytes in hex, and its folder too, for this user only. When several processes do that at once,
// all return the same.
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

// ReadCookie returns the secret in the file at path, as [ParseCookie] does. It refuses a file that
// others can read. The error wraps [fs.ErrNotExist] if there is no such file.
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
