package cookie

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "folder", "cookie")
	cookies := make([][][]byte, 20)
	var wg sync.WaitGroup
	for i := range cookies {
		wg.Go(func() {
			var err error
			if cookies[i], err = Load(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, c := range cookies {
		if len(c) != 1 || len(c[0]) != 64 || !bytes.Equal(c[0], cookies[0][0]) {
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
	if err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of a file that is there: %v", err)
	}
}

// writeFile writes a file of a test with a mode.
func writeFile(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		return writeFile(t, filepath.Join(dir, name), text, mode)
	}
	const good = "0123456789abcdef"
	eight := ""
	for i := range Max {
		eight += fmt.Sprintf("%s%d\n", good, i)
	}
	for _, test := range []struct{ path, want string }{
		{write("open", good, 0o640), "chmod 600"},
		{write("empty", " \n", 0o600), "empty: there is no cookie; lines that begin with # do not count"},
		{write("comment", "#"+good, 0o600), "comment: there is no cookie"},
		{write("short", " 0123456789abcde\n", 0o600), "short:1: the cookie has 15 bytes, at least 16 are needed; make one with: head -c 32"},
		{write("one bad line", "# ours\n\n"+good+"\n0123\nanother"+good, 0o600), "one bad line:4: the cookie has 4 bytes"},
		{write("nine", "\n"+eight+"the ninth "+good, 0o600), "nine:10: there are more than 8 cookies; remove those"},
		{write("large", strings.Repeat("x", maxFile+1), 0o600), "larger"},
		{dir, "regular file"},
		{write("plain", "", 0o600) + "/cookie", "not a directory"},
	} {
		for _, read := range []func(string) ([][]byte, error){Load, Read} {
			if c, err := read(test.path); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), good) {
				t.Errorf("%s: cookie %q, error %v, want one with %q", test.path, c, err, test.want)
			}
		}
	}
	for text, want := range map[string]string{
		" 0123456789abcdef\n": `["0123456789abcdef"]`,
		"# first\r\n\tthe first of the cookies \r\n\r\n  # second\nthe second of the cookies\nthe first of the cookies": `["the first of the cookies" "the second of the cookies"]`,
	} {
		if c, err := Load(write("good", text, 0o600)); err != nil || fmt.Sprintf("%q", c) != want {
			t.Errorf("%q: cookies %q, %v; want %s", text, c, err, want)
		}
	}
	if c, err := Load(write("eight", eight, 0o600)); err != nil || len(c) != 8 {
		t.Errorf("%q, %v; want 8 cookies", c, err)
	}
	if _, err := Read(filepath.Join(dir, "new", "cookie")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read without a file: %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("Read makes a folder")
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for cookie, refused := range map[string]bool{"": true, "ab": true, "0123456789abcde": true, "0123456789abcdef": false} {
		if _, err := Parse([]byte("\t" + cookie + " \r\n")); (err != nil) != refused {
			t.Errorf("Parse of %q in white space: %v", cookie, err)
		}
		if err := Check([][]byte{[]byte(cookie)}); (err != nil) != refused {
			t.Errorf("Check of %q: %v", cookie, err)
		}
	}
	if Check(nil) == nil || Check(make([][]byte, Max+2)) == nil {
		t.Error("Check wants 1 to 9 cookies")
	}
}
