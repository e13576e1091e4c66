package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestReplace has a file keep its mode, and a link to it stay a link.
func TestReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "secret"), filepath.Join(dir, "link")
	if err := Replace(path, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("old"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("secret", link); err != nil {
		t.Fatal(err)
	}
	if err := Replace(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "new" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o400 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	if to, err := os.Readlink(link); err != nil || to != "secret" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("files left behind: %v", left)
	}
}

// TestReplaceWhole has readers find a whole content each time.
func TestReplaceWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(strings.Repeat("0", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !done.Load() {
			text, err := Read(path, 1000)
			if err != nil || len(text) != 1000 || strings.Count(string(text), string(text[:1])) != 1000 {
				t.Errorf("%.20q…, %d bytes, %v", text, len(text), err)
				return
			}
		}
	})
	for i := range 200 {
		if err := Replace(path, []byte(strings.Repeat(string(rune('0'+i%10)), 1000))); err != nil {
			t.Error(err)
		}
	}
	done.Store(true)
	wg.Wait()
}
