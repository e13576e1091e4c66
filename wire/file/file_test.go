//go:build unix

package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(name, target string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	private, group, all := write("private", "12345678", 0o600), write("group", "1", 0o640), write("all", "1", 0o604)
	const fine = ""
	for _, c := range []struct{ path, read, secret string }{
		{private, fine, fine},
		{write("only to read", "1", 0o400), fine, fine},
		{link("to private", private), fine, fine},
		{group, fine, "can be read by others (mode 0640); run: chmod 600 " + group},
		{all, fine, "can be read by others (mode 0604)"},
		{link("to all", all), fine, "can be read by others"},
		{write("large", "123456789", 0o600), "larger than 8 bytes", "larger than 8 bytes"},
		{pipe, "not a regular file", "not a regular file"},
		{link("to pipe", pipe), "not a regular file", "not a regular file"},
		{dir, "not a regular file", "not a regular file"},
		{os.DevNull, "not a regular file", "not a regular file"},
		{filepath.Join(dir, "none"), "no such file", "no such file"},
	} {
		for _, f := range []struct {
			read func(string, int) ([]byte, error)
			want string
		}{{Read, c.read}, {ReadSecret, c.secret}} {
			text, err := f.read(c.path, 8)
			if f.want == fine && (err != nil || text[0] != '1') || f.want != fine && (err == nil || !strings.Contains(err.Error(), f.want)) {
				t.Errorf("%s: %q, %v; want the error %q", c.path, text, err, f.want)
			}
		}
	}
	if _, err := ReadSecret(filepath.Join(dir, "none"), 8); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not wrap fs.ErrNotExist", err)
	}
}

// TestCredentials reads secrets as systemd and Kubernetes place them: the group may read
// those of their folder, and nobody else those.
func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir+"/")
	for path, modes := range map[string]map[os.FileMode]bool{
		filepath.Join(dir, "cookie"):         {0o400: true, 0o440: true, 0o640: true, 0o444: false, 0o460: false, 0o450: false},
		filepath.Join(t.TempDir(), "cookie"): {0o400: true, 0o440: false},
	} {
		if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
			t.Fatal(err)
		}
		for mode, fine := range modes {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadSecret(path, 8); (err == nil) != fine {
				t.Errorf("%s with mode %#o: %v", path, mode, err)
			}
		}
	}
}
