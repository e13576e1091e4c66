// Package cookie keeps the secrets of a cluster in a file.
//
// A node reads the file with [Load] and a client with [Read]. Both prove the first cookie
// to the nodes that they dial. A node accepts a peer that proves any of them. [Add],
// [Promote] and [Retire] change the file in the three steps in which a running cluster
// changes its cookie; see edit.go.
//
// The file has one cookie a line. White space around it does not count, nor do empty lines
// and those that begin with #.
package cookie

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
	// Max is how many cookies a file may have. For each of them a node computes an HMAC when
	// a peer connects.
	Max = 8

	minBytes = 16   // of a cookie; a peer that is dialed can test guesses offline
	maxFile  = 4096 // bytes

	newCookie = `head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'` // prints one
)

// A lineError is what is wrong with a line of a file.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// Parse returns the one cookie in text, without surrounding white space. At least 16 bytes
// must be left.
func Parse(text []byte) ([]byte, error) {
	cookie := bytes.TrimSpace(text)
	return cookie, check(cookie)
}

func check(cookie []byte) error {
	if len(cookie) < minBytes {
		return fmt.Errorf("the cookie has %d bytes, at least %d are needed; make one with: %s", len(cookie), minBytes, newCookie)
	}
	return nil
}

// Check returns an error unless a node may accept these cookies: from 1 to [Max] and one
// more, such as that of its own shell, each of at least 16 bytes.
func Check(cookies [][]byte) error {
	if len(cookies) > Max+1 {
		return fmt.Errorf("there are %d cookies, and at most %d may be accepted", len(cookies), Max+1)
	}
	for _, c := range cookies {
		if err := check(c); err != nil {
			return err
		}
	}
	if len(cookies) == 0 {
		return check(nil)
	}
	return nil
}

// New returns a new cookie: 32 random bytes in hex.
func New() []byte {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: crypto/rand
	return hex.AppendEncode(nil, secret)
}

// ParseFile returns the different cookies in the text of a file, from 1 to [Max], in their
// order. An error about one line names the line.
func ParseFile(text []byte) (cookies [][]byte, err error) {
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if isComment(line) || contains(cookies, line) {
			continue
		}
		err := check(line)
		if err == nil && len(cookies) == Max {
			err = fmt.Errorf("there are more than %d cookies; remove those that nobody shows any more", Max)
		}
		if err != nil {
			return nil, &lineError{i + 1, err}
		}
		cookies = append(cookies, line)
	}
	if len(cookies) == 0 {
		return nil, errors.New("there is no cookie; lines that begin with # do not count")
	}
	return cookies, nil
}

// isComment reports whether a line has no cookie.
func isComment(line []byte) bool { return len(line) == 0 || line[0] == '#' }

func contains(cookies [][]byte, cookie []byte) bool {
	for _, c := range cookies {
		if bytes.Equal(c, cookie) {
			return true
		}
	}
	return false
}

// Read returns the cookies in the file at path; see [ParseFile]. It refuses a file that
// other users can read, and one with more than 4,096 bytes. The error names the file and
// the line. It wraps [fs.ErrNotExist] if there is no such file.
func Read(path string) ([][]byte, error) {
	_, cookies, err := read(path)
	return cookies, err
}

// First returns the first of the cookies that [Read] returns.
func First(path string) ([]byte, error) {
	cookies, err := Read(path)
	if err != nil {
		return nil, err
	}
	return cookies[0], nil
}

func read(path string) (text []byte, cookies [][]byte, err error) {
	if text, err = file.ReadSecret(path, maxFile); err != nil {
		return nil, nil, fmt.Errorf("cookie file: %w", err)
	}
	if cookies, err = ParseFile(text); err != nil {
		if wrong, ok := errors.AsType[*lineError](err); ok {
			return nil, nil, fmt.Errorf("cookie file %s:%d: %w", path, wrong.line, wrong.err)
		}
		return nil, nil, fmt.Errorf("cookie file %s: %w", path, err)
	}
	return text, cookies, nil
}

// Load is [Read] for a node that starts. If the file does not exist, Load creates it.
// Concurrent processes get the same cookie.
func Load(path string) ([][]byte, error) {
	cookies, err := Read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return cookies, err
	}
	if err := Create(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return Read(path)
}

// Create creates the file at path and its folder, for this user only, with one new cookie.
// The error wraps [fs.ErrExist] if the file exists.
func Create(path string) error {
	if err := create(path); err != nil {
		return fmt.Errorf("create cookie file: %w", err)
	}
	return nil
}

// create links a complete file to path, so that no other process reads half of it.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".cookie-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "%s\n", New())
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
