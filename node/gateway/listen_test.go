//go:build unix

package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheckListen(t *testing.T) {
	t.Parallel()
	for addr, ok := range map[string]bool{
		"127.0.0.1:8080": true, "127.8.8.8:0": true, "localhost:8080": true, "a.localhost:8080": true, "[::1]:8080": true,
		":8080": false, "0.0.0.0:8080": false, "[::]:8080": false, "10.0.0.1:8080": false, "node.example:8080": false, "127.0.0.1.example:80": false,
	} {
		err := CheckListen(addr, false, false)
		if (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "--http-token-file") || !strings.Contains(err.Error(), "--http-open")) {
			t.Errorf("%s: %v", addr, err)
		}
		if err := CheckListen(addr, true, false); err != nil {
			t.Errorf("%s with a token: %v", addr, err)
		}
		if err := CheckListen(addr, false, true); err != nil {
			t.Errorf("%s, open: %v", addr, err)
		}
	}
	for _, addr := range []string{"", "8080", "127.0.0.1", "localhost:http", "localhost:-1", "localhost:65536", "::1:80", "localhost:"} {
		if err := CheckListen(addr, true, true); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestReadToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(text string, mode os.FileMode) string {
		path := filepath.Join(dir, "token")
		os.Remove(path)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const token = "0123456789abcde~"
	for _, text := range []string{token, token + "\n", token + "\r\n"} {
		for _, mode := range []os.FileMode{0o600, 0o400} {
			if got, err := ReadToken(write(text, mode)); got != token || err != nil {
				t.Errorf("%q: %q, %v", text, got, err)
			}
		}
	}
	for text, want := range map[string]string{
		"":                             "at least 16 characters",
		"0123456789abcde\n":            "at least 16 characters",
		token + "\n\n":                 "character 17 is not visible ASCII",
		" " + token:                    "character 1 is not visible ASCII",
		token + "é":                    "character 17 is not visible ASCII",
		token + "\x7f":                 "character 17 is not visible ASCII",
		strings.Repeat("x", 4097):      "larger than 4096 bytes",
		strings.Repeat("x", 1<<20):     "larger than 4096 bytes",
		token[:8] + "\x00" + token[:8]: "character 9 is not visible ASCII",
	} {
		if got, err := ReadToken(write(text, 0o600)); got != "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %.40q, %v", text, got, err)
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601} {
		if _, err := ReadToken(write(token, mode)); err == nil || !strings.Contains(err.Error(), "can be read by others") || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, filepath.Join(dir, "none")} {
		if _, err := ReadToken(path); err == nil {
			t.Errorf("%s is a token file", path)
		}
	}
}
