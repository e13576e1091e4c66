package wire

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestLoadCookie(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "folder", "cookie")
	cookies := make([][]byte, 20)
	var wg sync.WaitGroup
	for i := range cookies {
		wg.Go(func() {
			var err error
			if cookies[i], err = LoadCookie(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, c := range cookies {
		if len(c) != 64 || !bytes.Equal(c, cookies[0]) {
			t.Fatalf("cookies of processes that start at once differ, or are no 32 bytes in hex: %q, %q", c, cookies[0])
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the cookie file: %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("files left behind: %v", left)
	}
}

func TestCookieFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct{ path, want string }{
		{write("open", "0123456789abcdef", 0o640), "chmod 600"},
		{write("empty", " \n", 0o600), "has 0 bytes, at least 16 are needed; make one with: head -c 32"},
		{write("short", " 0123456789abcde\n", 0o600), "has 15 bytes, at least 16 are needed; make one with: head -c 32"},
		{write("large", strings.Repeat("x", maxCookie+1), 0o600), "larger"},
		{dir, "regular file"},
		{write("plain", "", 0o600) + "/cookie", "not a directory"},
	} {
		for _, read := range []func(string) ([]byte, error){LoadCookie, ReadCookie} {
			if c, err := read(test.path); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: cookie %q, error %v, want one with %q", test.path, c, err, test.want)
			}
		}
	}
	if c, err := LoadCookie(write("spaces", " 0123456789abcdef\n", 0o600)); err != nil || string(c) != "0123456789abcdef" {
		t.Errorf("cookie %q, %v; want it without white space", c, err)
	}
	if _, err := ReadCookie(filepath.Join(dir, "new", "cookie")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadCookie without a file: %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("ReadCookie makes a folder")
	}
}

func TestShortCookie(t *testing.T) {
	t.Parallel()
	for cookie, refused := range map[string]bool{"": true, "ab": true, "0123456789abcde": true, "0123456789abcdef": false} {
		if _, err := NewCredentials([]byte(cookie), TLSFiles{}); (err != nil) != refused {
			t.Errorf("NewCredentials(%q): %v", cookie, err)
		}
		if _, err := ParseCookie([]byte("\t" + cookie + " \r\n")); (err != nil) != refused {
			t.Errorf("ParseCookie of %q in white space: %v", cookie, err)
		}
	}
}
