//go:build unix

package editor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestHistoryKeepsBlocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "history")
	entries := []string{"1", "def f():\n  return '\\n'", `"\\"`}
	h := openHistory(path)
	for _, e := range append(entries, entries[2], "", " \n") {
		h.add(e)
	}
	if got := openHistory(path).entries; !slices.Equal(got, entries) {
		t.Errorf("%q, want %q", got, entries)
	}
	if got, want := openHistory(path).lines()[1], "def f():\x1e  return '\\n'"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Shells that share the file lose nothing of each other, and the file does not grow for
// ever.
func TestHistoryIsShared(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	var wg sync.WaitGroup
	for shell := range 4 {
		h := openHistory(path)
		wg.Go(func() {
			for i := range 2*maxHistory/4 + 1 {
				h.add(fmt.Sprintf("%d %d", shell, i))
			}
			h.save(1 << 20)
		})
	}
	wg.Wait()
	data, err := os.ReadFile(path)
	if n := strings.Count(string(data), "\n"); err != nil || n != 2*maxHistory+4 {
		t.Fatalf("%v; %d lines, want %d", err, n, 2*maxHistory+4)
	}
	if n := len(openHistory(path).entries); n != maxHistory {
		t.Errorf("%d entries, want %d", n, maxHistory)
	}
	data, _ = os.ReadFile(path)
	if n := strings.Count(string(data), "\n"); n != maxHistory {
		t.Errorf("%d lines after trimming, want %d", n, maxHistory)
	}
}

// An entry that comes while another shell shortens the file is not lost.
func TestHistoryTrimLosesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	stop := make(chan struct{})
	var adding, trimming sync.WaitGroup
	trimmer := openHistory(path)
	trimming.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				trimmer.trim()
			}
		}
	})
	var want []string
	for shell := range 2 {
		h := openHistory(path)
		for i := range maxHistory / 4 {
			want = append(want, fmt.Sprintf("%d %d", shell, i))
		}
		entries := want[len(want)-maxHistory/4:]
		adding.Go(func() {
			for _, e := range entries {
				h.add(e)
			}
			h.save(1 << 20)
		})
	}
	adding.Wait()
	close(stop)
	trimming.Wait()
	got := openHistory(path).entries
	for _, e := range want {
		if !slices.Contains(got, e) {
			t.Fatalf("%q is lost; %d of %d entries are left", e, len(got), len(want))
		}
	}
}

func TestHistoryWithoutAFile(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "/dev/null/history"} {
		h := openHistory(path)
		h.add("1")
		if !slices.Equal(h.lines(), []string{"1"}) {
			t.Errorf("%q: %q", path, h.lines())
		}
	}
}

// A history that is no regular file is kept in memory.
func TestHistoryElsewhere(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, os.DevNull, t.TempDir()} {
		h := openHistory(path)
		h.add("1 + 1")
		if lines := h.lines(); len(lines) != 1 {
			t.Errorf("%s: %q", path, lines)
		}
	}
}

// TestHistoryIsLocked adds entries while somebody holds the lock. They wait in memory, and
// go to the file later.
func TestHistoryIsLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	if err := os.WriteFile(path, []byte(strings.Repeat("0\n", 2*maxHistory)+"1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(path)
	if err == nil {
		err = unix.Flock(int(other.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan *history)
	go func() {
		h := openHistory(path) // and shortens it, or would
		h.add("2")
		h.add("3")
		done <- h
	}()
	var h *history
	select {
	case h = <-done:
	case <-time.After(time.Minute):
		t.Fatal("it waits for the lock")
	}
	if got := h.entries[len(h.entries)-3:]; !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("%q", got)
	}
	other.Close()
	h.add("4")
	data, err := os.ReadFile(path)
	if err != nil || !strings.HasSuffix(string(data), "\n1\n2\n3\n4\n") {
		t.Errorf("%v; the file ends in %q", err, data[max(0, len(data)-20):])
	}
}

// TestHistoryIsHuge opens a file of 300 MB, which ends within a line. Only its end is read,
// and it is short afterwards.
func TestHistoryIsHuge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	f, err := os.Create(path)
	if err == nil {
		_, err = f.WriteAt([]byte("\none\ntwo"), 300<<20)
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h := openHistory(path)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
		t.Errorf("it took %d MB", n>>20)
	}
	h.add("three")
	if got := h.entries[len(h.entries)-3:]; !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("%q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 2*maxHistoryBytes || info.Mode() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if got := openHistory(path).entries; !slices.Equal(got[len(got)-3:], []string{"one", "two", "three"}) {
		t.Errorf("read again: %q", got[len(got)-3:])
	}
}

// TestHistoryKeepsLines has a file whose last line has no end, and which others can read.
func TestHistoryKeepsLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	if err := os.WriteFile(path, []byte("one\n\x1b]0;title\atwo\x1e\tx\nthree"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := openHistory(path)
	h.add("four")
	h.add(" secret")
	h.private = true
	h.add("private")
	h.private = false
	h.add(strings.Repeat("x", maxEntry+1))
	h.add("five")
	if want := []string{"one", "]0;titletwo\tx", "three", "four", "private", "five"}; !slices.Equal(h.entries, want) {
		t.Errorf("%q, want %q", h.entries, want)
	}
	data, err := os.ReadFile(path)
	if want := "one\n\x1b]0;title\atwo\x1e\tx\nthree\nfour\nfive\n"; err != nil || string(data) != want {
		t.Errorf("%v %q, want %q", err, data, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestHistoryIsALink leads to a file of somebody else, or to none. It is not followed.
func TestHistoryIsALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "theirs\n"} {
		if data != "" {
			if err := os.WriteFile(target, []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		h := openHistory(link)
		h.add("mine")
		if !slices.Equal(h.entries, []string{"mine"}) || !strings.Contains(h.problem, "is a link") {
			t.Errorf("%q %q", h.entries, h.problem)
		}
		if got, _ := os.ReadFile(target); string(got) != data {
			t.Errorf("the target has %q", got)
		}
	}
	if info, err := os.Stat(target); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestHistoryIsBounded adds entries of many bytes.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	h := openHistory("")
	for i := range 100 {
		h.add(strings.Repeat("x", maxEntry-i))
	}
	total := 0
	for _, e := range h.entries {
		total += len(e)
	}
	if total > maxHistoryBytes || len(h.entries[len(h.entries)-1]) != maxEntry-99 {
		t.Errorf("%d entries of %d bytes", len(h.entries), total)
	}
}
