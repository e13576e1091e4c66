package gateway

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distproc/distproc/wire/file"
)

const (
	minToken = 16   // characters
	maxToken = 4096 // bytes of a token file
)

// ReadToken returns the token in the file at path, without the newline at its end. The
// token must have at least 16 characters, all of them visible ASCII, and the file at most
// 4,096 bytes. A file that other users can read is refused.
func ReadToken(path string) (string, error) {
	text, err := file.ReadSecret(path, maxToken)
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
	if len(token) < minToken {
		return errors.New("a token has at least 16 characters; make one with: openssl rand -hex 32")
	}
	return nil
}
