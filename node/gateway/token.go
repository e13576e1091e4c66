package gateway

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

const (
	minToken = 16   // characters
	maxToken = 4096 // of a token file
)

// ReadToken returns the token in the file at path, without the newline at its end. It refuses a file that others can read, and a
// token that has less than 16 characters, or others than visible ASCII, which a header cannot carry.
func ReadToken(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // not to wait for a pipe
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("token file %s is not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("token file %s can be read by others (mode %#o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	token := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if err := checkToken(token); err != nil {
		return "", fmt.Errorf("token file %s: %w", path, err)
	}
	return token, nil
}

func checkToken(token string) error {
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("character %d is not visible ASCII; a token is one word on one line", i+1)
		}
	}
	switch {
	case len(token) > maxToken:
		return fmt.Errorf("it is larger than %d bytes; is it the right file?", maxToken)
	case len(token) < minToken:
		return errors.New("a token has at least 16 characters; make one with: openssl rand -hex 32")
	}
	return nil
}
