package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/distproc/distproc/node"
)

// cookieVariable holds a cookie itself, while --cookie-file names a file of them.
const cookieVariable = "DISTPROC_COOKIE"

// cookiePath returns the file that has the cookies: that of --cookie-file or the usual one.
// It returns "" if DISTPROC_COOKIE has the cookie.
func (c *connection) cookiePath() (string, error) {
	if c.cookieInEnvironment() {
		return "", nil
	}
	if c.cookieFile != "" {
		return c.cookieFile, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", errors.New("no folder for the cookie: HOME is not set; pass --cookie-file or set DISTPROC_COOKIE")
	}
	return filepath.Join(dir, "distproc", "cookie"), nil
}

// cookieInEnvironment reports whether DISTPROC_COOKIE has the cookie. It goes before a file
// that another file names, as the environment does.
func (c *connection) cookieInEnvironment() bool {
	if os.Getenv(cookieVariable) == "" || c.cookieFile == "" {
		return os.Getenv(cookieVariable) != ""
	}
	if c.flags == nil { // it was made without a command line
		return false
	}
	from, _ := originOf(c.flags.Lookup("cookie-file"))
	return from == fromFileSetting
}

// cookies returns the cookies of a node, and their source: a file, which read reads, or
// DISTPROC_COOKIE.
func (c *connection) cookies(read func(path string) ([][]byte, error)) (list [][]byte, source string, err error) {
	path, err := c.cookiePath()
	if err != nil {
		return nil, "", err
	}
	if path == "" {
		secret, err := node.ParseCookie([]byte(os.Getenv(cookieVariable)))
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", cookieVariable, err)
		}
		return [][]byte{secret}, cookieVariable, nil
	}
	list, err = read(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("no cookie file %s; copy it from a node of the cluster, pass --cookie-file, or set DISTPROC_COOKIE", path)
	}
	return list, path, err
}

// cookie is cookies for a client, which needs only the one that it proves.
func (c *connection) cookie(read func(path string) ([]byte, error)) (secret []byte, source string, err error) {
	list, source, err := c.cookies(func(path string) ([][]byte, error) {
		one, err := read(path)
		return [][]byte{one}, err
	})
	if err != nil {
		return nil, "", err
	}
	return list[0], source, nil
}
