package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestLoadCookie(t *testing.T) {
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

func TestBadCookieFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
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
		{file("open", "secret", 0o640), "chmod 600"},
		{file("empty", " \n", 0o600), "empty"},
		{file("large", strings.Repeat("x", maxCookie+1), 0o600), "larger"},
		{dir, "regular file"},
		{file("plain", "", 0o600) + "/cookie", "not a directory"},
	} {
		if c, err := LoadCookie(test.path); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: cookie %q, error %v, want one with %q", test.path, c, err, test.want)
		}
	}
	if c, err := LoadCookie(file("spaces", " secret\n", 0o600)); err != nil || string(c) != "secret" {
		t.Errorf("cookie %q, %v; want it without white space", c, err)
	}
}
