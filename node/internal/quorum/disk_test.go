package quorum

import (
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
)

func openTestDisk(dir, name string) (*disk, error) {
	return openDisk(dir, name, newRaftLog(slog.New(slog.DiscardHandler)))
}

// mustOpen opens a directory that can be.
func mustOpen(t *testing.T, dir string) *disk {
	t.Helper()
	d, err := openTestDisk(dir, "1@h")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// used returns a data directory that a voter has used, and its identity.
func used(t *testing.T) (dir string, id identity) {
	t.Helper()
	dir = t.TempDir()
	d := mustOpen(t, dir)
	defer d.close()
	if !d.empty {
		t.Error("a new directory is not empty")
	}
	var logs []*raft.Log
	for i := range uint64(200) {
		logs = append(logs, &raft.Log{Index: i + 1, Term: 1, Data: make([]byte, 100)})
	}
	if err := d.logs.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	if err := d.stable.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		t.Fatal(err)
	}
	return dir, d.identity
}

// TestDisk opens a directory again, which is the same voter then.
func TestDisk(t *testing.T) {
	t.Parallel()
	dir, id := used(t)
	d := mustOpen(t, dir)
	defer d.close()
	if d.empty || d.identity != id || nameOf(id.server()) != "1@h" {
		t.Errorf("%+v after %+v, empty %t", d.identity, id, d.empty)
	}
	if _, err := openTestDisk(dir, "1@h"); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("opened twice: %v", err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o077 != 0 && filepath.Base(dir) == "new" {
		t.Errorf("%v, %v", info, err)
	}
}

// TestDiskVoted opens a directory of a voter that has a term and no log: it may have voted.
func TestDiskVoted(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "new")
	d := mustOpen(t, dir)
	err := d.stable.SetUint64([]byte("CurrentTerm"), 1)
	d.close()
	if err != nil {
		t.Fatal(err)
	}
	d = mustOpen(t, dir)
	defer d.close()
	if d.empty {
		t.Error("a voter that has voted is empty")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has the mode %v, %v", info.Mode(), err)
	}
}

// TestDiskGap opens a log in which entries are missing that are in a snapshot.
func TestDiskGap(t *testing.T) {
	t.Parallel()
	dir, id := used(t)
	d := mustOpen(t, dir)
	err := d.logs.StoreLog(&raft.Log{Index: 900, Term: 1})
	d.close()
	if err != nil {
		t.Fatal(err)
	}
	if d = mustOpen(t, dir); d.identity != id {
		t.Errorf("%+v", d.identity)
	}
	d.close()
}

// TestDiskRefused opens directories that a node must not use as they are.
func TestDiskRefused(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, file string
		text       string // that file becomes, or "" for none
		err        string
	}{
		{"another node's", identityFile, `{"Format":1,"Name":"2@h","Disk":"d"}`, "it belongs to 2@h"},
		{"a later format", identityFile, `{"Format":2,"Name":"1@h","Disk":"d"}`, "later version"},
		{"no format", identityFile, `{"Name":"1@h","Disk":"d"}`, "voter.json is damaged"},
		{"no disk", identityFile, `{"Format":1,"Name":"1@h"}`, "voter.json is damaged"},
		{"garbage", identityFile, "\x00\xff", "voter.json is damaged"},
		{"too large", identityFile, strings.Repeat(" ", 2*maxIdentity), "larger than"},
		{"no identity", identityFile, "", "voter.json is damaged"},
		{"no log", logFile, "", "log.db is damaged"},
		{"an empty log", logFile, "\x00", "log.db is damaged"},
		{"a log that is none", logFile, strings.Repeat("x", 100_000), "log.db is damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir, _ := used(t)
			path := filepath.Join(dir, test.file)
			switch test.text {
			case "":
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			case "\x00":
				write(t, path, "")
			default:
				write(t, path, test.text)
			}
			for range 2 { // it does not become right by trying
				d, err := openTestDisk(dir, "1@h")
				if err == nil {
					d.close()
					t.Fatalf("opened as %+v, empty %t", d.identity, d.empty)
				}
				if !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), dir) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "x")
	if _, err := openTestDisk(file, "1@h"); err == nil || !strings.Contains(err.Error(), "see --data-dir") {
		t.Errorf("a file was opened as a directory: %v", err)
	}
}

// TestDiskDamaged opens logs with some bytes replaced, or the end cut off. If that is no error,
// the voter knows that it has taken part. bbolt has no checksums of what it keeps.
func TestDiskDamaged(t *testing.T) {
	t.Parallel()
	dir, id := used(t)
	whole, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	identityText, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err != nil {
		t.Fatal(err)
	}
	try := func(t *testing.T, content []byte) {
		t.Helper()
		other := t.TempDir()
		if err := errors.Join(os.WriteFile(filepath.Join(other, logFile), content, 0o600),
			os.WriteFile(filepath.Join(other, identityFile), identityText, 0o600)); err != nil {
			t.Fatal(err)
		}
		d, err := openTestDisk(other, "1@h")
		if err != nil {
			if !strings.Contains(err.Error(), "log.db is damaged") {
				t.Errorf("%v", err)
			}
			return
		}
		defer d.close()
		if term, _ := d.stable.GetUint64([]byte("CurrentTerm")); d.identity != id || d.empty || term < 1 {
			t.Errorf("opened as %+v, empty %t, term %d", d.identity, d.empty, term)
		}
	}
	const page = 4096
	noise := rand.NewChaCha8([32]byte{})
	for _, at := range []int{0, 16, 100, page, page + 16, 2 * page, 2*page + 8, 3 * page, 4 * page, 5 * page, len(whole) - 100} {
		for _, n := range []int{16, page} {
			content := append([]byte(nil), whole...)
			_, _ = noise.Read(content[at:min(at+n, len(content))])
			try(t, content)
		}
	}
	for _, size := range []int{1, 100, page, 2 * page, 3*page + 100, 8 * page, len(whole) / 2, len(whole) - page} {
		try(t, whole[:size])
	}
}

// TestDiskReadOnly opens a directory on a file system that cannot be written.
func TestDiskReadOnly(t *testing.T) {
	dir := t.TempDir()
	mountTmpfs(t, dir, "size=4m")
	d := mustOpen(t, filepath.Join(dir, "d"))
	d.close()
	mountTmpfs(t, dir, "remount,ro")
	for _, name := range []string{"d", "other"} {
		_, err := openTestDisk(filepath.Join(dir, name), "1@h")
		if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "see --data-dir") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDiskForbidden opens a directory that the user may not write.
func TestDiskForbidden(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("the superuser may write everything")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := openTestDisk(dir, "1@h"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
}

// mountTmpfs mounts a small file system in memory, or changes it.
func mountTmpfs(t *testing.T, dir, options string) {
	t.Helper()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "none", dir).CombinedOutput(); err != nil {
		t.Skipf("a test with a small disk needs mount: %v %s", err, out)
	}
	if !strings.HasPrefix(options, "remount") {
		t.Cleanup(func() {
			if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
				t.Errorf("umount %s: %v %s", dir, err, out)
			}
		})
	}
}

// TestDiskFull opens a directory on a file system with no room.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	mountTmpfs(t, dir, "size=64k")
	fillDisk(t, dir)
	if _, err := openTestDisk(filepath.Join(dir, "d"), "1@h"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	if err := os.Remove(filepath.Join(dir, "rest")); err != nil {
		t.Fatal(err)
	}
	mountTmpfs(t, dir, "remount,size=4m")
	mustOpen(t, filepath.Join(dir, "d")).close() // what was begun is no obstacle
}

// fillDisk takes all the room of a file system, but for less than a page.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "rest"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<16); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
}
