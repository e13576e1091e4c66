//go:build unix

package wire

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestTLSFiles has NewCredentials take files as they are mounted, and refuse what is no
// secret.
func TestTLSFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := newCA(t, dir, "ca").issue(t, "node")
	link := func(name, target string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open, pipe := filepath.Join(dir, "open"), filepath.Join(dir, "pipe")
	key, err := os.ReadFile(good.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*TLSFiles)
		want   string
	}{
		"links":           {func(f *TLSFiles) { f.Key, f.Cert = link("to.key", f.Key), link("to.pem", f.Cert) }, ""},
		"open key":        {func(f *TLSFiles) { f.Key = open }, "TLS key: " + open + " can be read by others (mode 0640); run: chmod 600 " + open},
		"link to open":    {func(f *TLSFiles) { f.Key = link("to-open", open) }, "can be read by others"},
		"pipe as key":     {func(f *TLSFiles) { f.Key = pipe }, "TLS key: " + pipe + " is not a regular file"},
		"pipe as cert":    {func(f *TLSFiles) { f.Cert = pipe }, "TLS certificate: " + pipe + " is not a regular file"},
		"pipe as CA":      {func(f *TLSFiles) { f.CA = pipe }, "TLS CA: " + pipe + " is not a regular file"},
		"other key":       {func(f *TLSFiles) { f.Key = f.Cert }, "TLS certificate " + good.Cert + " and key " + good.Cert},
		"CA without cert": {func(f *TLSFiles) { f.CA = good.Key }, "no certificate in " + good.Key},
	} {
		files := good
		c.change(&files)
		_, err := NewCredentials(testCookie, files)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
