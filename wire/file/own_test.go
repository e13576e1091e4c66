//go:build unix

package file

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestReplaceOwner replaces a file of another user.
func TestReplaceOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root gives files away")
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 1234, 4321); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	if got := fmt.Sprintf("%v %d:%d", info.Mode(), s.Uid, s.Gid); got != "-rw-r----- 1234:4321" {
		t.Errorf("%s, want another user's file", got)
	}
}
